//! cargo's protocol, and cargo itself against an index that demands a token.

use std::path::Path;

use secretsd_tests::ctl::CtlOutput;
use serde_json::{Value, json};

use crate::{Server, TOKEN, World, assert_ends};

const INDEX: &str = "sparse+https://cargo.example/index/";

fn request(kind: &str, name: Option<&str>, index: &str) -> Value {
    let mut registry = json!({"index-url": index, "headers": ["WWW-Authenticate: Cargo"]});
    if let Some(name) = name {
        registry["name"] = name.into();
    }
    json!({"v": 1, "registry": registry, "kind": kind, "operation": "read", "args": []})
}

/// The answers to requests, one a line.
fn ask_all(world: &World, input: &str) -> Vec<Value> {
    let output = world.run(&["cargo-credential-secretctl", "--cargo-plugin"], input);
    assert_eq!((output.code, output.err().as_str()), (Some(0), ""));
    let out = output.out();
    let mut lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(lines.next(), Some(json!({"v": [1]})));
    lines.collect()
}

fn ask(world: &World, request: &Value) -> Value {
    ask_all(world, &format!("{request}\n")).remove(0)
}

fn login(world: &World, name: &str, index: &str, token: &str) -> Value {
    let mut request = request("login", Some(name), index);
    request["token"] = token.into();
    ask(world, &request)
}

fn token(world: &World, name: Option<&str>, index: &str) -> Value {
    ask(world, &request("get", name, index))
}

/// What an answer says is wrong.
#[track_caller]
fn problem(answer: &Value) -> String {
    let error = &answer["Err"];
    assert_eq!(error["kind"], "other", "{answer}");
    assert!(!answer.to_string().contains("canary"), "{answer}");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_goes_to_its_own_index_alone() {
    let world = World::new();
    let none = json!({"Err": {"kind": "not-found"}});
    let is = |token: &str| json!({"Ok": {"kind": "get", "token": token, "cache": "session", "operation_independent": true}});
    assert_eq!(token(&world, Some("my-reg"), INDEX), none);
    assert_eq!(ask(&world, &request("logout", Some("my-reg"), INDEX)), none);
    assert_eq!(login(&world, "my-reg", INDEX, TOKEN), json!({"Ok": {"kind": "login"}}));
    assert_eq!(token(&world, Some("my-reg"), INDEX), is(TOKEN));
    // Whatever it is called there.
    assert_eq!(token(&world, None, INDEX), is(TOKEN));
    assert_eq!(token(&world, Some("other"), INDEX), is(TOKEN));
    // A project's settings may give the name to an index of their own.
    for evil in [
        "sparse+https://evil.example/index/",
        "sparse+https://cargo.example/index/x/",
        "https://cargo.example/index/",
    ] {
        assert!(problem(&token(&world, Some("my-reg"), evil)).contains("another index"));
        assert!(problem(&login(&world, "my_reg", evil, "x")).contains("another index"));
        assert!(problem(&ask(&world, &request("logout", Some("my-reg"), evil))).contains("another index"));
        assert_eq!(token(&world, Some("evil"), evil), none);
    }
    assert_eq!(world.env.value("CARGO__MY_REG"), TOKEN);
    // What was set by hand says for what.
    world.env.store("CARGO__HAND", "hand");
    let told = problem(&token(&world, Some("hand"), "sparse+https://hand.example/"));
    assert!(told.contains("secretctl edit CARGO__HAND --note index=URL"), "{told}");
    assert!(problem(&login(&world, "hand", "sparse+https://hand.example/", "x")).contains("for which index"));
    world.env.ctl(["edit", "CARGO__HAND", "--note", "mine index=sparse+https://hand.example/"]).expect(0);
    assert_eq!(token(&world, Some("hand"), "sparse+https://hand.example/"), is("hand"));
    // A new token in the place of the old one, and cargo is told when it ends.
    world.env.ctl(["edit", "CARGO__MY_REG", "--expires", "2099-01-01"]).expect(0);
    assert_eq!(login(&world, "my-reg", INDEX, "two\n"), json!({"Ok": {"kind": "login"}}));
    let answer = token(&world, Some("my-reg"), INDEX);
    assert_eq!(
        (&answer["Ok"]["token"], &answer["Ok"]["cache"]),
        (&json!("two"), &json!("expires")),
        "{answer}"
    );
    assert_eq!(answer["Ok"]["expiration"], 4_070_908_800_u64);
    world.expire("CARGO__MY_REG");
    assert!(problem(&token(&world, Some("my-reg"), INDEX)).starts_with("CARGO__MY_REG expired"));
    assert_eq!(ask(&world, &request("logout", Some("my-reg"), INDEX)), json!({"Ok": {"kind": "logout"}}));
    assert_eq!(world.names(), ["CARGO__HAND"]);
    world.lock();
    assert_eq!(problem(&token(&world, Some("hand"), INDEX)), "the vault is locked; run: secretctl unlock");
}

#[test]
fn bad_requests_are_answered_and_not_shown() {
    let world = World::new();
    let with = |key: &str, value: Value| {
        let mut request = request("get", Some("a"), INDEX);
        request[key] = value;
        request
    };
    for (request, told) in [
        (json!("canary"), "no request"),
        (json!({"v": 1, "kind": "canary"}), "no request"),
        (with("v", json!(2)), "version 1"),
        (with("args", json!(["canary"])), "no arguments"),
        (request("get", Some("a"), "sparse+http://canary.example/"), "unencrypted"),
        (request("get", Some("a"), "sparse+https://can ary/"), "blanks"),
        (request("get", Some("cänary"), INDEX), "letters, digits"),
        (request("login", Some("a"), "sparse+https://me:canary@cargo.example/"), "note is no place"),
        (request("login", None, INDEX), "has no name"),
        (request("login", Some("a"), INDEX), "no terminal"),
    ] {
        let told_was = problem(&ask(&world, &request));
        assert!(told_was.contains(told), "{told}: {told_was}");
    }
    for bad in ["", "can\nary", "canary\u{1}", "can\0ary"] {
        problem(&login(&world, "a", INDEX, bad));
    }
    problem(&login(&world, "a", INDEX, &"x".repeat(65_537)));
    assert_eq!(ask(&world, &with("kind", json!("canary")))["Err"]["kind"], "operation-not-supported");
    let many = format!("garbage\n{}\n\n", with("kind", json!("get")));
    assert_eq!(ask_all(&world, &many).len(), 3);
    assert_eq!(problem(&ask_all(&world, &"canary".repeat(100_000))[0]), "the request is too long");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn cargo_logs_in_asks_the_index_and_logs_out() {
    let world = World::new();
    let server =
        Server::start(&world.env, TOKEN, &[("CHALLENGES", "Cargo login_url=\"http://127.0.0.1/me\"")]);
    let index = format!("sparse+http://127.0.0.1:{}/index/", server.port);
    let settings = format!(
        "[registries.my-reg]\nindex = \"{index}\"\n[registry]\nglobal-credential-providers = [\"cargo-credential-secretctl\"]\n"
    );
    world.env.private_dir("cargo");
    world.env.private_file("cargo/config.toml", settings);
    // A toolchain's own cargo: a proxy of rustup's would look for toolchains in this HOME.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let run = |words: &[&str], input: &str| -> CtlOutput {
        let mut command = world.command(&[&[cargo.as_str()], words].concat());
        command.env("CARGO_HOME", world.env.path("cargo"));
        if Path::new(&cargo).is_absolute() {
            command.env("RUSTC", Path::new(&cargo).with_file_name("rustc"));
        }
        world.run_with(command, input)
    };
    let info = || run(&["info", "acme", "--registry", "my-reg"], "");
    let output = info();
    assert_ends(&output, false);
    assert!(output.err().contains("no token found"), "{}", output.err());
    world.note("CARGO__MY_REG", TOKEN, &format!("index={index}"));
    world.lock();
    let output = info();
    assert_ends(&output, false);
    assert!(output.err().contains("the vault is locked; run: secretctl unlock"), "{}", output.err());
    world.unlock();
    // The index is read; the crate itself is not there.
    let output = info();
    assert!(!output.err().contains("canary") && !output.err().contains("token"), "{}", output.err());
    assert!(output.err().contains("acme"), "{}", output.err());
    assert_ends(&run(&["logout", "--registry", "my-reg"], ""), true);
    assert_eq!(world.names(), [""; 0]);
    // It reads the token from its own stdin, and gives it to us by ours.
    assert_ends(&run(&["login", "--registry", "my-reg"], TOKEN), true);
    assert_eq!(world.env.value("CARGO__MY_REG"), TOKEN);
    assert!(info().err().contains("acme"));
    assert_ends(&run(&["logout", "--registry", "my-reg"], ""), true);
    assert_eq!(world.names(), [""; 0]);
}
