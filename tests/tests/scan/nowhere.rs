//! Where values are while they are looked for, and what is written of it.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use secretsd_tests::process::{self, DEADLINE};

use crate::{Tree, VALUE};

#[test]
fn one_entry_in_the_audit_log_and_no_use_of_the_values() {
    let tree = Tree::new();
    tree.write("file", VALUE);
    tree.scan(&[], 10);
    let entries = tree.env.get("/audit?limit=1000").expect(200)["entries"].as_array().unwrap().clone();
    let reveals: Vec<_> = entries.iter().filter(|entry| entry["action"] == "reveal").collect();
    assert_eq!(reveals.len(), 1, "{reveals:?}");
    assert_eq!(reveals[0]["purpose"], "scan");
    assert_eq!(reveals[0]["names"].as_array().unwrap().len(), 2);
    let secrets = tree.env.get("/user/secrets?view=full").expect(200)["secrets"].clone();
    for secret in secrets.as_array().unwrap() {
        assert!(secret["last_used_at"].is_null(), "{secret}");
    }
}

#[test]
fn while_it_is_locked_nothing_is_scanned() {
    let tree = Tree::new();
    tree.write("file", VALUE);
    tree.env.ctl(["lock"]).expect(0);
    tree.ctl(&["scan"]).expect(3);
}

#[test]
fn a_token_looks_for_what_it_may_have() {
    let tree = Tree::new();
    tree.write("file", format!("{VALUE}\n{}", crate::PHRASE));
    let made = |scope: &str| {
        let body =
            serde_json::json!({"name": scope, "scopes": [scope], "secrets": ["API_*"], "ttl_seconds": 600});
        tree.env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned()
    };
    let output = tree.ctl(&["scan"]).env("SECRETSD_TOKEN", made("reveal")).run();
    assert_eq!(crate::told(&output, 10), ["file:1:1 API_KEY clear"]);
    tree.ctl(&["scan"]).env("SECRETSD_TOKEN", made("list")).expect(5);
    // An empty vault is no failure.
    let empty = secretsd_tests::Env::unlocked(secretsd_tests::programs!());
    let output = empty.ctl(["scan"]).run();
    assert_eq!(output.code, Some(0));
    assert!(output.err().contains("nothing found: looked for 0 values"), "{}", output.err());
}

#[test]
fn the_scanner_lets_nobody_look_into_it_and_says_no_value_to_git() {
    let tree = Tree::new();
    let mut command = tree.env.command(tree.env.programs().client);
    command.args(["scan", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let at = format!("/proc/{}", child.id());
    let end = Instant::now() + DEADLINE;
    // It has its values when the audit log says so.
    while !tree.env.get("/audit?limit=10").expect(200).to_string().contains("\"scan\"") {
        assert!(Instant::now() < end, "nothing is revealed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let limits = fs::read_to_string(format!("{at}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "{core}");
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("{at}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("canary"), "{file}");
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(VALUE.as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(process::wait(&mut child, DEADLINE).code(), Some(10));
}
