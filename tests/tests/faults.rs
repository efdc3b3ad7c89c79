//! A disk that fails, fills up or turns read-only, and descriptors that run out: no write is reported done that is not
//! there after a restart, nothing panics, reads go on, and once the trouble is over writes do too.
//!
//! strace makes system calls fail; the call itself is then not made. `SOAK=1` fails more of them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{behind, no_strace, skip, soak, strace};
use secretsd_tests::http::raw_if_there;
use secretsd_tests::ledger::{Ledger, Outcome, World};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::random::Random;
use secretsd_tests::small_disk::Small;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

const NAMES: usize = 6;

fn new() -> (Env, Value) {
    let env = Env::new(programs!());
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    (env, key)
}

/// With a closed vault of a few secrets, and no daemon.
fn with_vault(seed: u64) -> (Env, Value, Ledger) {
    let (mut env, key) = new();
    env.start();
    env.post("/vault/init", &key).expect(201);
    let mut ledger = Ledger::new("A", NAMES, Random::from_seed(seed));
    let mut connection = Connection::open(&env);
    for _ in 0..8 {
        assert!(matches!(ledger.step(&mut connection), Outcome::Done));
    }
    assert!(env.stop().success());
    (env, key, ledger)
}

fn assert_calm(env: &Env) {
    assert!(!env.log().contains("panicked"), "{}", env.log());
}

/// Asks until it is done; the vault may need one call to find out that the trouble is over.
#[track_caller]
fn soon(what: &str, mut ask: impl FnMut() -> Answer) -> Answer {
    for _ in 0..3 {
        let answer = ask();
        if answer.status < 300 {
            return answer;
        }
        answer.expect_error(500, "storage_error");
    }
    panic!("{what}: still refused, with nothing in the way");
}

/// Reads are served from memory, whatever the disk does.
#[track_caller]
fn assert_readable(connection: &mut Connection, expected: &Value) {
    assert_eq!(connection.ask("GET", "/vault", None).expect(200)["state"], "unlocked");
    assert_eq!(&connection.ask("GET", "/user/secrets", None).expect(200), expected);
}

/// Kills the daemon, starts it without any fault, and compares with what was promised.
fn check_after_restart(env: &mut Env, key: &Value, ledger: &mut Ledger) {
    env.kill();
    env.start();
    check_open(env, key, ledger);
}

fn check_open(env: &Env, key: &Value, ledger: &mut Ledger) {
    env.post("/vault/unlock", key).expect(200);
    ledger.check(&World::read(&mut Connection::open(env)));
    assert_calm(env);
}

/// The daemon's command with a fault in calls on the vault's own files, those of its directories included.
fn faulty(env: &Env, calls: &str, error: &str, when: &str) -> Command {
    let (data, state) = (env.data_dir(), env.state_dir());
    let mut paths = vec![data.display().to_string(), state.display().to_string()];
    for name in ["vault.db", "vault.db-wal", "vault.db.new", "vault.db.new-wal", "vault.db.new-journal"] {
        paths.push(data.join(name).display().to_string());
    }
    for name in ["anchor", "anchor.new"] {
        paths.push(state.join(name).display().to_string());
    }
    let inject = format!("inject={calls}:error={error}:when={when}");
    let trace = format!("trace={calls}");
    let mut options: Vec<&str> = vec!["-e", &trace, "-e", &inject];
    options.extend(paths.iter().flat_map(|path| ["-P", path]));
    let output = env.path("trace").display().to_string();
    behind(env, &strace(&output, &options))
}

fn injected(env: &Env) -> usize {
    fs::read_to_string(env.path("trace")).unwrap().matches("(INJECTED)").count()
}

/// Which calls fail, how, and the first and last of them in the short and in the long form.
const FAULTS: [(&str, &str, u32, u32); 8] = [
    ("fsync,fdatasync", "EIO", 7, 40),
    ("pwrite64", "EIO", 8, 60),
    ("pwrite64", "ENOSPC", 3, 40),
    ("pwrite64", "EROFS", 2, 20),
    ("rename,renameat,renameat2", "EIO", 1, 3),
    ("ftruncate", "EIO", 3, 8),
    ("unlink,unlinkat", "EACCES", 1, 3),
    ("openat", "EROFS", 3, 12),
];

#[test]
fn a_call_that_fails_once_fails_one_write() {
    if let Some(reason) = no_strace() {
        return skip("one failing system call", reason);
    }
    for (calls, error, short, long) in FAULTS {
        let mut fired = 0;
        for nth in 1..=if soak() { long } else { short } {
            fired += fail(calls, error, &nth.to_string());
        }
        assert!(fired > 0, "{calls}: not one call was made to fail");
    }
}

/// Goes through a vault's day with one call failing, and gives how many did.
fn fail(calls: &str, error: &str, when: &str) -> usize {
    println!("{calls} {error} {when}");
    let (mut env, key, mut ledger) = with_vault(7);
    let command = faulty(&env, calls, error, when);
    env.start_as(command);
    let mut connection = Connection::open(&env);
    let mut probes = 0;
    soon("unlock", || connection.ask("POST", "/vault/unlock", Some(&key)));
    for _ in 0..10 {
        let before = connection.ask("GET", "/user/secrets", None).expect(200);
        match ledger.step(&mut connection) {
            Outcome::Done => {}
            Outcome::Refused(_) => {
                assert_readable(&mut connection, &before);
                soon("create", || {
                    // A name of its own for each try: a refused write may be there all the same.
                    probes += 1;
                    let new = json!({ "name": format!("PROBE_{probes}"), "value": "x" });
                    connection.ask("POST", "/user/secrets", Some(&new))
                });
            }
            Outcome::Lost => panic!("the connection broke"),
        }
    }
    connection.ask("POST", "/vault/lock", None).expect(200);
    // Locking restarts the program: its threads are others, and the fault comes once more.
    let mut connection = Connection::open(&env);
    soon("unlock again", || connection.ask("POST", "/vault/unlock", Some(&key)));
    let injected = injected(&env);
    check_after_restart(&mut env, &key, &mut ledger);
    injected
}

#[test]
fn a_rotation_with_one_failing_call_leaves_no_recovery_key_unknown() {
    if let Some(reason) = no_strace() {
        return skip("one failing system call of a rotation", reason);
    }
    let (mut fired, mut done) = (0, 0);
    for nth in 1..=if soak() { 60 } else { 24 } {
        let (mut env, key) = new();
        env.start();
        let old = env.post("/vault/init", &key).expect(201)["recovery_key"].as_str().unwrap().to_owned();
        env.store("A", "x");
        assert!(env.stop().success());
        let command = faulty(&env, "fsync,fdatasync", "EIO", &nth.to_string());
        env.start_as(command);
        soon("unlock", || env.post("/vault/unlock", &key));
        let rotated = env.post("/vault/rotate", &key);
        let known = if rotated.status == 200 {
            done += 1;
            rotated.expect(200)["recovery_key"].as_str().unwrap().to_owned()
        } else {
            rotated.expect_error(500, "storage_error");
            old
        };
        fired += injected(&env);
        env.kill();
        env.start();
        let opened = env.post("/vault/unlock", &json!({ "recovery_key": known }));
        assert_eq!(opened.status, 200, "call {nth}: {:?}", String::from_utf8_lossy(&opened.body));
        assert_eq!(env.value("A"), "x");
        assert_calm(&env);
    }
    assert!(fired > 0 && done > 0, "{fired} calls failed, {done} rotations were done");
}

#[test]
fn a_rotation_on_a_slow_disk_is_waited_for() {
    if let Some(reason) = no_strace() {
        return skip("a rotation that takes longer than other requests may", reason);
    }
    let (mut env, _) = new();
    let phrase = env.private_file("phrase", PASSPHRASE).display().to_string();
    env.start();
    env.ctl(["init", "--passphrase-file", &phrase]).expect(0);
    env.store("A", "x");
    assert!(env.stop().success());
    // Longer than the daemon gives other requests, and the client, too.
    let slow = format!("inject=openat:delay_enter={}:when=1", Duration::from_secs(37).as_micros());
    let draft = env.data_dir().join("vault.db.rotated").display().to_string();
    let output = env.path("trace").display().to_string();
    let command = behind(&env, &strace(&output, &["-e", "trace=openat", "-e", &slow, "-P", &draft]));
    env.start_as(command);
    env.ctl(["unlock", "--passphrase-file", &phrase]).expect(0);
    let begun = Instant::now();
    let mut command = env.command(env.programs().client);
    command.args(["rotate", "--passphrase-file", &phrase]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    process::wait(&mut child, 3 * DEADLINE);
    let rotated = child.wait_with_output().unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert!(begun.elapsed() > Duration::from_secs(36), "{:?}", begun.elapsed());
    env.kill();
    env.start();
    let file = env.private_file("recovery", rotated.stdout).display().to_string();
    env.ctl(["unlock", "--recovery-key-file", &file]).expect(0);
    assert_eq!(env.value("A"), "x");
}

#[test]
fn a_disk_that_stays_broken_loses_nothing_that_was_answered() {
    if let Some(reason) = no_strace() {
        return skip("a broken disk", reason);
    }
    for (calls, error, from) in
        [("fsync,fdatasync", "EIO", 6), ("pwrite64", "EIO", 20), ("pwrite64", "ENOSPC", 40)]
    {
        let (mut env, key, mut ledger) = with_vault(11);
        let command = faulty(&env, calls, error, &format!("{from}+"));
        env.start_as(command);
        let mut connection = Connection::open(&env);
        connection.ask("POST", "/vault/unlock", Some(&key)).expect(200);
        let mut refused = 0;
        while refused < 3 {
            let before = connection.ask("GET", "/user/secrets", None).expect(200);
            match ledger.step(&mut connection) {
                Outcome::Done => assert_eq!(refused, 0, "{calls}: done on a broken disk"),
                Outcome::Refused(_) => {
                    refused += 1;
                    assert_readable(&mut connection, &before);
                    // A reveal needs its audit entry first.
                    let reveal = json!({ "secrets": ["*"], "purpose": "test" });
                    let answer = connection.ask("POST", "/user/secrets/reveal", Some(&reveal));
                    answer.expect_error(500, "storage_error");
                }
                Outcome::Lost => panic!("the connection broke"),
            }
        }
        // Nothing keeps the vault open.
        connection.ask("POST", "/vault/lock", None).expect(200);
        assert_eq!(env.state(), "locked");
        assert!(injected(&env) > 0);
        check_after_restart(&mut env, &key, &mut ledger);
    }
}

/// A daemon whose commit of what `ask` asks for has failed on the disk, so that it may be there or not; and a token that
/// it knew before.
fn in_doubt(ask: impl Fn(&mut Connection, &Value) -> Answer) -> (Env, String, Connection) {
    for nth in 1..20 {
        let (mut env, key) = new();
        env.start();
        env.post("/vault/init", &key).expect(201);
        env.store("A", "x");
        let made = env.post("/tokens", &json!({ "name": "agent", "scopes": ["list"] })).expect(201);
        assert!(env.stop().success());
        let command = faulty(&env, "fsync,fdatasync", "EIO", &nth.to_string());
        env.start_as(command);
        let mut connection = Connection::open(&env);
        soon("unlock", || connection.ask("POST", "/vault/unlock", Some(&key)));
        let answer = ask(&mut connection, &made);
        if answer.status == 500 {
            answer.expect_error(500, "storage_error");
            return (env, made["token"].as_str().unwrap().to_owned(), connection);
        }
        assert!(answer.status < 300, "{}", answer.text());
    }
    panic!("no commit has failed");
}

#[test]
fn whatever_reads_the_file_first_after_a_failed_commit_tells_everybody_what_is_in_it() {
    if let Some(reason) = no_strace() {
        return skip("a commit that fails", reason);
    }
    for path in ["/audit", "/vault/keys"] {
        let (env, agent, mut connection) = in_doubt(|connection, made| {
            connection.ask("DELETE", &format!("/tokens/{}", made["id"].as_str().unwrap()), None)
        });
        connection.ask("GET", path, None).expect(200);
        // The file has the revocation: its log was written, and only then not made durable.
        assert_eq!(connection.ask("GET", "/tokens", None).expect(200)["tokens"], json!([]), "{path}");
        let answer = env.anonymous("GET", "/user/secrets").bearer(&agent).send();
        answer.expect_error(401, "authentication_error");
        assert_calm(&env);
    }
}

#[test]
fn what_was_not_committed_is_not_listed_while_the_file_cannot_be_read() {
    if let Some(reason) = no_strace() {
        return skip("a commit that fails", reason);
    }
    let (env, agent, mut connection) = in_doubt(|connection, _| {
        connection.ask("POST", "/user/secrets", Some(&json!({ "name": "B", "value": "x" })))
    });
    let file = env.data_dir().join("vault.db");
    let aside = env.data_dir().join("aside");
    fs::rename(&file, &aside).unwrap();
    let refused = connection.ask("POST", "/vault/verify", Some(&json!({})));
    assert_eq!(refused.status, 500, "{}", refused.text());
    let listed = connection.ask("GET", "/user/secrets", None).expect(200);
    assert_eq!(listed["total"], 1, "{listed}");
    env.anonymous("GET", "/user/secrets").bearer(&agent).send().expect(200);
    fs::rename(&aside, &file).unwrap();
    soon("verify", || connection.ask("POST", "/vault/verify", Some(&json!({}))));
    // Now it is known.
    let listed = connection.ask("GET", "/user/secrets", None).expect(200);
    let names: Vec<&str> =
        listed["secrets"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    assert_calm(&env);
}

#[test]
fn a_vault_is_not_made_by_halves_on_a_failing_disk() {
    if let Some(reason) = no_strace() {
        return skip("init on a failing disk", reason);
    }
    let mut fired = 0;
    for (calls, error, most) in
        [("fsync,fdatasync", "EIO", 12), ("pwrite64", "ENOSPC", 30), ("rename,renameat2", "EIO", 2)]
    {
        for nth in (1..=most).step_by(if soak() { 1 } else { 5 }) {
            println!("{calls} {error} {nth}");
            let (mut env, key) = new();
            let command = faulty(&env, calls, error, &nth.to_string());
            env.start_as(command);
            let first = env.post("/vault/init", &key);
            fired += injected(&env);
            if first.status != 201 {
                first.expect_error(500, "storage_error");
                // Either way on: with the daemon that saw the error, or with one that finds what it left.
                if nth % 2 == 0 {
                    env.kill();
                    env.start();
                }
                match env.state().as_str() {
                    "uninitialized" => drop(soon("init", || env.post("/vault/init", &key)).expect(201)),
                    // The vault was made; only opening it failed.
                    _ => drop(soon("unlock", || env.post("/vault/unlock", &key))),
                }
            }
            let mut ledger = Ledger::new("A", NAMES, Random::from_seed(5));
            let mut connection = Connection::open(&env);
            for _ in 0..5 {
                assert!(!matches!(ledger.step(&mut connection), Outcome::Lost));
            }
            check_after_restart(&mut env, &key, &mut ledger);
        }
    }
    assert!(fired > 5);
}

/// In KiB: a disk on which the room that the daemon keeps in reserve fits beside the vault.
const RESERVE_FITS: u64 = 4_096;

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    if let Some(reason) = Small::unavailable() {
        return skip("a full disk", reason);
    }
    let sizes: &[u64] = if soak() {
        &[4, 12, 24, 40, 64, 96, 128, 200, 400, 700, 1_600, 2_300, 4_096, 8_192]
    } else {
        &[8, 160, 4_096]
    };
    for &kib in sizes {
        println!("{kib} KiB");
        let (mut env, key) = new();
        let disk = Small::mount(&env, kib);
        env.start_as(disk.daemon(&env));
        let filler = env.path("disk/filler").display().to_string();
        let room = format!("rm -f '{filler}'; mount -o remount,size=32m '{}'", env.path("disk").display());
        let made = env.post("/vault/init", &key);
        let mut ledger = Ledger::new("A", NAMES, Random::from_seed(kib));
        if made.status == 201 {
            if kib >= RESERVE_FITS {
                let id = env.store("VICTIM", "in the way")["id"].as_str().unwrap().to_owned();
                env.request("POST", "/vault/lock").send().expect(200);
                // Somebody else takes all the room there is. What the daemon keeps in reserve is not to be had.
                disk.run(&env, &["sh", "-c", &format!("head -c 16m /dev/zero >'{filler}' || true")]);
                env.post("/vault/unlock", &key).expect(200);
                let purged = env.request("DELETE", &format!("/user/secrets/{id}?purge=true")).send();
                assert_eq!(
                    purged.status,
                    204,
                    "a full disk keeps its owner from deleting: {}",
                    purged.text()
                );
            }
            let mut connection = Connection::open(&env);
            let mut full = false;
            for _ in 0..500 {
                let before = connection.ask("GET", "/user/secrets", None).expect(200);
                match ledger.step(&mut connection) {
                    Outcome::Done => {}
                    Outcome::Refused(_) => {
                        assert_readable(&mut connection, &before);
                        full = true;
                        break;
                    }
                    Outcome::Lost => panic!("the connection broke"),
                }
            }
            assert!(full, "500 writes fit into {kib} KiB");
        } else {
            made.expect_error(500, "storage_error");
        }
        disk.run(&env, &["sh", "-c", &room]);
        match env.state().as_str() {
            "uninitialized" => drop(env.post("/vault/init", &key).expect(201)),
            "locked" => drop(soon("unlock", || env.post("/vault/unlock", &key))),
            _ => {}
        }
        let new = json!({ "name": "PROBE", "value": "x" });
        soon("create", || env.post("/user/secrets", &new)).expect(201);
        env.kill();
        env.start_as(disk.daemon(&env));
        check_open(&env, &key, &mut ledger);
        assert_eq!(env.value("PROBE"), "x");
        env.kill();
    }
}

#[test]
fn a_read_only_disk_ends_the_start_with_a_reason() {
    if let Some(reason) = Small::unavailable() {
        return skip("a read-only disk", reason);
    }
    let (env, _) = new();
    let disk = Small::mount(&env, 4_096);
    disk.run(&env, &["sh", "-c", &format!("mount -o remount,ro '{}'", env.path("disk").display())]);
    let (_, said) = env.fail_to_start(disk.daemon(&env));
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Takes all of the daemon's descriptors: it has fewer than it counted on when it started. What is too much for it waits in
/// the socket's queue.
fn starve(env: &Env) -> Vec<UnixStream> {
    let limit = ["--pid", &env.pid().to_string(), "--nofile=28:"];
    assert!(env.command("prlimit").args(limit).status().unwrap().success());
    let idle = crowd(env);
    wait_until("the descriptors run out", || env.log().contains("Too many open files"));
    idle
}

/// More connections than a daemon with 64 descriptors may have, each with a byte on it, unless it was turned away before.
fn crowd(env: &Env) -> Vec<UnixStream> {
    let connect = |_| {
        let mut stream = UnixStream::connect(env.socket()).unwrap();
        if let Err(error) = stream.write_all(b"G") {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        stream
    };
    (0..80).map(connect).collect()
}

#[test]
fn a_crowd_leaves_the_vault_its_descriptors() {
    let (mut env, key) = new();
    let command = behind(&env, &["prlimit", "--nofile=64:64"]);
    env.start_as(command);
    env.post("/vault/init", &key).expect(201);
    let mut connection = Connection::open(&env);
    assert_eq!(connection.ask("GET", "/vault", None).status, 200);
    let _crowd = crowd(&env);
    // It takes files of its own.
    for _ in 0..10 {
        assert_eq!(connection.ask("GET", "/vault/backup", None).status, 200);
    }
    assert!(!env.log().contains("Too many open files"), "{}", env.log());
}

#[test]
fn descriptors_that_run_out_end_nothing() {
    let (mut env, key) = new();
    let command = behind(&env, &["prlimit", "--nofile=64:64"]);
    env.start_as(command);
    env.post("/vault/init", &key).expect(201);
    let mut ledger = Ledger::new("A", NAMES, Random::from_seed(3));
    let mut connection = Connection::open(&env);
    for _ in 0..3 {
        assert!(matches!(ledger.step(&mut connection), Outcome::Done));
    }
    let idle = starve(&env);
    // What is open goes on.
    for _ in 0..3 {
        assert!(matches!(ledger.step(&mut connection), Outcome::Done));
    }
    let listed = connection.ask("GET", "/user/secrets", None).expect(200);
    assert_readable(&mut connection, &listed);
    // Nothing keeps the vault open.
    connection.ask("POST", "/vault/lock", None).expect(200);
    drop(idle);
    // Descriptors are free once the daemon has noticed that the connections have ended.
    let health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    wait_until("the daemon answers", || {
        Answer::parse(&env.raw(health)).is_some_and(|answer| answer.status == 200)
    });
    assert_eq!(env.state(), "locked");
    let mut connection = Connection::open(&env);
    soon("unlock", || connection.ask("POST", "/vault/unlock", Some(&key)));
    ledger.check(&World::read(&mut connection));
    check_after_restart(&mut env, &key, &mut ledger);
}

#[test]
fn a_key_file_that_cannot_be_opened_for_want_of_descriptors_is_not_the_callers_fault() {
    let (mut env, key) = new();
    let command = behind(&env, &["prlimit", "--nofile=64:64"]);
    env.start_as(command);
    let mut connection = Connection::open(&env);
    assert_eq!(connection.ask("GET", "/vault", None).status, 200);
    let idle = starve(&env);
    // Before there is a vault, the key's file is the first that cannot be opened.
    connection.ask("POST", "/vault/init", Some(&key)).expect_error(500, "storage_error");
    drop(idle);
    wait_until("vault created", || connection.ask("POST", "/vault/init", Some(&key)).status == 201);
}

/// However few there are, the message names what is missing and does not blame the disk.
#[test]
fn too_few_descriptors_are_called_that() {
    for operation in ["init", "unlock"] {
        let answers: Vec<u16> =
            (10..=30).filter_map(|most| answer_with_descriptors(most, operation)).collect();
        let done = answers.iter().filter(|status| **status < 300).count();
        assert!(done > 0 && done < answers.len(), "{operation}: {answers:?}");
    }
}

/// What a daemon that may have so many descriptors answers to this operation, if it comes to answer.
fn answer_with_descriptors(most: usize, operation: &str) -> Option<u16> {
    let (mut env, key) = new();
    if operation == "unlock" {
        env.start();
        env.post("/vault/init", &key).expect(201);
        env.stop();
    }
    env.spawn(&mut behind(&env, &["prlimit", &format!("--nofile={most}:{most}")]));
    let ask = || {
        let body = key.to_string();
        let request = format!(
            "POST /api/v1/vault/{operation} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            env.token(),
            body.len()
        );
        // One connection may be all that it can have, and it may give up before it has that.
        let answer = raw_if_there(&env.socket(), request.as_bytes(), Duration::from_secs(2))?;
        Answer::parse(&answer).filter(|answer| answer.status != 429)
    };
    // One that has too few to start or to accept says so in its log.
    let gives_up = || env.log().contains("Too many open files");
    wait_until("it listens", || UnixStream::connect(env.socket()).is_ok() || gives_up());
    let mut answer = None;
    wait_until("it answers", || {
        answer = if gives_up() { None } else { ask() };
        answer.is_some() || gives_up()
    });
    assert_calm(&env);
    env.kill();
    let answer = answer?;
    if answer.status >= 300 {
        let refusal = answer.expect_error(500, "storage_error");
        assert!(refusal["detail"].as_str().unwrap().contains("descriptor"), "{most}, {operation}: {refusal}");
    }
    Some(answer.status)
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within the deadline");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The signal of this limit ends a process that does nothing about it.
#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let mut env = Env::new(programs!());
    env.start_as(behind(&env, &["prlimit", "--fsize=8388608:"]));
    env.init();
    let kept = env.store("KEPT", "kept")["id"].as_str().unwrap().to_owned();
    let limit = ["--pid", &env.pid().to_string(), "--fsize=65536:"];
    assert!(env.command("prlimit").args(limit).status().unwrap().success());
    let mut refused = 0;
    for number in 0..40 {
        let body = json!({ "name": format!("N{number}"), "value": "x".repeat(30_000) });
        let answer = env.post("/user/secrets", &body);
        if answer.status != 201 {
            answer.expect_error(500, "storage_error");
            refused += 1;
        }
    }
    assert!(refused > 0, "the limit is never met");
    assert_eq!(env.get(&format!("/user/secrets/{kept}")).expect(200)["name"], "KEPT");
    let limit = ["--pid", &env.pid().to_string(), "--fsize=8388608:"];
    assert!(env.command("prlimit").args(limit).status().unwrap().success());
    assert_eq!(env.value("KEPT"), "kept");
    env.store("AFTER", "x");
    env.get("/vault").expect(200);
}

#[test]
fn no_memory_for_a_key_is_said_as_such() {
    let mut env = Env::new(programs!());
    env.settings("[kdf]\nmemory_kib = 262144\npasses = 2\nlanes = 1\n");
    env.start();
    let limit = |bytes: &str| {
        let arguments = ["--pid", &env.pid().to_string(), bytes];
        assert!(env.command("prlimit").args(arguments).status().unwrap().success());
    };
    env.init();
    env.post("/vault/lock", &json!({})).expect(200);
    limit("--as=200000000:");
    for _ in 0..2 {
        let answer = env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE }));
        answer.expect_error(500, "storage_error");
        assert!(answer.text().contains("takes 258 MiB"), "{}", answer.text());
    }
    limit("--as=unlimited:");
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}
