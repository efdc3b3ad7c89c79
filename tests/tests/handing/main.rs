//! Values handed to files, shells and other programs, and taken over from files: byte for byte, all or nothing.

mod aws;
mod drafts;
mod export;
mod git;
mod import;
mod inject;
mod names;
mod properties;

use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::{Env, process};

/// Values that one format or another stumbles over.
fn awkward() -> Vec<String> {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\n-----END PRIVATE KEY-----\n";
    let mut values: Vec<String> = [
        pem,
        "$2a$10$N9qo8uLOickgx2ZMRZoMye",
        "$HOME ${HOME} $(id) `id` $$",
        "it's",
        "say \"hi\"",
        "it's \"both\" $HOME",
        "it's `id` and \\",
        "back\\slash",
        "two\\\\",
        "ends in \\",
        "\\n is not \n",
        "trailing\n\n",
        "\r\n",
        "a\r",
        "crlf\r\nlines\r\n",
        "🦀é\u{feff}\u{2028}",
        "# no comment",
        "a # b",
        "a=b",
        "=",
        " ",
        "\t leading and trailing \t",
        "'",
        "''",
        "\"",
        "\\",
        "!!",
        "~",
        "*",
        "\u{1}\u{7f}\u{1b}[2J\u{85}",
        "%s%n",
        "export A=1",
        "{\"json\":[1]}",
        "{{ secret:V0 }}",
        "a\nV1='b'\n",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push("x".repeat(65_536));
    values.push("\\".repeat(65_536));
    values.push("\"'".repeat(32_768));
    values.push("`'$\n".repeat(16_384));
    values
}

/// Stores the values as V0, V1 and so on.
fn store_all(env: &Env, values: &[String]) -> Vec<(String, String)> {
    let named = values.iter().enumerate().map(|(index, value)| (format!("V{index}"), value.clone()));
    let mut named: Vec<(String, String)> = named.collect();
    for (name, value) in &named {
        env.store(name, value);
    }
    named.sort();
    named
}

/// Runs a program on this input and gives what it writes; it must succeed.
#[track_caller]
fn output_of(env: &Env, words: &[&str], input: &[u8]) -> Vec<u8> {
    let (_, output) = process::run(env.command(words[0]).args(&words[1..]), input);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A Python that has this module; skips the test aloud if there is none. The system's own is tried second: packages
/// of the system's serve it alone.
fn python(test: &str, module: &str) -> Option<&'static str> {
    let usable = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(usable);
    if found.is_none() {
        skip(test, &format!("no python3 has the module {module}"));
    }
    found
}

/// Whether a program is there; skips aloud if not.
fn has(test: &str, program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok()
        || Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|o| o.status.success());
    if !found {
        skip(test, &format!("{program} is not installed"));
    }
    found
}
