//! `import` of what other programs keep secrets in, written by those programs where they can be had; and `import --find`.

mod bad;
mod find;
mod managers;
mod settings;
mod stores;

use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::{Env, process};

/// Whether a program is there; if not, that is said.
fn has(test: &str, program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        skip(test, &format!("{program} is not installed"));
    }
    found
}

/// Runs a program on this input; it must succeed.
#[track_caller]
fn done(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let shown = format!("{:?}", command.get_program());
    let (_, output) = process::run(command, input);
    assert!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Writes a file below the home directory.
fn home_file(env: &Env, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = format!("home/{name}");
    if let Some((directory, _)) = path.rsplit_once('/') {
        env.private_dir(directory);
    }
    env.private_file(&path, content).to_str().unwrap().to_owned()
}

/// The names of all secrets.
fn names(env: &Env) -> Vec<String> {
    env.ctl(["list", "--names"]).expect(0).lines().map(str::to_owned).collect()
}

/// The note of a secret.
fn note(env: &Env, name: &str) -> serde_json::Value {
    let shown: serde_json::Value =
        serde_json::from_str(&env.ctl(["show", name, "--json"]).expect(0)).unwrap();
    shown["note"].clone()
}
