//! The program itself against a scripted daemon: exit codes, what goes where, and what the command of
//! `run` inherits. The real daemon is met in the workspace's end-to-end tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise, also in its helpers"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const ID: &str = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";
const LIST: &str = r#"{"secrets":[{"id":"2489e9ad-2ee2-4e00-8ec9-32d5f69181c0","name":"A_KEY","provider":null,"masked_value":"sk-pro••••789","created_at":"2026-04-15T12:00:00Z","updated_at":"2026-04-15T12:00:00Z"}],"total":1}"#;

/// A daemon that holds `A_KEY` with a value that is hard to carry.
struct Daemon {
    dir: TempDir,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        fs::write(&token, "t0ken").unwrap();
        fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
        let listener = UnixListener::bind(dir.path().join("s.sock")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(BufReader::new(stream.unwrap()));
            }
        });
        Self { dir }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secretctl"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SECRETSD_SOCKET", self.dir.path().join("s.sock"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn serve(mut stream: BufReader<std::os::unix::net::UnixStream>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| Some(line.strip_prefix("content-length:")?.trim().parse().unwrap()));
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    let (status, answer) = respond(&head, std::str::from_utf8(&body).unwrap());
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    // The client may have left; that is its right.
    let _ = stream.get_mut().write_all(text.as_bytes());
}

fn respond(head: &str, body: &str) -> (u16, String) {
    if !head.contains("Bearer t0ken\r\n") {
        return (401, r#"{"code":401,"detail":"no token","type":"authentication_error"}"#.into());
    }
    if head.starts_with("POST /api/v1/user/secrets/reveal") {
        if body.contains("NONE") {
            let missing = r#"{"loc":["body","secrets",1],"msg":"no such secret","type":"missing"}"#;
            return (
                404,
                format!(r#"{{"code":404,"detail":"x","type":"not_found_error","errors":[{missing}]}}"#),
            );
        }
        return (200, format!(r#"{{"secrets":[{{"id":"{ID}","name":"A_KEY","value":"a\n $é'\\\""}}]}}"#));
    }
    if head.starts_with("GET /api/v1/user/secrets?view=full&name=NONE") {
        return (200, r#"{"secrets":[],"total":0}"#.into());
    }
    if head.starts_with("GET /api/v1/user/secrets") {
        return (200, LIST.into());
    }
    (404, r#"{"code":404,"detail":"there is no such route","type":"not_found_error"}"#.into())
}

const VALUE: &str = "a\n $é'\\\"";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn get_writes_the_bytes_and_nothing_else() {
    let output = Daemon::start().run(&["get", "a_key"]);
    assert_eq!((text(&output.stdout), output.status.code()), (VALUE.to_owned(), Some(0)));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn list_passes_the_apis_json_on_unchanged() {
    let daemon = Daemon::start();
    assert_eq!(text(&daemon.run(&["list", "--json"]).stdout), format!("{LIST}\n"));
    assert_eq!(text(&daemon.run(&["--json", "ls"]).stdout), format!("{LIST}\n"));
    assert_eq!(text(&daemon.run(&["list", "--names"]).stdout), "A_KEY\n");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let daemon = Daemon::start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = daemon.command(&["list"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Daemon::start().command(&["list"]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_value_in_argv_is_refused_and_never_shown() {
    let daemon = Daemon::start();
    for line in [
        &["set", "A_KEY", "sk-canary-canary"][..],
        &["set", "A_KEY=sk-canary-canary"],
        &["set", "A_KEY", "--", "-canary"],
        &["add", "A_KEY", "-canary"],
        &["preset", "openai", "canary"],
    ] {
        let output = daemon.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        let message = text(&output.stderr);
        assert!(message.contains("never an argument"), "{message}");
        assert!(!message.contains("canary") && output.stdout.is_empty(), "{message}");
    }
}

#[test]
fn runs_own_failures_do_not_look_like_the_commands() {
    let daemon = Daemon::start();
    let unusable = daemon.dir.path().join("token");
    for (line, code) in [
        (&["run", "--all", "--", "sh", "-c", "exit 3"][..], 3),
        (&["run", "-s", "A_KEY,NONE", "--", "true"], 125),
        (&["run", "-s", "9BAD", "--", "true"], 125),
        (&["run", "-s", "A_KEY", "--", "no-such-command"], 127),
        (&["run", "-s", "A_KEY", "--", unusable.to_str().unwrap()], 126),
        (&["run", "--", "true"], 2),
        (&["run", "-s", "A_KEY"], 2),
        (&["--socket", "/nowhere/s.sock", "--no-spawn", "run", "--all", "--", "true"], 125),
        (&["--socket", "/nowhere/s.sock", "--no-spawn", "list"], 8),
        (&["show", "NONE"], 4),
        (&["show", "A B"], 7),
    ] {
        assert_eq!(daemon.run(line).status.code(), Some(code), "{line:?}");
    }
    let message = text(&daemon.run(&["run", "-s", "A_KEY,NONE", "--", "true"]).stderr);
    assert_eq!(message, "secretctl: no such secret: NONE; see: secretctl list\n");
}

#[test]
fn the_command_gets_the_secrets_and_not_our_token() {
    let daemon = Daemon::start();
    let output = daemon
        .command(&["run", "-s", "a_key", "--", "env", "-0"])
        .envs([("A_KEY", "inherited"), ("SECRETSD_TOKEN", "t0ken"), ("SECRETSD_TOKEN_X", "x"), ("KEPT", "1")])
        .output()
        .unwrap();
    let variables = text(&output.stdout);
    let variables: Vec<&str> = variables.split_terminator('\0').collect();
    assert!(variables.contains(&format!("A_KEY={VALUE}").as_str()), "{variables:?}");
    assert!(variables.contains(&"KEPT=1"));
    assert!(!variables.iter().any(|variable| variable.contains("SECRETSD_TOKEN")));
    assert_eq!(variables.iter().filter(|variable| variable.starts_with("A_KEY=")).count(), 1);
}

#[test]
fn a_clean_environment_holds_only_what_is_promised() {
    let output = Daemon::start()
        .command(&["run", "-s", "A_KEY", "--clean-env", "--", "env", "-0"])
        .envs([("HOME", "/h"), ("TERM", "t"), ("KEPT", "1")])
        .output()
        .unwrap();
    let variables = text(&output.stdout);
    let mut names: Vec<&str> =
        variables.split_terminator('\0').filter_map(|v| Some(v.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["A_KEY", "HOME", "PATH", "TERM"]);
}

#[test]
fn the_command_inherits_nothing_of_ours() {
    let daemon = Daemon::start();
    let script = "grep SigIgn /proc/$$/status; umask; ulimit -c; ls /proc/$$/fd; echo $$";
    let run = |through: &str| {
        let mut child = Command::new("/bin/sh");
        child.args(["-c", &format!("umask 027; exec {through} sh -c \"$1\""), "sh", script]);
        child.env("SECRETSD_SOCKET", daemon.dir.path().join("s.sock"));
        let child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        let shown = text(&child.wait_with_output().unwrap().stdout);
        // The process that was started is the command.
        shown.trim_end().strip_suffix(&pid).unwrap().to_owned()
    };
    // SIGPIPE, umask, limits and descriptors are as if secretctl had not been there.
    assert_eq!(run(&format!("{} run --all --", env!("CARGO_BIN_EXE_secretctl"))), run(""));
}

/// A stand-in for the daemon's program, as a shell script beside a copy of ours.
fn with_daemon_program(script: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("secretctl");
    fs::copy(env!("CARGO_BIN_EXE_secretctl"), &program).unwrap();
    let daemon = dir.path().join("secretsd");
    fs::write(&daemon, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&daemon, fs::Permissions::from_mode(0o755)).unwrap();
    (dir, program)
}

fn status(program: &Path, dir: &Path) -> Output {
    Command::new(program)
        .args(["status", "--socket"])
        .arg(dir.join("s.sock"))
        .env("SECRETSD_STATE_DIR", dir.join("state"))
        .env("SECRETSD_TOKEN", "canary")
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
