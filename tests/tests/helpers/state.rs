//! What all helpers do where there is no answer: locked, no daemon, inside of a session of `proxy run`; and how they are
//! called.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{TOKEN, World, assert_ends};

const CARGO: &str = "{\"v\":1,\"registry\":{\"index-url\":\"sparse+https://c.example/\",\"name\":\"a\"},\"kind\":\"get\",\"operation\":\"read\",\"args\":[]}\n";
const OFFER: &str = "{\"ServerURL\":\"a.example\",\"Username\":\"me\",\"Secret\":\"canary\"}";

/// Each question, with its input and the exit code where the vault is locked.
const QUESTIONS: [(&[&str], &str, i32); 9] = [
    (&["docker-credential-secretctl", "get"], "a.example", 3),
    (&["docker-credential-secretctl", "list"], "unused", 3),
    (&["docker-credential-secretctl", "erase"], "a.example", 3),
    (&["docker-credential-secretctl", "store"], OFFER, 3),
    (&["cargo-credential-secretctl", "--cargo-plugin"], CARGO, 0),
    (&["keyring", "get", "a.example", "me"], "", 3),
    (&["keyring", "set", "a.example", "me"], "canary", 3),
    (&["secretctl", "kube-credential", "A"], "", 3),
    (&["secretctl-vault-client", "--vault-id", "a"], "", 3),
];

#[test]
fn whatever_keeps_them_from_answering_is_quick_and_told_in_a_line() {
    let mut world = World::new();
    for name in ["DOCKER__A_EXAMPLE", "CARGO__A", "KEYRING__A_EXAMPLE", "A", "ANSIBLE__A"] {
        world.note(name, TOKEN, "user=me index=sparse+https://c.example/");
    }
    world.lock();
    let ask = |world: &World, words: &[&str], input: &str, code: i32, told: &str| {
        let begin = Instant::now();
        let output = world.run(words, input);
        assert_eq!(output.code, Some(code), "{words:?}: {}{}", output.out(), output.err());
        assert!(begin.elapsed() < Duration::from_secs(10), "{words:?}");
        let (out, err) = (output.out(), output.err());
        assert!(!out.contains("canary") && !err.contains("canary"), "{words:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(told), "{words:?}: {out}{err}");
        assert!(err.lines().count() <= 1, "{words:?}: {err}");
        let is_told_on_stdout = words[0].starts_with("docker") || words[0].starts_with("cargo");
        assert_eq!(out.is_empty(), !is_told_on_stdout, "{words:?}: {out}");
    };
    for (words, input, code) in QUESTIONS {
        ask(&world, words, input, code, "the vault is locked; run: secretctl unlock");
    }
    world.env.stop();
    for (words, input, code) in QUESTIONS {
        ask(&world, words, input, if code == 0 { 0 } else { 8 }, "secretsd");
    }
    assert!(world.env.listener().is_none(), "a daemon was started");
}

#[test]
fn inside_of_a_session_a_token_is_a_placeholder_and_the_rest_is_refused() {
    let world = World::new();
    for name in ["DOCKER__A_EXAMPLE", "CARGO__A", "KEYRING__A_EXAMPLE", "A", "ANSIBLE__A"] {
        world.note(name, TOKEN, "user=me index=sparse+https://c.example/");
    }
    let ask = |words: &[&str], input: &str, placeholders: &[&str]| {
        let mut command = world.command(words);
        command.env("SECRETSD_PROXY", "s");
        command.envs(placeholders.iter().map(|name| (*name, format!("placeholder-of-{name}"))));
        world.run_with(command, input)
    };
    for (words, input, _) in QUESTIONS {
        let output = ask(words, input, &[]);
        assert!(!output.out().contains("canary") && !output.err().contains("canary"), "{words:?}");
        assert_eq!(output.code == Some(0), words[0].starts_with("cargo"), "{words:?}: {}", output.out());
    }
    let output = ask(&["keyring", "get", "https://a.example/", "me"], "", &["KEYRING__A_EXAMPLE"]);
    assert_eq!(output.out(), "placeholder-of-KEYRING__A_EXAMPLE\n");
    let output = ask(&["cargo-credential-secretctl", "--cargo-plugin"], CARGO, &["CARGO__A"]);
    assert!(output.out().contains("\"token\":\"placeholder-of-CARGO__A\""), "{}", output.out());
    let output = ask(&["cargo-credential-secretctl", "--cargo-plugin"], CARGO, &[]);
    assert!(output.out().contains("not-found"), "{}", output.out());
    assert_ends(&ask(&["secretctl-vault-client", "--vault-id", "a"], "", &["ANSIBLE__A"]), false);
    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    assert!(!audit.contains("\"reveal\""), "a value was revealed: {audit}");
}

#[test]
fn an_access_token_that_may_not_list_is_still_answered() {
    let world = World::new();
    world.env.store("DOCKER__A_EXAMPLE", "{\"Username\":\"me\",\"Secret\":\"s\"}");
    let body = json!({"name": "helper", "scopes": ["reveal"], "secrets": ["DOCKER__*"]});
    let made = world.env.post("/tokens", &body);
    let token = made.expect(201)["token"].as_str().unwrap().to_owned();
    let mut command = world.command(&["docker-credential-secretctl", "get"]);
    command.env("SECRETSD_TOKEN", token);
    let output = world.run_with(command, "a.example");
    assert_eq!(output.json()["Username"], "me", "{}", output.err());
}

#[test]
fn doctor_finds_links_that_lead_elsewhere_or_are_missing() {
    let world = World::new();
    let findings = || {
        let command = world.command(&["secretctl", "doctor", "--json"]);
        let findings = world.run_with(command, "").json();
        let of_ours = |finding: &&serde_json::Value| finding["check"] == "helpers";
        let all = findings["findings"].as_array().unwrap_or_else(|| findings.as_array().unwrap()).clone();
        all.iter().filter(of_ours).cloned().collect::<Vec<_>>()
    };
    let found = findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["level"], "ok");
    let link = world.bin.join("docker-credential-secretctl");
    std::fs::remove_file(&link).unwrap();
    world.env.private_dir("home/.docker");
    world.env.private_file("home/.docker/config.json", "{\"credsStore\": \"secretctl\"}");
    let found = findings();
    let warning = found.iter().find(|finding| finding["level"] == "warning").unwrap();
    assert!(warning["fix"].as_str().unwrap().starts_with("ln -s "), "{warning}");
    symlink("/bin/true", &link).unwrap();
    let found = findings();
    let warning = found.iter().find(|finding| finding["level"] == "warning").unwrap();
    assert!(warning["what"].as_str().unwrap().contains("another program"), "{warning}");
    let fix = warning["fix"].as_str().unwrap();
    assert!(world.run(&["sh", "-c", fix], "").code == Some(0), "{fix}");
    assert!(findings().iter().all(|finding| finding["level"] == "ok"));
}
