//! What a secret without a guard costs beside guarded ones: no more than without them. Calls of the kernel are counted, not
//! time: who asks is found out by some twenty of them, and a rule that is looked up first needs that.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use secretsd_tests::connection::Connection;
use secretsd_tests::harness::{no_strace, skip};
use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

/// How many secrets lie beside the one that is asked for.
const OTHERS: usize = 100;

/// How many requests of each kind are counted.
const REQUESTS: u64 = 50;

/// What is not counted: with what the daemon's threads wake each other, which depends on who was faster; and pages of the
/// vault's file, of which a longer audit log has more.
const LEFT_OUT: [&str; 5] = ["futex", "epoll_wait", "sched_yield", "pread64", "pwrite64"];

#[test]
fn a_secret_without_a_guard_costs_the_same_beside_guarded_ones() {
    if let Some(reason) = no_strace() {
        return skip("a_secret_without_a_guard_costs_the_same_beside_guarded_ones", reason);
    }
    let [beside_none, beside_guarded] = [false, true].map(calls_beside);
    assert_eq!(beside_none, beside_guarded, "calls for each list and reveal");
    assert!(!beside_none.contains_key("openat"), "somebody was looked up: {beside_none:?}");
}

/// The calls that the daemon makes for one list and one reveal of a secret without a guard, with others that have one and a
/// rule each, or not.
fn calls_beside(guarded: bool) -> BTreeMap<String, u64> {
    let env = Env::unlocked(programs!());
    env.store("KEY", super::VALUE);
    let others: Vec<Value> =
        (0..OTHERS).map(|n| json!({ "name": format!("OTHER_{n}"), "value": "other-value" })).collect();
    let stored = env.post("/user/secrets/batch", &json!({ "secrets": others })).expect(200);
    for (n, secret) in stored["secrets"].as_array().unwrap().iter().enumerate().filter(|_| guarded) {
        super::guard(&env, secret["id"].as_str().unwrap()).expect(200);
        let client = json!({ "token": "owner", "program": "/usr/bin/curl" });
        let rule = json!({ "effect": "deny", "secret": format!("OTHER_{n}"), "rights": ["reveal"], "client": client });
        env.post("/approvals/rules", &rule).expect(201);
    }
    let mut connection = Connection::open(&env);
    let body = json!({ "secrets": ["KEY"], "purpose": "test" });
    let mut ask = |times: u64| {
        for _ in 0..times {
            assert_eq!(connection.ask("GET", "/user/secrets", None).status, 200);
            assert_eq!(connection.ask("POST", "/user/secrets/reveal", Some(&body)).status, 200);
        }
    };
    // What is done once for a connection, or for a list that has changed, is not counted.
    ask(3);
    let (pid, out) = (env.pid(), env.path("calls"));
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-c", "-U", "calls,name", "-p", &pid.to_string(), "-o"])
        .arg(&out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    process::until("strace has attached to all threads", || {
        fs::read_dir(format!("/proc/{pid}/task")).unwrap().all(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            !status.contains("TracerPid:\t0\n")
        })
    });
    ask(REQUESTS);
    process::signal(strace.id(), Signal::INT);
    process::wait(&mut strace, process::DEADLINE);
    let table = fs::read_to_string(&out).unwrap();
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (count, name) = (words.next()?.parse::<u64>().ok()?, words.next()?.to_owned());
        // What is done by the second, such as the vault's anchor, comes to less than one for a request.
        let each = (count + REQUESTS / 2) / REQUESTS;
        (each > 0 && name != "total" && !LEFT_OUT.contains(&&*name)).then_some((name, each))
    };
    table.lines().filter_map(row).collect()
}
