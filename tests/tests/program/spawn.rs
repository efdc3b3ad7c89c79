//! Starting the daemon, with a shell script in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::text;

/// A stand-in for the daemon's program, as a shell script beside a copy of ours.
fn with_daemon_program(script: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("secretctl");
    copy(Path::new(env!("CARGO_BIN_EXE_secretctl")), &program);
    let written = dir.path().join("script");
    fs::write(&written, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).unwrap();
    copy(&written, &dir.path().join("secretsd"));
    (dir, program)
}

/// Copies a program by another process: a descriptor of ours that writes could be inherited by what another test is just
/// starting, and until that is another program the copy could not be executed.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

fn status(program: &Path, dir: &Path) -> Output {
    Command::new(program)
        .args(["status", "--socket"])
        .arg(dir.join("s.sock"))
        .env("SECRETSD_STATE_DIR", dir.join("state"))
        .env("SECRETSD_TOKEN", "canary")
        // As within a shell that `run` has started.
        .env("OPENAI_API_KEY", "canary")
        .env("XDG_TESTED", "kept")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_daemon_that_ends_at_once_is_reported_with_its_log() {
    let (dir, program) = with_daemon_program("echo \"$@\" >&2; env >&2; exit 9");
    let output = status(&program, dir.path());
    assert_eq!(output.status.code(), Some(8));
    let message = text(&output.stderr);
    assert!(message.contains("status 9") && message.contains("secretsd.log"), "{message}");
    let log = fs::read_to_string(dir.path().join("state/secretsd.log")).unwrap();
    assert!(log.starts_with(&format!("--socket {}\n", dir.path().join("s.sock").display())), "{log}");
    assert!(!log.contains("canary"));
    assert!(log.contains("XDG_TESTED=kept") && log.contains("PATH="), "{log}");
}

#[test]
fn a_started_daemon_is_in_its_own_session_and_not_our_child() {
    let (dir, program) = with_daemon_program("cut -d' ' -f4,6 /proc/$$/stat > \"$2.stat\"");
    let output = status(&program, dir.path());
    assert_eq!(output.status.code(), Some(8));
    let stat = fs::read_to_string(dir.path().join("s.sock.stat")).unwrap();
    let (parent, session) = stat.trim().split_once(' ').unwrap();
    // The nurse is both its parent and the session's leader.
    assert_eq!(parent, session);
}
