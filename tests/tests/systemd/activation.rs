//! The socket that systemd holds and the daemon behind it: starting, locking, restarting, hanging, crashing.

use std::io::Read;
use std::process::Stdio;

use secretsd_tests::lab::User;
use secretsd_tests::process;

use crate::support::{SOURCE, drop_in, init, installed, main_pid, repository, state, user};

const SERVICE: &str = "secretsd.service";

fn active(user: &User<'_>, unit: &str) -> String {
    user.property(unit, "ActiveState")
}

#[test]
fn the_first_request_starts_the_daemon_and_is_answered() {
    let Some(lab) = installed("the_first_request_starts_the_daemon_and_is_answered") else { return };
    let user = user(lab, "opener");
    assert_eq!(active(&user, SERVICE), "inactive");
    assert_eq!(state(&user), "uninitialized");
    assert_eq!(active(&user, SERVICE), "active");
    // A stop leaves the socket, and the next request starts it again.
    init(&user);
    user.systemctl(&["stop", SERVICE]);
    assert_eq!(
        (active(&user, SERVICE).as_str(), active(&user, "secretsd.socket").as_str()),
        ("inactive", "active")
    );
    assert_eq!(state(&user), "locked");
    // With the socket, its file goes.
    user.systemctl(&["stop", SERVICE, "secretsd.socket"]);
    assert!(!lab.path(user.runtime_dir()).join("secretsd/secretsd.sock").exists());
}

#[test]
fn values_are_used_over_a_socket_that_systemd_holds() {
    let Some(lab) = installed("values_are_used_over_a_socket_that_systemd_holds") else { return };
    let user = user(lab, "broker");
    let socket = format!("{}/secretsd/use.sock", user.runtime_dir());
    let inode = || lab.run("stat", &["--format=%a %i", &socket]);
    let before = inode();
    assert!(before.starts_with("600 ") && active(&user, SERVICE) == "inactive", "{before}");
    init(&user);
    user.write("value", 0o600, "canary");
    user.run("secretctl", &["set", "KEY", "--value-file", "value"]);
    user.run("secretctl", &["proxy", "rule", "set", "KEY", "--host", "api.example.com"]);
    let ask = |socket: &str, token: &str, path: &str, body: &str| {
        let script = "curl -s --unix-socket \"$XDG_RUNTIME_DIR/secretsd/$0\" -H \"Authorization: Bearer $1\" \
            -H 'content-type: application/json' -d \"$3\" \"http://localhost/api/v1/use/$2\"";
        let answer = user.run("sh", &["-c", script, socket, token, path, body]);
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()
    };
    let owner = user.run("cat", &[&format!("{}/secretsd/token", user.runtime_dir())]);
    let begin = r#"{"secrets":["KEY"],"purpose":"run"}"#;
    let session = ask("secretsd.sock", owner.trim(), "sessions", begin)["token"].clone();
    let take = || {
        let wanted = r#"{"secret":"KEY","method":"GET","host":"api.example.com","port":443,"path":"/"}"#;
        let answer = ask("use.sock", session.as_str().unwrap(), "take", wanted);
        answer["value"].as_str().or(answer["type"].as_str()).unwrap().to_owned()
    };
    assert_eq!(take(), "canary");
    user.run("secretctl", &["lock"]);
    assert_eq!(take(), "vault_locked_error");
    // A restart loses nothing: a request starts the daemon, and the session goes on after the unlock.
    user.systemctl(&["stop", SERVICE]);
    assert_eq!(take(), "vault_locked_error");
    assert_eq!(active(&user, SERVICE), "active");
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    assert_eq!((take().as_str(), inode()), ("canary", before));
    user.systemctl(&["stop", SERVICE, "secretsd-use.socket"]);
    assert!(!lab.path(&socket).exists());
}

#[test]
fn restarts_lose_no_connection() {
    let Some(lab) = installed("restarts_lose_no_connection") else { return };
    let user = user(lab, "crowd");
    lab.copy(&repository().join("tests/lab/crowd.py"), "/opt/crowd.py", 0o644);
    let mut command = user.command("python3");
    let mut crowd = command.arg("/opt/crowd.py").stdout(Stdio::piped()).spawn().unwrap();
    let mut before = 0;
    for _ in 0..3 {
        lab.until("a daemon serves the crowd", || {
            let pid = main_pid(&user);
            pid != 0 && pid != before && active(&user, SERVICE) == "active"
        });
        before = main_pid(&user);
        user.systemctl(&["restart", SERVICE]);
    }
    assert_ne!(main_pid(&user), before);
    user.write("enough", 0o600, "");
    let mut answers = String::new();
    crowd.stdout.take().unwrap().read_to_string(&mut answers).unwrap();
    process::wait(&mut crowd, process::DEADLINE);
    let lost: Vec<_> = answers.lines().filter(|line| *line != "HTTP/1.1 200 OK").collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(answers.lines().count() >= 160, "only {} requests", answers.lines().count());
}

#[test]
fn a_lock_keeps_process_watchdog_and_readiness() {
    let Some(lab) = installed("a_lock_keeps_process_watchdog_and_readiness") else { return };
    let user = user(lab, "locker");
    drop_in(&user, "watchdog", "[Service]\nWatchdogSec=3s\n");
    init(&user);
    let pid = main_pid(&user);
    let locks: [&[&str]; 2] =
        [&["secretctl", "lock"], &["systemctl", "--user", "kill", "-s", "USR1", SERVICE]];
    for lock in locks {
        user.run("secretctl", &["unlock", "--key-file", "key"]);
        assert_eq!(state(&user), "unlocked");
        user.run(lock[0], &lock[1..]);
        lab.until("locked", || state(&user) == "locked");
        let beat = || user.property(SERVICE, "WatchdogTimestampMonotonic");
        for _ in 0..2 {
            let last = beat();
            lab.until("the next beat", || beat() != last);
        }
        assert_eq!(main_pid(&user), pid);
        assert_eq!(active(&user, SERVICE), "active");
        assert_eq!(user.property(SERVICE, "NRestarts"), "0");
    }
    // Settings are read at the start, so there is nothing to reload.
    let reload = user.command("systemctl").args(["--user", "reload", SERVICE]).output().unwrap();
    assert!(!reload.status.success());
    assert_eq!(main_pid(&user), pid);
}

#[test]
fn a_daemon_that_hangs_is_started_again() {
    let Some(lab) = installed("a_daemon_that_hangs_is_started_again") else { return };
    let user = user(lab, "hanger");
    drop_in(&user, "watchdog", "[Service]\nWatchdogSec=2s\n");
    init(&user);
    let pid = main_pid(&user);
    lab.run("kill", &["-STOP", &pid.to_string()]);
    lab.until("another daemon", || ![0, pid].contains(&main_pid(&user)));
    assert_eq!(state(&user), "locked");
    assert_eq!(user.property(SERVICE, "NRestarts"), "1");
    let journal = lab.journal(&[&format!("_UID={}", user.uid()), &format!("USER_UNIT={SERVICE}")]);
    assert!(journal.contains("Watchdog timeout") && journal.contains("status=9/KILL"), "{journal}");
}

#[test]
fn a_newer_program_comes_with_the_next_start() {
    let Some(lab) = installed("a_newer_program_comes_with_the_next_start") else { return };
    let user = user(lab, "upgrader");
    user.run("mkdir", &["bin"]);
    let program = format!("{}/bin/secretsd", user.home());
    lab.copy(lab.path(format!("{SOURCE}/programs/secretsd")).as_path(), &program, 0o755);
    drop_in(&user, "program", &format!("[Service]\nExecStart=\nExecStart={program}\n"));
    init(&user);
    let version = || {
        let status: serde_json::Value =
            serde_json::from_str(&user.run("secretctl", &["status", "--json"])).unwrap();
        status["version"].as_str().unwrap().to_owned()
    };
    let (old, new) = (version(), "9.9.9");
    assert_eq!(old.len(), new.len(), "make the newer version as long as {old}");

    // By the number that is built in.
    user.run("cp", &[&program, "newer"]);
    user.run("sed", &["-i", &format!("s/{}/{new}/g", old.replace('.', "\\.")), "newer"]);
    user.run("mv", &["newer", &program]);

    // What runs goes on as it was, also through a lock.
    let pid = main_pid(&user);
    user.run("secretctl", &["lock"]);
    assert_eq!((version(), main_pid(&user), state(&user).as_str()), (old, pid, "locked"));
    user.systemctl(&["stop", SERVICE]);
    assert_eq!(version(), new);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    assert_eq!(state(&user), "unlocked");
}

#[test]
fn a_daemon_that_cannot_start_is_given_up_until_somebody_helps() {
    let Some(lab) = installed("a_daemon_that_cannot_start_is_given_up_until_somebody_helps") else { return };
    let user = user(lab, "crasher");
    drop_in(&user, "crash", "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=1ms\n");
    let mut client = user.command("secretctl").arg("status").stderr(Stdio::piped()).spawn().unwrap();
    lab.until("the socket is given up", || active(&user, "secretsd.socket") == "failed");
    assert_eq!(active(&user, SERVICE), "failed");
    assert!(!process::wait(&mut client, process::DEADLINE).success());

    user.run("rm", &["-r", ".config/systemd/user/secretsd.service.d"]);
    user.systemctl(&["daemon-reload"]);
    user.systemctl(&["reset-failed", SERVICE, "secretsd.socket"]);
    user.systemctl(&["start", "secretsd.socket"]);
    assert_eq!(state(&user), "uninitialized");
}
