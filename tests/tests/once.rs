//! Answers that are shown once: where they cannot be shown, nothing is done; while they are on their way, a signal waits.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::json;

const TOKEN: [&str; 6] = ["token", "create", "--name", "t", "--scope", "list"];

/// The commands whose answer is shown once, on an open vault.
const COMMANDS: [&[&str]; 3] =
    [&["rotate", "--passphrase-file", "phrase"], &["key", "add", "--recovery"], &TOKEN];

/// What the vault can be opened with and asked by.
fn keys(env: &Env) -> String {
    format!("{} {}", env.get("/vault/keys").expect(200), env.get("/tokens").expect(200))
}

#[test]
fn nothing_is_done_where_stdout_is_known_to_take_nothing() {
    let env = Env::unlocked(programs!());
    env.private_file("phrase", PASSPHRASE);
    let before = keys(&env);
    let client = env.programs().client;
    for (redirect, told) in
        [(">&-", "closed"), (">/dev/full", "No space left on device"), ("1</dev/null", "reading alone")]
    {
        for arguments in COMMANDS.into_iter().chain([&["init", "--passphrase-file", "phrase"][..]]) {
            let mut command = env.command("sh");
            command.args(["-c", &format!("exec \"$@\" {redirect}"), "sh", client]).args(arguments);
            let (_, output) = process::run(&mut command, b"");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {redirect}: {said}");
            assert!(said.contains(told), "{arguments:?} {redirect}: {said}");
        }
    }
    // Nobody reads the pipe any more.
    for arguments in COMMANDS {
        let mut command = env.command("sh");
        command
            .args(["-c", "{ sleep 0.2; \"$@\"; echo $? >code; } | exec true", "sh", client])
            .args(arguments);
        process::run(&mut command, b"");
        assert_eq!(fs::read_to_string(env.path("code")).unwrap(), "1\n", "{arguments:?}");
    }
    assert_eq!(keys(&env), before);
}

#[test]
fn an_answer_that_could_not_be_printed_after_all_is_a_failure_with_a_cure() {
    let env = Env::unlocked(programs!());
    env.private_file("phrase", PASSPHRASE);
    let client = env.programs().client;
    let mut left =
        COMMANDS.into_iter().zip(["key add --recovery", "key list", "token revoke"]).collect::<Vec<_>>();
    let end = Instant::now() + DEADLINE;
    while let Some((arguments, cure)) = left.pop() {
        // The reader goes away while the daemon is at work: it is stopped for that.
        let mut command = env.command(client);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        process::signal(env.pid(), Signal::STOP);
        let mut child = command.spawn().unwrap();
        wait_until_connected(&child);
        drop(child.stdout.take());
        process::signal(env.pid(), Signal::CONT);
        let status = process::wait(&mut child, DEADLINE);
        let mut said = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        if said.contains("nothing was done") && Instant::now() < end {
            // It went before stdout was looked at.
            left.push((arguments, cure));
            continue;
        }
        assert!(said.contains("could not be printed") && said.contains(cure), "{arguments:?}: {said}");
    }
}

/// Waits until the client has a socket, which is its connection.
fn wait_until_connected(child: &Child) {
    let end = Instant::now() + DEADLINE;
    let has_socket = || {
        let dir = fs::read_dir(format!("/proc/{}/fd", child.id()));
        dir.is_ok_and(|dir| {
            dir.flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|it| it.to_string_lossy().contains("socket:")))
        })
    };
    while !has_socket() {
        assert!(Instant::now() < end, "the client does not connect");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_signal_waits_for_the_answer() {
    let env = Env::unlocked(programs!());
    env.private_file("phrase", PASSPHRASE);
    for arguments in COMMANDS {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            let (child, said) = interrupted(&env, arguments, signal, false);
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.signal(), Some(signal.as_raw()), "{arguments:?}");
            let answer = String::from_utf8(output.stdout).unwrap();
            let all = fs::read_to_string(env.path("stderr")).unwrap();
            assert!(answer.trim_end().len() > 40, "{arguments:?} {signal:?}: {answer:?} {all}");
            assert!(said.contains("still to be printed"), "{arguments:?} {signal:?}: {said}");
            if arguments == TOKEN {
                env.ctl(["token", "revoke", "t"]).expect(0);
            }
        }
    }
}

#[test]
fn a_second_signal_does_not_wait_and_the_cure_was_told() {
    let env = Env::unlocked(programs!());
    env.private_file("phrase", PASSPHRASE);
    for (arguments, cure) in COMMANDS.into_iter().zip(["key add --recovery", "key list", "token revoke"]) {
        let (child, said) = interrupted(&env, arguments, Signal::INT, true);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(Signal::INT.as_raw()), "{arguments:?}");
        assert!(said.contains(cure), "{said}");
    }
}

/// A command that gets a signal while the daemon is at it, and then perhaps another one; and what it has said by then. It
/// is tried again where the signal came before anything was asked, or when the answer was there already.
fn interrupted(env: &Env, arguments: &[&str], signal: Signal, twice: bool) -> (Child, String) {
    let stderr = env.path("stderr");
    let end = Instant::now() + DEADLINE;
    let told = || fs::read_to_string(&stderr).unwrap();
    loop {
        // What a background job of a shell ignores, its children do, too.
        let mut command: Command = env.command("env");
        command.arg("--default-signal").arg(env.programs().client).args(arguments);
        command.stdout(Stdio::piped()).stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        if wait_until_holding(&mut child) {
            process::signal(env.pid(), Signal::STOP);
            process::signal(child.id(), signal);
        }
        let missed = Instant::now() + DEADLINE / 8;
        let is_held = loop {
            if told().contains("second signal") {
                break true;
            }
            let answer = ioctl_fionread(child.stdout.as_ref().unwrap()).unwrap();
            if answer > 0 || child.try_wait().unwrap().is_some() || Instant::now() > missed {
                break false;
            }
            thread::sleep(Duration::from_millis(2));
        };
        if twice && is_held {
            process::signal(child.id(), signal);
            process::wait(&mut child, DEADLINE);
        }
        process::signal(env.pid(), Signal::CONT);
        if is_held {
            return (child, told());
        }
        assert!(Instant::now() < end, "nothing is said: {}", told());
        process::wait(&mut child, DEADLINE);
        env.ctl(["token", "revoke", "t"]).run();
    }
}

/// Waits until signals are caught: SigCgt in proc(5). `false` if it has ended, as it may have before it was looked at: of what
/// has ended and was not waited for, no signal is caught.
fn wait_until_holding(child: &mut Child) -> bool {
    let end = Instant::now() + DEADLINE;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        if caught & 0b10 != 0 {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < end, "signals are never caught: {status}");
        thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn ctrl_c_during_init_shows_the_recovery_key_all_the_same() {
    let mut env = Env::new(programs!());
    // Slow enough to be interrupted.
    env.settings("[kdf]\nmemory_kib = 262144\npasses = 8\nlanes = 1\n");
    env.start();
    let mut terminal = Terminal::run(&env, &[env.programs().client, "init"]);
    terminal.wait_for("new passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.wait_for("repeat it: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.wait_for("creating the vault…");
    terminal.type_keys("\u{3}");
    terminal.wait_for("still to be printed");
    terminal.wait_for("shown only once:");
    assert_eq!(terminal.wait().signal(), Some(Signal::INT.as_raw()));
    let shown = terminal.shown();
    let key = shown.rsplit("shown only once:").next().unwrap().trim().to_owned();
    let file = env.private_file("recovery", key);
    env.ctl(["lock"]).expect(0);
    env.ctl(["unlock", "--recovery-key-file", file.to_str().unwrap()]).expect(0);
    // At the prompt it ends at once, and nothing is made.
    env.settings(CHEAP_KDF);
    let mut terminal = Terminal::run(&env, &[env.programs().client, "rotate"]);
    let before = keys(&env);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys("\u{3}");
    terminal.wait();
    assert_eq!(keys(&env), before);
    let again = env.ctl(["init"]).run();
    again.assert_code(6);
    assert!(again.err().contains("key add --recovery"), "{}", again.err());
}

/// The recovery keys of which nobody has confirmed that they were shown.
fn unconfirmed(env: &Env) -> usize {
    let list = env.get("/vault/keys").expect(200);
    let keys = list["keys"].as_array().unwrap().iter();
    keys.filter(|key| key["unconfirmed"] == true && key["kind"] == "recovery").count()
}

/// Everybody who may be asked tells of an unconfirmed recovery key, and a new one takes its place.
fn is_told_and_replaced(env: &Env) {
    const TOLD: &str = "nobody has confirmed";
    assert_eq!(unconfirmed(env), 1);
    let before = env.get("/vault").expect(200)["keys"].clone();
    let status = env.ctl(["status"]).run();
    assert!(status.err().contains(TOLD) && status.err().contains("key add --recovery"), "{}", status.err());
    assert!(status.out().contains("recovery key (not confirmed)"), "{}", status.out());
    assert!(env.ctl(["key", "list"]).run().out().contains("recovery key (not confirmed)"));
    assert!(env.ctl(["doctor"]).run().out().contains(TOLD));
    env.ctl(["lock"]).expect(0);
    let unlocked = env.ctl(["unlock", "--passphrase-file", "phrase"]).run();
    unlocked.assert_code(0);
    assert!(unlocked.err().contains(TOLD), "{}", unlocked.err());

    let added = env.ctl(["key", "add", "--recovery"]).run();
    added.assert_code(0);
    assert!(added.err().contains("which nobody had confirmed"), "{}", added.err());
    assert_eq!(unconfirmed(env), 0);
    assert_eq!(env.get("/vault").expect(200)["keys"], before);
    assert!(!env.ctl(["status"]).run().err().contains(TOLD));
    env.ctl(["lock"]).expect(0);
    let file = env.private_file("recovery", added.out());
    let unlocked = env.ctl(["unlock", "--recovery-key-file", file.to_str().unwrap()]).run();
    unlocked.assert_code(0);
    assert!(!unlocked.err().contains(TOLD), "{}", unlocked.err());
}

#[test]
fn a_recovery_key_that_nobody_saw_is_told_and_can_be_replaced() {
    let env = Env::unlocked(programs!());
    env.private_file("phrase", PASSPHRASE);
    for arguments in COMMANDS.into_iter().filter(|arguments| *arguments != TOKEN) {
        // The answer is in the pipe, whose reader goes away without it.
        let mut command = env.command(env.programs().client);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let end = Instant::now() + DEADLINE;
        while ioctl_fionread(&stdout).unwrap() == 0 {
            assert!(Instant::now() < end, "nothing is printed");
            thread::sleep(Duration::from_micros(100));
        }
        drop(stdout);
        assert_eq!(process::wait(&mut child, DEADLINE).code(), Some(1), "{arguments:?}");
        is_told_and_replaced(&env);

        // It ends by a second signal while the daemon is at it; that may have been before it had asked.
        let (child, _) = interrupted(&env, arguments, Signal::INT, true);
        assert_eq!(child.wait_with_output().unwrap().stdout, b"");
        let end = Instant::now() + Duration::from_secs(2);
        while unconfirmed(&env) == 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        if unconfirmed(&env) > 0 {
            is_told_and_replaced(&env);
        }
    }
}

#[test]
fn a_recovery_key_is_confirmed_by_who_says_so_and_asked_of_nobody_else() {
    let mut env = Env::new(programs!());
    env.settings(CHEAP_KDF);
    env.start();
    env.private_file("phrase", PASSPHRASE);
    env.ctl(["init", "--passphrase-file", "phrase"]).expect(0);
    assert_eq!(unconfirmed(&env), 0);
    // A program that knows nothing of it.
    env.post("/vault/rotate", &json!({ "passphrase": PASSPHRASE })).expect(200);
    env.post("/vault/keys", &json!({ "recovery": true })).expect(201);
    assert_eq!(unconfirmed(&env), 0);
    // One that does.
    let rotated =
        env.post("/vault/rotate", &json!({ "passphrase": PASSPHRASE, "confirm": true })).expect(200);
    assert_eq!(unconfirmed(&env), 1);
    let id = &rotated["recovery_key_id"];
    env.request("POST", &format!("/vault/keys/{}/confirm", id.as_str().unwrap())).send();
    assert_eq!(unconfirmed(&env), 0);
    let log = env.get("/audit?limit=1").expect(200);
    assert_eq!(log["entries"][0]["action"], "key_confirm", "{log}");
    env.ctl(["verify"]).expect(0);
    env.ctl(["lock"]).expect(0);
    let file = env.private_file("recovery", rotated["recovery_key"].as_str().unwrap());
    env.ctl(["unlock", "--recovery-key-file", file.to_str().unwrap()]).expect(0);
    env.request("POST", "/vault/keys/2489e9ad-2ee2-4e00-8ec9-32d5f69181c0/confirm")
        .send()
        .expect_error(404, "not_found_error");
}
