//! The file on disk, read without the daemon's code: `tests/vectors/check.py` is a second implementation of the format.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

/// A Python that has these modules. The system's own is tried second: packages of the system's serve it alone.
fn python(modules: &str) -> Option<&'static str> {
    let usable = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {modules}")]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(usable);
    if found.is_none() {
        let skipped = format!("SKIPPED: no python3 has the modules {modules}");
        assert!(std::env::var_os("CI").is_none(), "{skipped}, which .ci/run installs");
        // Not by a macro, whose output the test runner keeps to itself.
        io::stderr().write_all(format!("{skipped}\n").as_bytes()).unwrap();
    }
    found
}

/// Runs the script; its report, or what it objects to.
fn check(env: &Env, python: &str, arguments: &[&Path]) -> Result<Value, String> {
    let mut command = env.command(python);
    command.arg("-B").arg(repository().join("tests/vectors/check.py")).args(arguments);
    let (_, output) = process::run(&mut command, b"");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn sha256(text: &str) -> String {
    // Once more without the daemon's code; the tests have no use for a digest elsewhere.
    let (_, output) = process::run(&mut Command::new("sha256sum"), text.as_bytes());
    let hex = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    assert_eq!(HEXLOWER.decode(hex.as_bytes()).unwrap().len(), 32);
    hex
}

#[test]
fn a_second_implementation_reads_what_the_daemon_wrote() {
    let Some(python) = python("cryptography") else { return };
    let mut env = Env::started(programs!());
    let key = env.private_file("key", [0x5a; 48]);
    let reply = env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    let recovery = reply["recovery_key"].as_str().unwrap().to_owned();

    let large = "ä".repeat(32_768);
    env.store("LARGE", &large);
    env.store("SMALL", "x");
    let changed = env.store("CHANGED", "before\n")["id"].as_str().unwrap().to_owned();
    let changed = format!("/user/secrets/{changed}");
    env.request("PUT", &changed).json(&json!({ "value": "after" })).send().expect(200);
    let note = json!({ "note": "für „prod“ \u{1f511} \"\\/", "expires_at": "2030-01-01T00:00:00Z" });
    env.request("PATCH", &changed).json(&note).send().expect(200);
    let gone = env.store("GONE", "gone")["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{gone}")).send().status, 204);
    assert_eq!(env.value("SMALL"), "x");
    for (unit, name) in [("web.service", "SMALL"), ("web.service", "LARGE"), ("job@.service", "SMALL")] {
        env.post("/credentials", &json!({ "unit": unit, "secrets": [name] })).expect(200);
    }
    let request =
        json!({ "name": "agent", "scopes": ["reveal", "list"], "secrets": ["s*"], "rate_per_minute": 60 });
    let made = env.post("/tokens", &request).expect(201);
    let token = made["token"].as_str().unwrap();
    env.anonymous("GET", "/vault").bearer(token).send().expect(200);
    assert!(env.stop().success());

    let vault = env.data_dir().join("vault.db");
    let anchor = env.state_dir().join("anchor");
    let report = check(&env, python, &[&vault, &key, "--anchor".as_ref(), &anchor]).unwrap();
    let secret = |name: &str, version: u64, values: &[(&str, &str)], deleted: bool| {
        let versions: serde_json::Map<String, Value> =
            values.iter().map(|(version, value)| ((*version).to_owned(), json!(sha256(value)))).collect();
        let current = sha256(values.last().unwrap().1);
        json!({ "name": name, "version": version, "deleted": deleted, "sha256": current, "versions": versions })
    };
    let secrets = json!([
        secret("CHANGED", 3, &[("1", "before\n"), ("2", "after")], false),
        secret("GONE", 2, &[("1", "gone")], true),
        secret("LARGE", 1, &[("1", &large)], false),
        secret("SMALL", 1, &[("1", "x")], false),
    ]);
    assert_eq!(report["secrets"], secrets);
    assert_eq!(report["slots"], json!([2, 4]));
    let credentials = json!([
        { "unit": "job@.service", "secrets": ["SMALL"], "version": 1 },
        { "unit": "web.service", "secrets": ["LARGE", "SMALL"], "version": 2 },
    ]);
    assert_eq!(report["credentials"], credentials);
    let mut audit =
        vec!["init", "create", "create", "create", "update", "edit", "create", "delete", "reveal"];
    audit.extend(["credential_allow"; 3]);
    audit.extend(["token_create", "lock"]);
    assert_eq!(report["audit"], json!(audit));
    // All that is kept of a token; its last use was written when the vault was closed.
    let mut kept = report["tokens"]["agent"].clone();
    assert!(kept.as_object_mut().unwrap().remove("last_used_at").is_some());
    let expected = json!({
        "hash": sha256(token),
        "scopes": ["list", "reveal"],
        "secrets": ["S*"],
        "created_at": made["created_at"],
        "expires_at": made["expires_at"],
        "rate_per_minute": 60,
    });
    assert_eq!(kept, expected);

    let by_recovery = check(&env, python, &[&vault, "--recovery".as_ref(), recovery.as_ref()]).unwrap();
    assert_eq!(by_recovery, report);

    // After a rotation too, whose rows were all written again.
    env.start();
    env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
    env.post("/vault/rotate", &json!({ "key_file": key })).expect(200);
    assert!(env.stop().success());
    let rotated = check(&env, python, &[&vault, &key, "--anchor".as_ref(), &anchor]).unwrap();
    assert_eq!((&rotated["secrets"], &rotated["epoch"]), (&secrets, &json!(2)));
    assert_eq!(rotated["credentials"], credentials);
    assert_eq!(rotated["tokens"], report["tokens"]);
    assert!(check(&env, python, &[&vault, "--recovery".as_ref(), recovery.as_ref()]).is_err());
}

#[test]
fn a_second_implementation_reads_items() {
    let Some(python) = python("cryptography") else { return };
    let mut env = Env::started(programs!());
    let key = env.private_file("key", [0x5a; 48]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    let new = |label: &str, attributes: &Value, value: &str| {
        let value = data_encoding::BASE64.encode(value.as_bytes());
        json!({ "label": label, "attributes": attributes, "content_type": "text/plain", "value_base64": value })
    };
    let lines = json!({ "a\nb": "ä\u{1f511}", "": "" });
    let stored = env.post("/items", &new("für „alle“", &lines, "first")).expect(201);
    let path = format!("/items/{}", stored["id"].as_str().unwrap());
    let value = json!({ "content_type": "", "value_base64": "" });
    env.request("PUT", &format!("{path}/value")).json(&value).send().expect(200);
    let gone = env.post("/items", &new("", &json!({}), "gone\0")).expect(201);
    let gone = format!("/items/{}", gone["id"].as_str().unwrap());
    assert_eq!(env.request("DELETE", &gone).send().status, 204);
    env.request("PATCH", "/items/collection").json(&json!({ "label": "Mine" })).send().expect(200);
    assert!(env.stop().success());

    let vault = env.data_dir().join("vault.db");
    let anchor = env.state_dir().join("anchor");
    let report = check(&env, python, &[&vault, &key, "--anchor".as_ref(), &anchor]).unwrap();
    let version = |content_type: &str, value: &str| json!({ "content_type": content_type, "size": value.len(), "sha256": sha256(value) });
    let item = |label: &str, attributes: &Value, deleted: bool, versions: Value| {
        json!({
            "label": label, "attributes": attributes, "version": 2, "deleted": deleted, "guarded": false,
            "versions": versions,
        })
    };
    let all = json!([
        item(
            "für „alle“",
            &lines,
            false,
            json!({ "1": version("text/plain", "first"), "2": version("", "") })
        ),
        item("", &json!({}), true, json!({ "1": version("text/plain", "gone\0") })),
    ]);
    assert_eq!(report["items"], all);
    assert_eq!(report["collection"], json!({ "label": "Mine", "version": 2 }));
    assert_eq!(report["unknown"], json!({}));
}

#[test]
fn a_second_implementation_reads_the_fixture() {
    let Some(python) = python("cryptography") else { return };
    let env = Env::new(programs!());
    let fixture = repository().join("tests/fixtures/format-1");
    let [vault, key, anchor] = ["vault.db", "key", "anchor"].map(|name| fixture.join(name));
    let report = check(&env, python, &[&vault, &key, "--anchor".as_ref(), &anchor]).unwrap();
    let names: Vec<&Value> =
        report["secrets"].as_array().unwrap().iter().map(|secret| &secret["name"]).collect();
    assert_eq!(json!(names), json!(["DELETED", "LARGE", "MULTILINE", "ONE_BYTE", "OPENAI_API_KEY"]));
    assert_eq!(report["secrets"][0]["deleted"], true);
    assert_eq!(report["secrets"][2]["sha256"], sha256("first line\nzweite Zeile: ä€🔑\n"));
    assert_eq!(report["slots"], json!([1, 2, 4]));
}

#[test]
fn a_second_implementation_finds_all_that_a_newer_program_has_added() {
    let Some(python) = python("cryptography") else { return };
    let mut env = Env::new(programs!());
    let fixtures = repository().join("tests/fixtures");
    let read = |name: &str| fs::read(fixtures.join(name)).unwrap();
    for directory in ["data/secretsd", "state/secretsd"] {
        env.private_dir(directory);
    }
    let vault = env.private_file("data/secretsd/vault.db", read("future/vault.db"));
    let key = env.private_file("key", read("format-1/key"));
    let before = check(&env, python, &[&vault, &key]).unwrap();

    env.start();
    env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
    for secret in env.get("/user/secrets").json()["secrets"].as_array().unwrap() {
        let path = format!("/user/secrets/{}", secret["id"].as_str().unwrap());
        env.value(secret["name"].as_str().unwrap());
        env.request("PATCH", &path).json(&json!({ "note": "new" })).send().expect(200);
        env.request("PUT", &path).json(&json!({ "value": "new" })).send().expect(200);
    }
    env.post("/vault/rotate", &json!({ "key_file": key })).expect(200);
    assert!(env.stop().success());
    let after = check(&env, python, &[&vault, &key]).unwrap();
    let unknown = |report: &Value| report["unknown"].as_object().unwrap().clone();
    let count = |report: &Value| report["secrets"].as_array().unwrap().len();
    let (mut expected, found) = (unknown(&before), unknown(&after));
    // The secret in the trash is gone once it was there for too long.
    let left = expected.len() - (count(&before) - count(&after));
    expected.retain(|place, _| found.contains_key(place));
    assert!(expected == found && found.len() == left, "{expected:?} became {found:?}");
}

#[test]
fn the_second_implementation_refuses_what_it_must_know_and_does_not() {
    let Some(python) = python("cryptography") else { return };
    let env = Env::new(programs!());
    let fixtures = repository().join("tests/fixtures");
    let [vault, key] = ["future/requires.db", "format-1/key"].map(|name| fixtures.join(name));
    let error = check(&env, python, &[&vault, &key]).unwrap_err();
    assert!(error.contains("newer program"), "{error}");
}

#[test]
fn the_known_answers_are_what_the_second_implementation_gives() {
    let Some(python) = python("cryptography, argon2") else { return };
    let env = Env::new(programs!());
    let vectors = repository().join("tests/vectors");
    let mut command = env.command(python);
    command.arg("-B").arg(vectors.join("generate.py")).arg(env.path("made.json"));
    let (_, output) = process::run(&mut command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |path| fs::read_to_string(path).unwrap();
    assert!(
        read(env.path("made.json")) == read(vectors.join("format-1.json")),
        "run tests/vectors/generate.py"
    );
}

#[test]
fn the_second_implementation_refuses_what_was_changed() {
    let Some(python) = python("cryptography") else { return };
    let mut env = Env::started(programs!());
    let key = env.private_file("key", [0x5a; 48]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    env.store("A", "x");
    env.store("B", "y");
    env.stop();
    let vault = env.data_dir().join("vault.db");
    check(&env, python, &[&vault, &key]).unwrap();
    let copy = env.path("copy.db");
    for (sql, objection) in [
        ("DELETE FROM record WHERE kind = 2 AND id = (SELECT min(id) FROM record)", "added or removed"),
        ("UPDATE record SET version = 9 WHERE id = (SELECT min(id) FROM record)", "changed or put back"),
        ("UPDATE header SET lineage = zeroblob(16)", "header or a slot"),
        ("DELETE FROM slot WHERE kind = 4", "header or a slot"),
        ("UPDATE manifest SET generation = generation + 1", "manifest"),
        ("DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)", "audit log is cut off"),
        ("UPDATE audit SET mac = zeroblob(32) WHERE sequence = 2", "broken at 2"),
    ] {
        fs::copy(&vault, &copy).unwrap();
        let database = rusqlite::Connection::open(&copy).unwrap();
        assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
        database.close().unwrap();
        let error = check(&env, python, &[&copy, &key]).unwrap_err();
        assert!(error.contains(objection), "{sql}: {error}");
    }
}
