//! Eight holders of narrow tokens who ask for all the work that they may, and the owner, who must not notice. `SOAK=1`
//! makes it 100,000 names.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::env::CHEAP_KDF;
use secretsd_tests::harness::soak;
use secretsd_tests::hostile::{self, Flood};
use secretsd_tests::http::Request;
use secretsd_tests::process;
use secretsd_tests::{Env, programs};
use serde_json::json;

use rustix::process::Signal;

/// What a lock may take, whatever others ask,
const LOCKED: Duration = Duration::from_secs(2);

/// or where the machine is slow for other reasons, so many times what it takes while nobody asks. Waiting behind the
/// others' work would take a hundred times as long.
const SLOWER: u32 = 10;

/// How often each thing is tried: the middle one counts, since other programs run on the machine too.
const ROUNDS: usize = 5;

/// With so many names that the tokens see, and a key file to open the vault with.
fn vault(names: usize) -> (Env, PathBuf) {
    let mut env = Env::new(programs!());
    let command = env.command(env.programs().daemon);
    env.start_as(command);
    let key = env.private_file("key", [7; 32]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    thread::scope(|scope| {
        for part in 0..PARTS {
            let mut connection = Connection::open(&env);
            scope.spawn(move || {
                for number in (part..names).step_by(PARTS) {
                    let body = json!({ "name": format!("FLOODED_SECRET_{number:06}_API_KEY"), "value": "v" });
                    connection.ask("POST", "/user/secrets", Some(&body)).expect(201);
                }
            });
        }
    });
    env.store("OWN", "the owner's");
    (env, key)
}

/// How many connections fill the vault.
const PARTS: usize = 32;

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn eight_hostile_tokens_hold_up_neither_the_owner_nor_a_lock() {
    let (env, key) = vault(if soak() { 100_000 } else { 3_000 });
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let lock = || assert_eq!(env.post("/vault/lock", &json!({})).expect(200)["state"], "locked");
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(timed(&lock));
        env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
    }
    let locked = LOCKED.max(SLOWER * middle(alone));
    let flood = Flood::start(&env.socket(), &hostile::tokens(&env, "FLOODED_*"), 12);
    let (mut lives, mut reveals, mut locks, mut signals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        flood.resumed(&env, &key);
        lives.push(timed(&|| {
            assert_eq!(Request::new(&env.socket(), "GET", "/healthz").send().status, 200);
        }));
        reveals.push(timed(&|| assert_eq!(env.value("OWN"), "the owner's")));
        locks.push(timed(&lock));
        flood.resumed(&env, &key);
        signals.push(timed(&|| {
            process::signal(env.pid(), Signal::USR1);
            while env.state() != "locked" {}
        }));
    }
    let (live, reveal, lock, signal) = (middle(lives), middle(reveals), middle(locks), middle(signals));
    let line = format!("healthz {live:?}, reveal {reveal:?}, lock {lock:?}, SIGUSR1 {signal:?}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
    assert!(lock < locked && signal < locked, "{line}");
    assert!(live < locked && reveal < 4 * locked, "{line}");
}

#[test]
fn large_values_that_nobody_reads_are_not_all_made() {
    let env = Env::unlocked(programs!());
    let names: Vec<String> = (0..16).map(|number| format!("LARGE_{number}")).collect();
    for name in &names {
        env.store(name, &"v".repeat(65_000));
    }
    let made = env
        .post("/tokens", &json!({ "name": "reveal", "scopes": ["reveal"], "secrets": ["LARGE_*"] }))
        .expect(201);
    let before = process::resident(env.pid());
    let body = json!({ "secrets": names, "purpose": "test" }).to_string();
    let request = format!(
        "POST /api/v1/user/secrets/reveal HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        made["token"].as_str().unwrap(),
        body.len()
    );
    let silent: Vec<UnixStream> = (0..100)
        .map(|_| {
            let mut stream = UnixStream::connect(env.socket()).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // A request that comes later has its answer.
    for _ in 0..50 {
        assert_eq!(env.value("LARGE_0").len(), 65_000);
    }
    let grown = process::resident(env.pid()).saturating_sub(before);
    drop(silent);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[test]
fn a_vault_locks_in_time_however_many_writes_come() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nmax_seconds = 3\n"));
    env.start();
    env.init();
    let made =
        env.post("/tokens", &json!({ "name": "write", "scopes": ["write"], "secrets": ["W_*"] })).expect(201);
    let token = made["token"].as_str().unwrap();
    let ids: Vec<String> =
        (0..100).map(|at| env.store(&format!("W_{at}"), "v")["id"].as_str().unwrap().to_owned()).collect();
    let flood = Flood::of_writes(&env.socket(), token, &ids);
    let (start, mut open) = (Instant::now(), true);
    while open && start.elapsed() < Duration::from_secs(15) {
        open = env.state() != "locked";
        thread::sleep(Duration::from_millis(20));
    }
    let took = start.elapsed();
    drop(flood);
    assert!(!open, "still open");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn lists_that_nobody_reads_are_not_kept_in_every_version() {
    let (env, _) = vault(3_000);
    let made = env.post("/tokens", &json!({ "name": "both", "scopes": ["list", "write"] })).expect(201);
    let head = |what: &str| {
        let token = made["token"].as_str().unwrap();
        format!("{what} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    let before = process::resident(env.pid());
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = UnixStream::connect(env.socket()).unwrap();
        stream.write_all(head("GET /api/v1/user/secrets").as_bytes()).unwrap();
        silent.push(stream);
        env.store(&format!("CHANGE_{number}"), "v");
    }
    let grown = process::resident(env.pid()).saturating_sub(before);
    drop(silent);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

/// Asks from so many processes, one connection each, and reads nothing; says when all have asked.
const SILENT: &str = r#"
import os, socket, sys, time
path, token, target, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
head = f" {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
body = sys.argv[5] if len(sys.argv) > 5 else ""
if body:
    head = f"POST{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
else:
    head = f"GET{head}\r\n".encode()
for _ in range(count):
    if os.fork() == 0:
        os.close(1)
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(path)
        peer.sendall(head)
        # The first bytes say that the answer was made.
        peer.recv(16)
        os.close(2)
        os.read(0, 1)
        os._exit(0)
os.close(2)
os.read(0, 1)
"#;

#[test]
fn full_lists_that_nobody_reads_are_one_in_memory() {
    let (env, _) = vault(3_000);
    let before = process::resident(env.pid());
    let mut command = env.command("python3");
    command.args(["-c", SILENT]).arg(env.socket()).args([
        env.token().as_str(),
        "/api/v1/user/secrets?view=full",
        "60",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut silent = command.spawn().unwrap();
    // Ends when the last of them has its first bytes.
    let mut said = String::new();
    silent.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    let grown = process::resident(env.pid()).saturating_sub(before);
    let asked = Instant::now();
    env.get("/vault").expect(200);
    let took = asked.elapsed();
    drop(silent.stdin.take());
    process::wait(&mut silent, process::DEADLINE);
    assert!(grown < 32 << 20, "{grown} bytes more");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn what_is_made_for_one_process_alone_is_bounded_for_all_together() {
    let (env, _) = vault(3_000);
    let names: Vec<String> = (0..16).map(|number| format!("LARGE_{number}")).collect();
    names.iter().for_each(|name| drop(env.store(name, &"v".repeat(65_000))));
    // Nor does it wait for an answer.
    let script = SILENT.replace("peer.recv(16)", "__import__('select').select([peer, 0], [], [])");
    assert_ne!(script, SILENT);
    let reveal = |secrets: &[&str]| json!({ "secrets": secrets, "purpose": "test" }).to_string();
    let by_name = reveal(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let all = [
        ("/user/secrets?view=full&name=FLOODED*", "100", String::new()),
        ("/vault/backup", "40", String::new()),
        ("/audit?limit=1000", "100", String::new()),
        ("/user/secrets/reveal", "60", by_name),
        ("/user/secrets/reveal", "60", reveal(&["LARGE_*"])),
        ("/vault/backup", "40", String::new()),
    ];
    let before = process::resident(env.pid());
    let grown = || process::resident(env.pid()).saturating_sub(before);
    // What one of them leaves behind counts for the next, too.
    for (target, processes, body) in all {
        let mut command = env.command("python3");
        let path = format!("/api/v1{target}");
        command.args(["-c", &script]).arg(env.socket()).args([env.token().as_str(), &path, processes, &body]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut silent = command.spawn().unwrap();
        // Until nothing more is made, or too much is.
        let (end, mut most, mut same) = (Instant::now() + process::DEADLINE, 0, 0);
        while same < 100 && most < MOST && Instant::now() < end {
            let now = grown();
            same = if now > most { 0 } else { same + 1 };
            most = most.max(now);
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(env.value("OWN"), "the owner's");
        drop(silent.stdin.take());
        process::wait(&mut silent, process::DEADLINE);
        std::io::stderr().write_all(format!("{target}: {} KiB more\n", most >> 10).as_bytes()).ok();
        assert!(most < MOST, "{target}: {most} bytes more");
        // There is room again, and nothing of it is kept.
        assert!(!env.get("/user/secrets?view=full&name=FLOODED*").body.is_empty());
        let end = Instant::now() + process::DEADLINE;
        while grown() > KEPT {
            assert!(Instant::now() < end, "{target}: {} bytes are kept", grown());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What may be held for those who do not read, in bytes.
const MOST: u64 = 56 << 20;

/// What may stay when they have gone.
const KEPT: u64 = 16 << 20;
