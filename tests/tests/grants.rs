//! What units may load: said by the API and by `secretctl`, kept in the vault through everything that the vault survives.

use std::fs;

use secretsd_tests::env::{Env, PASSPHRASE};
use secretsd_tests::programs;
use serde_json::{Value, json};

fn allow(env: &Env, unit: &str, names: &[&str]) -> Value {
    env.post("/credentials", &json!({ "unit": unit, "secrets": names })).expect(200)
}

/// Units with their secrets, as the API lists them.
fn granted(env: &Env) -> Value {
    let list = env.get("/credentials").expect(200);
    let grants = list["credentials"].as_array().unwrap();
    assert_eq!(list["total"], grants.len());
    grants.iter().map(|grant| json!([grant["unit"], grant["secrets"]])).collect()
}

fn with_secrets(names: &[&str]) -> Env {
    let env = Env::unlocked(programs!());
    for name in names {
        env.store(name, "x");
    }
    env
}

#[test]
fn grants_are_added_listed_and_taken_back() {
    let env = with_secrets(&["A", "B", "C"]);
    assert_eq!(granted(&env), json!([]));
    let first = allow(&env, "web.service", &["b", "A", "B"]);
    assert_eq!(first["secrets"], json!(["A", "B"]));
    let mut keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["created_at", "secrets", "unit", "updated_at"]);
    // Once more is no error, and no entry in the audit log.
    assert_eq!(allow(&env, "web.service", &["A"]), first);
    assert_eq!(allow(&env, "web.service", &["C"])["secrets"], json!(["A", "B", "C"]));
    allow(&env, r"job@a\x2db.service", &["A"]);
    allow(&env, "job@.service", &["A"]);
    assert_eq!(
        granted(&env),
        json!([["job@.service", ["A"]], [r"job@a\x2db.service", ["A"]], ["web.service", ["A", "B", "C"]]])
    );
    let revoke = |query: &str| env.request("DELETE", &format!("/credentials?{query}")).send();
    assert_eq!(revoke("unit=web.service&name=b").status, 204);
    revoke("unit=web.service&name=b").expect_error(404, "not_found_error");
    assert_eq!(revoke("unit=web.service").status, 204);
    revoke("unit=web.service").expect_error(404, "not_found_error");
    // The last secret takes the unit with it.
    assert_eq!(revoke("unit=job%40.service&name=A").status, 204);
    assert_eq!(revoke("unit=job%40a%5Cx2db.service").status, 204);
    assert_eq!(granted(&env), json!([]));
    let entries = env.get("/audit").expect(200)["entries"].as_array().unwrap().clone();
    let about: Vec<Value> = entries
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().starts_with("credential_"))
        .map(|entry| json!([entry["action"], entry["command"], entry["names"]]))
        .collect();
    assert_eq!(
        about,
        [
            json!(["credential_allow", "web.service", ["A", "B"]]),
            json!(["credential_allow", "web.service", ["C"]]),
            json!(["credential_allow", r"job@a\x2db.service", ["A"]]),
            json!(["credential_allow", "job@.service", ["A"]]),
            json!(["credential_revoke", "web.service", ["B"]]),
            json!(["credential_revoke", "web.service", ["A", "C"]]),
            json!(["credential_revoke", "job@.service", ["A"]]),
            json!(["credential_revoke", r"job@a\x2db.service", ["A"]]),
        ]
    );
}

#[test]
fn what_is_malformed_or_missing_is_refused_whole() {
    let env = with_secrets(&["A"]);
    let post = |unit: &Value, secrets: &Value| {
        env.post("/credentials", &json!({ "unit": unit, "secrets": secrets }))
    };
    for (unit, kind) in [
        (json!("web"), "string_pattern_mismatch"),
        (json!("web.timer"), "string_pattern_mismatch"),
        (json!("we b.service"), "string_pattern_mismatch"),
        (json!("*.service"), "string_pattern_mismatch"),
        (json!("../a.service"), "string_pattern_mismatch"),
        (json!("@a.service"), "string_pattern_mismatch"),
        (json!(""), "string_too_short"),
        (json!(format!("{}.service", "x".repeat(248))), "string_too_long"),
        (json!(7), "string_type"),
    ] {
        post(&unit, &json!(["A"])).expect_invalid(&json!(["body", "unit"]), kind);
    }
    let unit = json!("web.service");
    post(&unit, &json!([])).expect_invalid(&json!(["body", "secrets"]), "too_short");
    post(&unit, &json!(["A*"])).expect_invalid(&json!(["body", "secrets", 0]), "string_pattern_mismatch");
    let missing = post(&unit, &json!(["A", "B", "C"])).expect_error(404, "not_found_error");
    let places: Vec<&Value> =
        missing["errors"].as_array().unwrap().iter().map(|error| &error["loc"][2]).collect();
    assert_eq!(places, [&json!(1), &json!(2)]);
    env.post("/credentials", &json!({ "unit": "web.service", "secrets": ["A"], "more": 1 }))
        .expect_invalid(&json!(["body"]), "extra_forbidden");
    let delete = |query: &str| env.request("DELETE", &format!("/credentials{query}")).send();
    delete("").expect_invalid(&json!(["query", "unit"]), "missing");
    delete("?unit=web").expect_invalid(&json!(["query", "unit"]), "string_pattern_mismatch");
    delete("?unit=web.service&name=*").expect_invalid(&json!(["query", "name"]), "string_pattern_mismatch");
    assert_eq!(granted(&env), json!([]));
    env.post("/vault/lock", &json!({})).expect(200);
    env.get("/credentials").expect_error(403, "vault_locked_error");
    post(&unit, &json!(["A"])).expect_error(403, "vault_locked_error");
    delete("?unit=web.service").expect_error(403, "vault_locked_error");
}

#[test]
fn secretctl_allows_lists_and_revokes() {
    let env = with_secrets(&["A", "B", "C"]);
    let run = |arguments: &[&str]| env.ctl([&["credential"], arguments].concat()).run();
    let list = run(&["list"]);
    list.assert_code(0);
    assert_eq!((list.out().as_str(), list.err().contains("no unit may load secrets")), ("", true));
    let said = run(&["allow", "web.service", "a", "B", "A"]);
    said.assert_code(0);
    assert_eq!((said.out(), said.err()), (String::new(), "secretctl: web.service may load A,B\n".to_owned()));
    run(&["allow", r"job@a\x2db.service", "C"]).assert_code(0);
    let list = run(&["list"]).out();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["UNIT", "UPDATED", "SECRETS"]);
    assert_eq!((lines[1][0], lines[1][2]), (r"job@a\x2db.service", "C"));
    assert_eq!((lines[2][0], lines[2][2]), ("web.service", "A,B"));
    assert_eq!(run(&["list", "--json"]).json()["total"], 2);

    for (arguments, code, says) in [
        (&["allow", "web.service", "A", "NOPE", "OTHER"][..], 4, "no such secret: NOPE, OTHER"),
        (&["allow", "web", "A"], 7, "a unit's name ends in .service"),
        (&["allow", "web.service", "A*"], 7, "a name has only letters"),
        (&["allow", "web.service"], 2, ""),
        (&["revoke", "web.service", "A", "C"], 4, "web.service is not allowed to load C"),
        (&["revoke", "other.service", "A"], 4, "other.service is not allowed to load A"),
        (&["revoke", "other.service"], 4, "other.service may not load any secret"),
        (&["revoke", "other"], 7, "a unit's name ends in .service"),
    ] {
        let output = run(arguments);
        output.assert_code(code);
        assert!(output.err().contains(says), "{arguments:?}: {}", output.err());
    }
    assert_eq!(granted(&env)[1], json!(["web.service", ["A", "B"]]), "what fails changes nothing");
    assert_eq!(run(&["revoke", "web.service", "b"]).err(), "secretctl: web.service may no longer load B\n");
    assert_eq!(
        run(&["revoke", "web.service"]).err(),
        "secretctl: web.service may no longer load any secret\n"
    );
    run(&["revoke", r"job@a\x2db.service"]).assert_code(0);
    assert_eq!(granted(&env), json!([]));
    let audit = env.ctl(["audit"]).expect(0);
    assert!(audit.contains("credential_allow") && audit.contains("web.service"), "{audit}");
}

#[test]
fn grants_survive_locks_rotation_backup_and_restore() {
    let mut env = with_secrets(&["A", "B"]);
    allow(&env, "web.service", &["A", "B"]);
    allow(&env, "job@.service", &["A"]);
    allow(&env, "gone.service", &["A"]);
    assert_eq!(env.request("DELETE", "/credentials?unit=gone.service").send().status, 204);
    let expected = json!([["job@.service", ["A"]], ["web.service", ["A", "B"]]]);
    let unlock = |env: &Env| env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    env.post("/vault/lock", &json!({})).expect(200);
    unlock(&env);
    assert_eq!(granted(&env), expected);
    env.kill();
    env.start();
    unlock(&env);
    assert_eq!(granted(&env), expected);
    env.post("/vault/rotate", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(granted(&env), expected);
    assert_eq!(env.post("/vault/verify", &json!({})).expect(200)["credentials"], 2);
    env.ctl(["backup", "copy.db"]).expect(0);
    allow(&env, "later.service", &["A"]);
    assert!(env.stop().success());
    let passphrase = env.private_file("passphrase", PASSPHRASE);
    let arguments = ["restore-vault", "copy.db", "--passphrase-file", passphrase.to_str().unwrap()];
    env.ctl(arguments).expect(0);
    if env.listener().is_none() {
        env.start();
        unlock(&env);
    }
    if env.state() == "locked" {
        unlock(&env);
    }
    assert_eq!(granted(&env), expected);
    env.stop_listener();
    for name in ["web.service", "job@.service"] {
        let vault = fs::read(env.data_dir().join("vault.db")).unwrap();
        assert!(!vault.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is in clear");
    }
}

#[test]
fn grants_that_were_tampered_with_keep_the_vault_closed() {
    let mut env = with_secrets(&["A"]);
    allow(&env, "web.service", &["A"]);
    assert!(env.stop().success());
    let vault = env.data_dir().join("vault.db");
    let sound = fs::read(&vault).unwrap();
    for sql in [
        "DELETE FROM record WHERE kind = 4",
        "UPDATE record SET kind = 3 WHERE kind = 4",
        "UPDATE record SET version = 2 WHERE kind = 4",
        "UPDATE record SET id = zeroblob(16) WHERE kind = 4",
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE kind = 1) WHERE kind = 4",
        "INSERT INTO record SELECT kind, zeroblob(16), version, sealed FROM record WHERE kind = 4",
    ] {
        fs::write(&vault, &sound).unwrap();
        let database = rusqlite::Connection::open(&vault).unwrap();
        assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
        database.close().unwrap();
        env.start();
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE }))
            .expect_error(500, "vault_corrupt_error");
        env.stop();
    }
    fs::write(&vault, &sound).unwrap();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(granted(&env), json!([["web.service", ["A"]]]));
}
