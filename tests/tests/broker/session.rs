//! How a session begins and ends, and what a lock does to it.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Instant;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::origin::command_with_names;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{harness, process};
use serde_json::json;

use crate::world::{HOST, World};

fn world(test: &str) -> Option<World> {
    let world = World::new(test)?;
    world.rule(&["--host", &world.host()]);
    Some(world)
}

/// Waits until something is so.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn the_broker_ends_with_its_command_and_leaves_nothing() {
    let Some(world) = world("the_broker_ends_with_its_command_and_leaves_nothing") else { return };
    let output =
        world.run(&["sh", "-c", "echo $SECRETSD_PROXY; echo $SSL_CERT_FILE; ls $SSL_CERT_FILE; exit 7"]);
    assert_eq!(output.code, Some(7), "{}", output.err());
    let lines: Vec<String> = output.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[1], lines[2]);
    wait_until("the end of the session", || {
        let tokens = world.env.get("/tokens").expect(200).to_string();
        !tokens.contains("use") || !tokens.contains(&lines[0])
    });
    wait_until("the end of the files", || !std::path::Path::new(&lines[1]).exists());
    if rustix::process::geteuid().is_root() {
        let own = world.env.path("").display().to_string();
        wait_until("the broker's end", || find_process("secretsd-broker", &own).is_none());
    }
}

#[test]
fn the_broker_holds_nothing_of_its_command_open() {
    let test = "the_broker_holds_nothing_of_its_command_open";
    if !rustix::process::geteuid().is_root() {
        return harness::skip(test, "looking into a process that is not dumpable needs root");
    }
    let Some(world) = world(test) else { return };
    // What a shell has left open stays open in the command, as with any other.
    let client = world.env.programs().client;
    let open = ["sh", "-c", "exec 7<\"$0\"; exec \"$@\"", "hosts", client, "proxy", "run", "-s", "KEY", "--"];
    let words: Vec<&str> = open.into_iter().chain(["sh", "-c", "read line <&7; read line"]).collect();
    let mut command = command_with_names(&world.env, &world.authority.pem, &[HOST], &words);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let own = world.env.path("").display().to_string();
    let broker = || find_process("secretsd-broker", &own);
    wait_until("the broker", || broker().is_some());
    let hosts = world.env.path("hosts");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", broker().unwrap())).unwrap().flatten();
    let open: Vec<_> = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    assert!(!open.is_empty() && !open.contains(&hosts), "{open:?}");
    drop(child.stdin.take());
    process::wait(&mut child, DEADLINE);
}

#[test]
fn the_broker_has_only_the_variables_that_it_reads() {
    let test = "the_broker_has_only_the_variables_that_it_reads";
    if !rustix::process::geteuid().is_root() {
        return harness::skip(test, "looking into a process that is not dumpable needs root");
    }
    let Some(world) = world(test) else { return };
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", "read line"]);
    command.env("AWS_SECRET_ACCESS_KEY", "of-somebody-else").env("no_proxy", "direct.test");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let own = world.env.path("").display().to_string();
    let broker = || find_process("secretsd-broker", &own);
    wait_until("the broker", || broker().is_some());
    let environ = std::fs::read_to_string(format!("/proc/{}/environ", broker().unwrap())).unwrap();
    let names = environ.split('\0').filter_map(|variable| Some(variable.split_once('=')?.0));
    let others: Vec<&str> =
        names.filter(|name| !["SECRETSD_LOG", "SSL_CERT_FILE", "no_proxy"].contains(name)).collect();
    assert!(others.is_empty() && environ.contains("no_proxy=direct.test"), "{others:?}");
    drop(child.stdin.take());
    process::wait(&mut child, DEADLINE);
}

/// A process of this name that has something open below this directory.
fn find_process(name: &str, own: &str) -> Option<u32> {
    let is_it = |pid: &u32| {
        let comm = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        comm.trim_ascii() == name.as_bytes() && open.any(|path| path.starts_with(own))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).find(is_it)
}

#[test]
fn a_lock_ends_uses_at_once_and_the_session_goes_on_after_it() {
    let Some(world) = world("a_lock_ends_uses_at_once_and_the_session_goes_on_after_it") else { return };
    let url = world.url("/v1/echo");
    let script = format!(
        "while read line; do curl -sS -o /dev/null -w '%{{http_code}} %header{{x-secretsd-denied}}\\n' -H \"Authorization: Bearer $KEY\" {url}; done"
    );
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = || {
        input.write_all(b"\n").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(ask().split(' ').next(), Some("200"));
    world.env.post("/vault/lock", &json!({})).expect(200);
    assert!(ask().starts_with("403"), "a use after the lock");
    let seen = world.origin.seen().len();
    world.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(ask().split(' ').next(), Some("200"));
    assert_eq!(world.origin.seen().len(), seen + 1);
    drop(input);
    process::wait(&mut child, DEADLINE);
}

#[test]
fn a_rule_that_lost_its_private_addresses_holds_for_the_next_request() {
    let Some(world) = world("a_rule_that_lost_its_private_addresses_holds_for_the_next_request") else {
        return;
    };
    let script = format!(
        "while read line; do curl -sS -H \"Authorization: Bearer $KEY\" {}; echo; done",
        world.url("/v1/echo")
    );
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = || {
        input.write_all(b"\n").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    assert!(ask().contains("\"line\""));
    world.env.ctl(["proxy", "rule", "set", "KEY", "--host", &world.host()]).expect(0);
    let answer = ask();
    assert!(answer.contains("\"private_address\""), "{answer}");
    assert_eq!(world.origin.seen().len(), 1);
    drop(input);
    process::wait(&mut child, DEADLINE);
}

#[test]
fn a_session_whose_command_ends_while_the_vault_is_locked_ends_at_the_next_unlock() {
    let test = "a_session_whose_command_ends_while_the_vault_is_locked_ends_at_the_next_unlock";
    let Some(world) = world(test) else { return };
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", "echo runs; read line"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    world.env.post("/vault/lock", &json!({})).expect(200);
    drop(child.stdin.take());
    process::wait(&mut child, DEADLINE);
    world.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let entries = |action: &str| {
        let log = world.env.get("/audit").expect(200);
        log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count()
    };
    assert_eq!(entries("use_begin"), 1);
    wait_until("the session has ended", || entries("use_end") == 1);
    assert_eq!(world.env.get("/tokens").expect(200)["tokens"], json!([]));
}

#[test]
fn what_keeps_a_run_from_starting_is_said_and_the_command_does_not_run() {
    let Some(world) = World::new("what_keeps_a_run_from_starting_is_said_and_the_command_does_not_run")
    else {
        return;
    };
    let starts = |arguments: &[&str]| {
        let output = world.run_with(arguments, &["echo", "it runs"]);
        assert!(!output.out().contains("it runs"), "{arguments:?}");
        (output.code, output.err())
    };
    let (code, error) = starts(&["-s", "KEY"]);
    assert_eq!(code, Some(125));
    assert!(error.contains("KEY: no rule says where"), "{error}");
    assert!(error.ends_with("set one with: secretctl proxy rule set KEY --host HOST\n"), "{error}");
    world.env.store("OTHER", "value-of-other");
    let (code, error) = starts(&["-s", "OTHER,KEY"]);
    assert_eq!(code, Some(125));
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].ends_with(": secretctl proxy rule set OTHER --host HOST"), "{error}");
    assert!(lines[1].ends_with(": secretctl proxy rule set KEY --host HOST"), "{error}");
    assert_eq!(lines.len(), 2, "{error}");
    let (code, error) = starts(&["-s", "KEY,MISSING"]);
    assert_eq!(code, Some(125));
    assert!(error.contains("no such secret: MISSING"), "{error}");
    world.rule(&["--host", &world.host()]);
    let (code, error) = starts(&["-s", "KEY", "--allow", "*"]);
    assert_eq!(code, Some(125));
    assert!(error.contains("--allow takes a host"), "{error}");
    let (code, error) = starts(&["-s", "KEY", "--ttl", "8d"]);
    assert_eq!(code, Some(125), "{error}");
    let (code, _) = starts(&["-s", ""]);
    assert_eq!(code, Some(2));
    let output = world.run(&["/no/such/program"]);
    assert_eq!(output.code, Some(127));
}

#[test]
fn authorities_are_found_from_where_the_session_is_started() {
    let Some(world) = World::new("authorities_are_found_from_where_the_session_is_started") else { return };
    world.rule(&["--host", &world.host()]);
    let script = format!("curl -sS -H \"Authorization: Bearer $KEY\" {}", world.url("/v1"));
    let dir = world.authority.pem.parent().unwrap();
    for (name, value) in [("SSL_CERT_FILE", "test-ca.pem"), ("SSL_CERT_DIR", "authorities")] {
        std::fs::create_dir_all(dir.join("authorities")).unwrap();
        std::fs::copy(&world.authority.pem, dir.join("authorities/test-ca.pem")).unwrap();
        let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
        command.current_dir(dir).env_remove("SSL_CERT_FILE").env(name, value);
        let (_, output) = process::run(&mut command, b"");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("upstream_tls") && !said.is_empty(), "{name}: {said}");
    }
    assert_eq!(world.origin.seen().len(), 2);
}

#[test]
fn another_user_cannot_use_the_listener() {
    let test = "another_user_cannot_use_the_listener";
    if !rustix::process::geteuid().is_root() {
        return harness::skip(test, "only root can be another user");
    }
    let Some(world) = world(test) else { return };
    let url = world.url("/v1/echo");
    let curl = format!("curl -sS --proxy $HTTPS_PROXY --insecure -H \"Authorization: Bearer $KEY\" {url}");
    let script = format!(
        "setpriv --reuid=65534 --clear-groups {curl}; echo \"status $?\"; {curl} > /dev/null; echo \"status $?\""
    );
    let output = world.run(&["sh", "-c", &script]);
    let out = output.out();
    let statuses: Vec<&str> = out.lines().filter(|line| line.starts_with("status")).collect();
    assert_ne!(statuses[0], "status 0", "{out}");
    assert_eq!(statuses[1], "status 0", "{out}{}", output.err());
    assert_eq!(world.origin.seen().len(), 1);
}

#[test]
fn a_broker_that_is_started_by_hand_says_how_it_is_meant() {
    let env = secretsd_tests::Env::new(secretsd_tests::programs!());
    let (_, output) = process::run(&mut env.command(env!("CARGO_BIN_EXE_secretsd-broker")), b"");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("secretctl proxy run"), "{error}");
}
