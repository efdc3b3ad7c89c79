//! No write is answered before the disk has it: shown from the daemon's own system calls, because a kill cannot show
//! it. `SOAK=1` follows 200 answers.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::harness::{behind, no_strace, skip, soak, strace};
use secretsd_tests::http::Request;
use secretsd_tests::ledger::{Ledger, Outcome};
use secretsd_tests::process::DEADLINE;
use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};
use serde_json::json;

const CALLS: &str =
    "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync";

#[test]
fn every_answer_to_a_write_comes_after_the_log_is_on_the_disk() {
    if let Some(reason) = no_strace() {
        return skip("fsync order", reason);
    }
    let mut env = Env::new(programs!());
    let trace = env.path("trace");
    let words = strace(trace.to_str().unwrap(), &["-y", "-s", "48", "-e", CALLS]);
    env.start_as(behind(&env, &words));
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    env.post("/vault/init", &key).expect(201);

    let writes = if soak() { 200 } else { 25 };
    let mut ledger = Ledger::new("A", 8, Random::new());
    let mut connection = Connection::open(&env);
    for write in 0..writes {
        match ledger.step(&mut connection) {
            Outcome::Done => {}
            other => panic!("write {write}: {other:?}"),
        }
        // A value may leave only after its audit entry is durable: that is a write too.
        if write % 5 == 0 {
            let reveal = json!({ "secrets": ["*"], "purpose": "test" });
            connection.ask("POST", "/user/secrets/reveal", Some(&reveal));
        }
    }
    assert!(env.stop().success());

    let trace = fs::read_to_string(&trace).unwrap();
    let answers = Order::follow(&trace).unwrap_or_else(|error| panic!("{error}"));
    assert!(answers >= writes, "the trace shows {answers} answers to {writes} writes");
}

#[test]
fn a_value_leaves_to_be_used_after_its_entry_is_on_the_disk() {
    if let Some(reason) = no_strace() {
        return skip("fsync order of uses", reason);
    }
    let mut env = Env::new(programs!());
    let trace = env.path("trace");
    let words = strace(trace.to_str().unwrap(), &["-y", "-s", "48", "-e", CALLS]);
    env.start_as(behind(&env, &words));
    env.post("/vault/init", &json!({ "key_file": env.private_file("key", [0x4b; 32]) })).expect(201);
    let id = env.store("KEY", "x")["id"].as_str().unwrap().to_owned();
    let rules = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
    env.request("PUT", &format!("/user/secrets/{id}/rules")).json(&rules).send().expect(200);
    let sessions = if soak() { 100 } else { 10 };
    let wanted =
        json!({ "secret": "KEY", "method": "GET", "host": "api.example.com", "port": 443, "path": "/" });
    for _ in 0..sessions {
        // Each is the first use of a session.
        let session =
            env.post("/use/sessions", &json!({ "secrets": ["KEY"], "purpose": "test" })).expect(201);
        let take = Request::new(&env.runtime_dir().join("use.sock"), "POST", "/api/v1/use/take");
        take.bearer(session["token"].as_str().unwrap()).json(&wanted).send().expect(200);
    }
    assert!(env.stop().success());
    let trace = fs::read_to_string(&trace).unwrap();
    let answers = Order::follow(&trace).unwrap_or_else(|error| panic!("{error}"));
    assert!(answers >= 2 * sessions, "the trace shows {answers} answers");
}

/// The log is empty then, and laid out again.
#[test]
fn a_reveal_after_a_rest_waits_for_the_disk_once() {
    if let Some(reason) = no_strace() {
        return skip("fsync after a rest", reason);
    }
    let mut env = Env::new(programs!());
    let trace = env.path("trace");
    let words = strace(trace.to_str().unwrap(), &["-y", "-s", "48", "-e", CALLS]);
    env.start_as(behind(&env, &words));
    env.post("/vault/init", &json!({ "key_file": env.private_file("key", [0x4b; 32]) })).expect(201);
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        let end = Instant::now() + DEADLINE;
        let log = || fs::read(env.data_dir().join("vault.db-wal")).unwrap();
        while log().iter().any(|byte| *byte != 0) || log().is_empty() {
            assert!(Instant::now() < end, "the log is not emptied");
            thread::sleep(Duration::from_millis(20));
        }
        // Answered by the thread that has laid it out, when that is done.
        env.get(&format!("/user/secrets/{id}/versions")).expect(200);
        env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "test" })).expect(200);
    }
    assert!(env.stop().success());
    let trace = fs::read_to_string(&trace).unwrap();
    Order::follow(&trace).unwrap_or_else(|error| panic!("{error}"));
    let (mut waits, mut reveals) = (None, Vec::new());
    for (_, call) in calls(&trace) {
        if call.contains("\"POST /api/v1/user/secrets/reveal") {
            waits = Some(0);
        } else if call.contains("\"HTTP/1.1 200") {
            reveals.extend(waits.take());
        } else if call.starts_with("fdatasync(") && call.contains("vault.db-wal>") {
            waits = waits.map(|waits| waits + 1);
        }
    }
    assert_eq!(reveals, [1, 1, 1]);
}

/// Where the daemon is between a request and its answer.
#[derive(Default)]
struct Order {
    /// A request to write was read and not yet answered.
    writing: bool,
    /// Something was written to the vault's log since.
    logged: bool,
    /// What was written to it is on the disk.
    durable: bool,
}

impl Order {
    /// Follows a trace of requests that came one after the other; gives the number of writes answered with success.
    fn follow(trace: &str) -> Result<usize, String> {
        let mut order = Self::default();
        let mut answers = 0;
        for (number, call) in calls(trace) {
            let to_log = call.contains("vault.db-wal>");
            match call.split('(').next().unwrap_or_default() {
                "read" | "readv" | "recvfrom" | "recvmsg" if is_write(&call) => {
                    order = Self { writing: true, ..Self::default() };
                }
                "fdatasync" | "fsync" if to_log => order.durable |= succeeded(&call),
                "pwrite64" | "pwritev" | "write" | "writev" if to_log => {
                    (order.logged, order.durable) = (true, false);
                }
                "write" | "writev" | "sendto" | "sendmsg"
                    if order.writing && call.contains("\"HTTP/1.1 2") =>
                {
                    if !order.logged {
                        return Err(format!("line {number}: answered without a word in the log: {call}"));
                    }
                    if !order.durable {
                        return Err(format!(
                            "line {number}: answered before the log was on the disk: {call}"
                        ));
                    }
                    order.writing = false;
                    answers += 1;
                }
                _ => {}
            }
        }
        Ok(answers)
    }
}

/// The calls of a trace with their line numbers. One that was interrupted by another thread's counts where it matters:
/// what the daemon sends when it begins, everything else when it has ended.
fn calls(trace: &str) -> Vec<(usize, String)> {
    let mut unfinished: Vec<(String, String)> = Vec::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            if begun.contains("\"HTTP/1.1 ") {
                calls.push((number + 1, begun.to_owned()));
            } else {
                unfinished.push((thread.to_owned(), begun.to_owned()));
            }
        } else if call.starts_with("<... ") {
            let Some(at) = unfinished.iter().position(|(of, _)| of == thread) else { continue };
            let (_, begun) = unfinished.remove(at);
            let end = call.split_once("resumed>").map_or("", |(_, end)| end);
            calls.push((number + 1, begun + end));
        } else {
            calls.push((number + 1, call.to_owned()));
        }
    }
    calls
}

/// Whether the call read a request to write, from its first byte on.
fn is_write(call: &str) -> bool {
    ["\"POST /api/v1/use", "\"PUT ", "\"DELETE "].iter().any(|method| call.contains(method))
}

fn succeeded(call: &str) -> bool {
    call.rsplit_once(" = ").is_some_and(|(_, result)| result.trim() == "0")
}

#[test]
fn the_order_is_read_from_the_trace() {
    let request = "7 recvfrom(9<socket:[1]>, \"PUT /api/v1/user/secrets/\"..., 8192, 0, NULL, NULL) = 80\n";
    let log = "8 pwrite64(5</d/vault.db-wal>, \"x\"..., 24, 0) = 24\n";
    let sync = "8 fdatasync(5</d/vault.db-wal>) = 0\n";
    let answer = "7 sendto(9<socket:[1]>, \"HTTP/1.1 200 OK\"..., 90, 0, NULL, 0) = 90\n";
    let follow = |parts: &[&str]| Order::follow(&parts.concat());
    assert_eq!(follow(&[request, log, sync, answer, answer]), Ok(1));
    assert_eq!(follow(&[answer]), Ok(0));
    for wrong in [
        vec![request, answer],
        vec![request, sync, answer],
        vec![request, log, answer],
        vec![request, sync, log, answer],
        vec![request, log, "8 fdatasync(5</d/vault.db-wal>) = -1 EIO (Input/output error)\n", answer],
        vec![request, log, "8 fdatasync(5</d/vault.db>) = 0\n", answer],
        vec![request, log, "8 fdatasync(5</d/vault.db-wal> <unfinished ...>\n", answer],
    ] {
        assert!(follow(&wrong).is_err(), "{wrong:?}");
    }
    let slow = [
        request,
        log,
        "8 fdatasync(5</d/vault.db-wal> <unfinished ...>\n",
        "9 read(3, \"\", 1) = 0\n",
        "8 <... fdatasync resumed>) = 0\n",
        "7 sendto(9<socket:[1]>, \"HTTP/1.1 200 OK\"..., 90, 0, NULL, 0 <unfinished ...>\n",
    ];
    assert_eq!(follow(&slow), Ok(1));
}
