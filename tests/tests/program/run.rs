//! What the command of `run` gets, inherits and returns.

use std::process::{Command, Stdio};

use crate::daemon::{Daemon, VALUE};
use crate::text;

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
fn a_daemon_that_knows_no_directories_is_asked_without() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run(&["run", "-s", "OLD", "--", "true"]).status.code(), Some(0));
    let asked: Vec<bool> = daemon.requests().iter().map(|request| request.contains("directory")).collect();
    assert_eq!(asked, [true, false]);
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
