//! Values as files: exact, private, and gone when the command has ended, however that was.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::Env;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness;
use secretsd_tests::process::{self, DEADLINE};
use serde_json::json;

use crate::{KEY, stored};

/// A run that has said where its file is, and its child's id.
fn started(env: &Env, script: &str) -> (Child, PathBuf, u32, BufReader<std::process::ChildStdout>) {
    let script = format!("echo $KEY; echo $$; {script}");
    // What started the tests may ignore a signal, and what is ignored stays so.
    let mut command = env.command("env");
    command.args([
        "--default-signal",
        env.programs().client,
        "run",
        "--file",
        "KEY",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let (path, pid) = (line().into(), line().parse().unwrap());
    (child, path, pid, lines)
}

/// Nothing is left of any run.
#[track_caller]
fn assert_empty(env: &Env) {
    let left: Vec<_> = fs::read_dir(env.runtime_dir().join("run")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_has_the_value_and_is_the_owners_to_read() {
    let env = stored();
    let script = "stat -c %a \"$KEY\" \"${KEY%/*}\"; cat \"$KEY\"; cat; echo err >&2; exit 5";
    let output = env.ctl(["run", "--file", "KEY", "--", "sh", "-c", script]).stdin("in").run();
    assert_eq!(output.code, Some(5));
    assert_eq!(output.out(), format!("400\n700\n{KEY}in"));
    assert!(output.err().ends_with("err\n"));
    assert_empty(&env);
    let script = "echo ${A##*/} ${#KEY}; cat $A";
    let shown = env.ctl(["run", "-s", "KEY", "--file", "a*", "--", "sh", "-c", script]).expect(0);
    assert_eq!(shown, format!("A {}\n{}", KEY.len(), crate::VALUE));
}

#[test]
fn it_is_gone_whatever_ends_the_command() {
    let env = stored();
    env.ctl(["run", "--file", "KEY", "--", "sh", "-c", "kill -SEGV $$"]).run();
    assert_empty(&env);
    env.ctl(["run", "--file", "KEY", "--", "no-such-program-anywhere"]).run().assert_code(127);
    assert_empty(&env);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1] {
        // What is sent to us alone goes to the command, which may have its own mind.
        let script = "trap 'exit 7' TERM INT HUP QUIT USR1; echo ready; while :; do sleep 0.02; done";
        let (mut child, path, _, mut lines) = started(&env, script);
        lines.read_line(&mut String::new()).unwrap();
        assert!(path.exists());
        process::signal(child.id(), signal);
        assert_eq!(process::wait(&mut child, DEADLINE).code(), Some(7), "{signal:?}");
        assert!(!path.exists(), "{signal:?}");
        let (mut child, path, ..) = started(&env, "exec sleep 600");
        process::signal(child.id(), signal);
        assert_eq!(process::wait(&mut child, DEADLINE).signal(), Some(signal.as_raw()));
        assert!(!path.exists(), "{signal:?}");
    }
    assert_empty(&env);
}

/// What waits for us must see what ended the command: else a shell goes on with its loop or script after Ctrl-C, and a
/// service manager takes the end that it asked for as a failure.
#[test]
fn what_dies_of_a_signal_is_seen_to_die_of_it() {
    let env = stored();
    for way in [&["--file", "KEY"][..], &["-s", "A", "--mask"], &["--file", "KEY", "--mask"]] {
        // Of the last ones, our library for signals knows nothing.
        for signal in (1..=15).chain([24, 25, 26, 27, 29, 30, 31, 34, 64]) {
            let script = format!("ulimit -c 0; kill -{signal} $$; sleep 600");
            let mut command = env.command("env");
            command.args(["--default-signal", env.programs().client, "run"]).args(way);
            let mut child = command.args(["--", "sh", "-c", &script]).spawn().unwrap();
            assert_eq!(process::wait(&mut child, DEADLINE).signal(), Some(signal), "{way:?} {signal}");
        }
        let line =
            format!("'{}' run {} -- sh -c 'kill -TERM $$'; echo $?", env.programs().client, way.join(" "));
        let (_, output) = process::run(env.command("bash").args(["-c", &line]), b"");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "143\n", "{way:?}");
    }
    assert_empty(&env);
}

/// Who asks us to end while the file is being written gets a command that was asked, and no file that stays.
#[test]
fn a_signal_before_the_command_starts_leaves_no_file() {
    let test = "a_signal_before_the_command_starts_leaves_no_file";
    if let Some(why) = harness::no_strace() {
        return harness::skip(test, why);
    }
    let env = stored();
    let log = env.path("home/strace");
    let slowly = ["-e", "trace=fchmod", "-e", "inject=fchmod:delay_exit=1000000"];
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let words = harness::strace(log.to_str().unwrap(), &slowly);
        let mut command = env.command("env");
        command.arg("--default-signal").args(&words).arg(env.programs().client);
        let mut child = command.args(["run", "--file", "KEY", "--", "sleep", "600"]).spawn().unwrap();
        let end = Instant::now() + DEADLINE;
        let is_there = || {
            let runs = fs::read_dir(env.runtime_dir().join("run")).into_iter().flatten().flatten();
            runs.map(|run| run.path().join("KEY")).any(|file| file.exists())
        };
        while !is_there() {
            assert!(Instant::now() < end, "there is no file");
            thread::sleep(Duration::from_millis(5));
        }
        process::signal(child.id(), signal);
        assert_eq!(process::wait(&mut child, DEADLINE).signal(), Some(signal.as_raw()));
        assert_empty(&env);
    }
}

#[test]
fn what_a_killed_run_leaves_is_swept_by_the_next_run_and_the_next_daemon() {
    let mut env = stored();
    let kill = |env: &Env| {
        let (mut child, path, pid, _) = started(env, "exec sleep 600");
        child.kill().unwrap();
        child.wait().unwrap();
        process::signal(pid, Signal::KILL);
        assert!(path.exists());
        path
    };
    let left = kill(&env);
    let (mut lasting, kept, ..) = started(&env, "cat");
    assert!(!left.parent().unwrap().exists(), "the next run sweeps");
    let left = kill(&env);
    let stranger = env.runtime_dir().join("run/stranger");
    fs::write(&stranger, "x").unwrap();
    env.kill();
    env.start();
    assert!(!left.parent().unwrap().exists(), "the daemon sweeps");
    assert!(kept.exists(), "a run that lasts keeps its files");
    assert!(stranger.exists(), "what is not of a run stays");
    drop(lasting.stdin.take());
    assert!(process::wait(&mut lasting, DEADLINE).success());
    assert!(!kept.exists());
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

#[test]
fn a_signal_that_was_ignored_stays_so() {
    let env = stored();
    let line =
        format!("trap '' HUP; '{}' run --file KEY -- grep SigIgn /proc/self/status", env.programs().client);
    let mut command = env.command("sh");
    let (_, output) = process::run(command.args(["-c", &line]), b"");
    let shown = String::from_utf8(output.stdout).unwrap();
    let mask = u64::from_str_radix(shown.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "{shown}");
}
