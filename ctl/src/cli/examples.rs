//! The examples in the help: every command has some, and each is a command line that a shell takes apart into
//! words that we accept.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command as Process, Stdio};

use clap::{Command, CommandFactory};

use super::Cli;
use crate::usage;

/// Stands in for `secretctl`, and for nothing else, in the shell that runs an example.
const STAND_IN: &str = "\
out=$1; exec 3>\"$out\"
secretctl() { printf '%s\\0' secretctl \"$@\" >&3; printf '\\n\\0' >&3; }
eval \"$2\"";

fn commands() -> Vec<Command> {
    let mut root = Cli::command();
    root.build();
    let mut all = vec![root];
    let mut at = 0;
    while let Some(command) = all.get(at) {
        let shown = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
        let below: Vec<Command> = command.get_subcommands().filter(shown).cloned().collect();
        all.extend(below);
        at += 1;
    }
    all
}

fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = help.split_once("Example:\n").map(|(_, examples)| examples.to_owned()).unwrap_or_default();
    examples.lines().map(|line| line.trim().to_owned()).collect()
}

/// The command lines of ours that a shell makes of this line.
fn as_shell_reads(line: &str) -> Vec<Vec<OsString>> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("words");
    for input in line.split("< ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        std::fs::write(dir.path().join(input), "").unwrap();
    }
    // Whatever else the line calls is not there, and redirections end up where they do no harm.
    let status = Process::new("/bin/sh")
        .args(["-c", STAND_IN, "sh"])
        .arg(&out)
        .arg(line)
        .env_clear()
        .env("HOME", dir.path())
        .env("PATH", dir.path())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap();
    let words = std::fs::read(out).unwrap();
    // Each word ends with a NUL, each line with a word that is a newline.
    let words: Vec<&[u8]> = words.split_inclusive(|byte| *byte == 0).collect();
    let lines = words.split(|word| *word == b"\n\0").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            line.iter().map(|word| OsString::from_vec(word.strip_suffix(b"\0").unwrap().to_vec())).collect()
        })
        .collect()
}

#[test]
fn every_command_has_examples_and_each_is_accepted() {
    for command in commands() {
        let examples = examples(&command);
        let name = command.get_display_name().unwrap_or("secretctl").to_owned();
        let mut calls = 0;
        for example in examples {
            // Some lines tell other programs to call us.
            assert!(example.contains("secretctl"), "{name}: {example:?} does not call secretctl");
            for line in as_shell_reads(&example) {
                assert!(usage::parse(&line).is_ok(), "{name}: {example:?} is not accepted");
                calls += 1;
            }
        }
        assert!(calls > 0, "{name} has no example");
    }
}

#[test]
fn an_example_that_is_wrong_is_noticed() {
    let accepted = |line: &str| as_shell_reads(line).iter().all(|line| usage::parse(line).is_ok());
    assert!(accepted("printf %s \"$KEY\" | secretctl set A --provider openai"));
    assert!(!accepted("true | secretctl set A --porvider openai"));
    assert!(!accepted("secretctl run npm start"));
    assert!(as_shell_reads("scretctl list").is_empty());
    assert_eq!(as_shell_reads("secretctl list < nginx.conf.in | x").len(), 1);
}
