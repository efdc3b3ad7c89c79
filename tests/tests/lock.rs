//! Locking: nothing is left in memory, nobody is turned away, and what comes after finds the vault locked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::activation::activated;
use secretsd_tests::env::{CHEAP_KDF, Env, PASSPHRASE};
use secretsd_tests::harness::{behind, no_strace, skip, strace};
use secretsd_tests::http::Answer;
use secretsd_tests::{process, programs};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(20);

/// What every canary is made of, and nothing in the daemon itself.
const MARK: &str = "CaNaRy-";

/// Text of this length in which every piece of 20 characters says which canary it is.
fn canary(index: usize, length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&format!("{MARK}{index:02};"));
    }
    text.truncate(length);
    text
}

/// Which canaries are somewhere in the process's memory.
fn canaries_in_memory(pid: u32) -> BTreeSet<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut found = BTreeSet::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with('r'))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // The kernel's own mappings cannot be read.
        let length = memory.read_at(&mut bytes, from).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..length]);
        for (at, _) in text.match_indices(MARK) {
            found.insert(text[at..].chars().take(MARK.len() + 2).collect());
        }
    }
    found
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::yield_now();
    }
}

#[test]
fn memory_holds_nothing_after_a_lock() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "memory after a lock",
            "only root can read the memory of a process that is not dumpable",
        );
    }
    let env = Env::started(programs!());
    let passphrase = canary(0, 40);
    env.post("/vault/init", &json!({ "passphrase": passphrase })).expect(201);
    let sizes = [40, 4_000, 60_000];
    for index in 1..=24 {
        env.store(&format!("SECRET_{index}"), &canary(index, sizes[index % sizes.len()]));
    }
    env.post("/user/secrets/reveal", &json!({ "secrets": ["*"], "purpose": "test" })).expect(200);
    // The scan must find what is there: a note is kept in memory while the vault is open.
    let id = env.store("NOTED", "x")["id"].as_str().unwrap().to_owned();
    let note = json!({ "note": canary(25, 40) });
    env.request("PATCH", &format!("/user/secrets/{id}")).json(&note).send().expect(200);
    assert!(canaries_in_memory(env.pid()).contains(&format!("{MARK}25")), "the scan is blind");

    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(canaries_in_memory(env.pid()), BTreeSet::new());

    // The same for a wrong key, and for a key that opens but is locked again at once.
    env.post("/vault/unlock", &json!({ "passphrase": canary(30, 40) })).expect_error(403, "wrong_key_error");
    env.post("/vault/unlock", &json!({ "passphrase": passphrase })).expect(200);
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(canaries_in_memory(env.pid()), BTreeSet::new());
}

#[test]
fn the_process_the_socket_and_the_token_stay() {
    let env = Env::unlocked(programs!());
    let (pid, token) = (env.pid(), env.token());
    let inode = |env: &Env| std::os::unix::fs::MetadataExt::ino(&fs::metadata(env.socket()).unwrap());
    let before = inode(&env);
    let status = env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(status["state"], "locked");
    assert_eq!((env.listener(), env.token(), inode(&env)), (Some(pid), token, before));
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name.trim_end(), "secretsd");
    // Hardened again, and with nothing inherited but what it needs.
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    if rustix::process::geteuid().is_root() {
        let open = |env: &Env| fs::read_dir(format!("/proc/{}/fd", env.pid())).unwrap().count();
        let before = open(&env);
        const LOCKS: usize = 10;
        for _ in 0..LOCKS {
            env.post("/vault/lock", &json!({})).expect(200);
        }
        // A new image opens its watch on the socket's directory after it has answered: not one for each lock.
        let after = open(&env);
        assert!(after < before + LOCKS, "descriptors are left open: {before}, {after}");
    }
    // A second daemon is still kept out: the lock on the vault was never let go.
    let (status, said) = env.fail_to_start(env.daemon_command());
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains(&pid.to_string()), "{said}");
}

#[test]
fn a_socket_that_was_handed_over_outlives_locks_and_the_daemon() {
    let mut env = Env::new(programs!());
    env.private_dir("run/secretsd");
    let mut command = activated(&env, &[("api", &env.socket())]);
    command.args(["--log-level", "debug"]);
    env.start_as(command);
    env.init();
    let pid = env.pid();
    for _ in 0..3 {
        env.post("/vault/lock", &json!({})).expect(200);
        assert_eq!((env.state(), env.listener()), ("locked".to_owned(), Some(pid)));
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    }
    assert!(env.stop().success(), "{}", env.log());
    assert!(env.socket().exists(), "the socket's file is not the daemon's to remove");
}

#[test]
fn the_answer_to_a_lock_is_like_any_other() {
    let env = Env::unlocked(programs!());
    let answer = env.post("/vault/lock", &json!({}));
    for header in ["x-request-id", "content-type", "cache-control"] {
        assert!(answer.header(header).is_some(), "{header} is missing");
    }
    assert_eq!(answer.header("connection"), Some("close"));
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(env.state(), "locked");
    let curl = env.curl([
        "-X",
        "POST",
        "-H",
        &format!("Authorization: Bearer {}", env.token()),
        "http://localhost/api/v1/vault/lock",
    ]);
    assert!(curl.status.success(), "{curl:?}");
}

#[test]
fn locks_at_once_are_all_answered() {
    let env = Env::unlocked(programs!());
    thread::scope(|scope| {
        let locks: Vec<_> = (0..8).map(|_| scope.spawn(|| env.post("/vault/lock", &json!({})))).collect();
        for lock in locks {
            assert_eq!(lock.join().unwrap().expect(200)["state"], "locked");
        }
    });
    assert_eq!(env.state(), "locked");
}

#[test]
fn no_request_fails_while_the_daemon_locks_and_unlocks() {
    let mut env = Env::new(programs!());
    let key = env.private_file("key", [7; 32]);
    env.start();
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    env.store("A", "the-value");
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reveal = json!({ "secrets": ["A"], "purpose": "test" });
    thread::scope(|scope| {
        for number in 0..4 {
            let (env, done, answered, reveal) = (&env, &done, &answered, &reveal);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let answer: Answer = match number % 2 {
                        0 => env.get("/user/secrets"),
                        _ => env.post("/user/secrets/reveal", reveal),
                    };
                    // A connection of its own for each request: every one is answered.
                    match answer.status {
                        200 => {}
                        403 => drop(answer.expect_error(403, "vault_locked_error")),
                        other => panic!("answered {other}: {}", answer.text()),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..10 {
            env.post("/vault/lock", &json!({})).expect(200);
            let refused = env.post("/user/secrets/reveal", &reveal);
            refused.expect_error(403, "vault_locked_error");
            env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) >= 20);
    assert_eq!(env.value("A"), "the-value");
}

#[test]
fn a_signal_locks_and_a_second_one_does_no_harm() {
    let env = Env::unlocked(programs!());
    for _ in 0..5 {
        process::signal(env.pid(), Signal::USR1);
    }
    wait_until("locked", || env.state() == "locked");
    assert_eq!(env.listener(), Some(env.pid()));
    process::signal(env.pid(), Signal::USR1);
    assert_eq!(env.state(), "locked");
}

#[test]
fn an_idle_vault_locks_itself_and_empties_its_memory() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nidle_seconds = 1\n"));
    env.start();
    let passphrase = canary(0, 40);
    env.post("/vault/init", &json!({ "passphrase": passphrase })).expect(201);
    env.store("A", &canary(1, 40));
    wait_until("locked by itself", || env.state() == "locked");
    if rustix::process::geteuid().is_root() {
        // The image is replaced just after the state says so.
        wait_until("empty", || canaries_in_memory(env.pid()).is_empty());
    }
    env.post("/vault/unlock", &json!({ "passphrase": passphrase })).expect(200);
}

/// A request whose body does not come, which holds up the end of the image that is to be replaced.
fn half_a_request(env: &Env) -> UnixStream {
    let mut slow = UnixStream::connect(env.socket()).unwrap();
    let token = env.token();
    let head = format!(
        "POST /api/v1/user/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).unwrap();
    wait_until("received", || env.get("/vault").status == 200);
    slow
}

#[test]
fn a_stop_during_a_lock_is_not_lost_and_the_lock_is_answered() {
    let mut env = Env::unlocked(programs!());
    let slow = half_a_request(&env);
    thread::scope(|scope| {
        let lock = scope.spawn(|| env.post("/vault/lock", &json!({})));
        // The lock is done when its log line is there; the slow request then holds up the relaunch.
        wait_until("locked", || env.log().contains("INFO locked"));
        process::signal(env.pid(), Signal::TERM);
        assert_eq!(lock.join().unwrap().expect(200)["state"], "locked");
    });
    assert!(process::wait_gone(env.pid(), DEADLINE), "the signal was lost");
    assert!(env.stop().success());
    drop(slow);
}

#[test]
fn nothing_unlocks_the_image_that_is_to_be_replaced() {
    let env = Env::unlocked(programs!());
    let _slow = half_a_request(&env);
    // An unlock on a connection that was there before the lock, finished after it.
    let mut late = UnixStream::connect(env.socket()).unwrap();
    let body = json!({ "passphrase": PASSPHRASE }).to_string();
    let (token, length) = (env.token(), body.len());
    let head = format!(
        "POST /api/v1/vault/unlock HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    let (first, last) = body.split_at(length - 3);
    late.write_all(format!("{head}{first}").as_bytes()).unwrap();
    wait_until("received", || env.get("/vault").status == 200);
    thread::scope(|scope| {
        let lock = scope.spawn(|| env.post("/vault/lock", &json!({})));
        wait_until("locked", || env.log().contains("INFO locked"));
        late.write_all(last.as_bytes()).unwrap();
        let mut answer = String::new();
        // Refused, or cut off with the image; never told that the vault is open.
        let _ = late.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        lock.join().unwrap().expect(200);
    });
    assert_eq!(env.state(), "locked");
}

#[test]
fn a_lock_is_answered_even_if_the_daemon_cannot_go_on() {
    let mut env = Env::unlocked(programs!());
    env.settings("no_such_setting = 1\n");
    assert_eq!(env.post("/vault/lock", &json!({})).expect(200)["state"], "locked");
    assert!(process::wait_gone(env.pid(), DEADLINE));
    assert_eq!(env.stop().code(), Some(7));
}

#[test]
fn a_lock_does_not_wait_for_a_slow_request() {
    let env = Env::unlocked(programs!());
    let _slow = half_a_request(&env);
    let started = Instant::now();
    env.post("/vault/lock", &json!({})).expect(200);
    assert!(started.elapsed() < Duration::from_secs(4), "a slow request held the lock up");
}

#[test]
fn a_vault_in_use_locks_itself_after_its_longest_time() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nidle_seconds = 0\nmax_seconds = 1\n"));
    env.start();
    env.init();
    env.store("A", "x");
    let reveal = json!({ "secrets": ["A"], "purpose": "test" });
    // Each reveal is a use, and does not put it off.
    wait_until("locked by itself", || env.post("/user/secrets/reveal", &reveal).status == 403);
    assert_eq!(env.state(), "locked");
}

#[test]
fn the_service_manager_is_told_when_the_daemon_is_ready_again_and_stops() {
    let mut env = Env::new(programs!());
    let path = env.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = env.daemon_command();
    command.env("NOTIFY_SOCKET", &path);
    env.start_as(command);
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).expect("the manager is told nothing");
        String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned()
    };
    assert_eq!(told(), "READY=1");
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(told(), "READY=1", "after the relaunch");
    assert!(env.stop().success());
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn the_service_manager_is_not_told_that_a_vault_that_hangs_is_alive() {
    const TEST: &str = "the_service_manager_is_not_told_that_a_vault_that_hangs_is_alive";
    if let Some(reason) = no_strace() {
        return skip(TEST, reason);
    }
    let mut env = Env::new(programs!());
    let path = env.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let slow_disk = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=100000"];
    let mut command = behind(&env, &strace("/dev/null", &slow_disk));
    // A beat every 50 ms.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    env.start_as(command);
    let beat = || {
        let mut bytes = [0; 256];
        while manager.recv(&mut bytes).expect("the manager is told nothing") == 0
            || !bytes.starts_with(b"WATCHDOG=1")
        {}
        Instant::now()
    };
    let mut longest = Duration::ZERO;
    thread::scope(|scope| {
        let mut last = beat();
        let init = scope.spawn(|| env.init());
        loop {
            // The beat after the last operation, too: it may be the first after the hanging.
            let is_over = init.is_finished();
            let now = beat();
            longest = longest.max(now - last);
            last = now;
            if is_over {
                break;
            }
        }
    });
    assert!(longest >= Duration::from_millis(900), "told so while the vault's thread hung: {longest:?}");
    beat();
}
