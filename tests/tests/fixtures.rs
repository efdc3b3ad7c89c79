//! Vaults of every released format, which must always stay readable. A format that comes gets a directory of its own
//! in `tests/fixtures`, and this test runs over it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::Request;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// As `tests/fixtures/format-1/README.md` has it.
const RECOVERY_KEY: &str = "M0P6-S66A-AVSW-FN5K-2Q2Z-ZFV7-9WNB-34JB-HJ8H-K1SX-W8QY-STV3-JZXY-V2HM";

/// A daemon on a copy of the vault, and the path of its key file.
fn started() -> (Env, String) {
    started_on("format-1/vault.db")
}

/// The same on another vault with its keys.
fn started_on(vault: &str) -> (Env, String) {
    let fixtures = repository().join("tests/fixtures");
    let fixture = fixtures.join("format-1");
    let read = |name: &str| fs::read(fixture.join(name)).unwrap();
    let mut env = Env::new(programs!());
    for directory in ["data/secretsd", "state/secretsd"] {
        env.private_dir(directory);
    }
    env.private_file("data/secretsd/vault.db", fs::read(fixtures.join(vault)).unwrap());
    env.private_file("state/secretsd/anchor", read("anchor"));
    let key = env.private_file("key", read("key"));
    env.start();
    (env, key.to_str().unwrap().to_owned())
}

#[test]
fn a_vault_of_format_1_opens_with_each_of_its_keys_and_has_all_its_content() {
    let (env, key) = started();
    assert_eq!(env.state(), "locked");
    for key in [
        json!({ "key_file": key }),
        json!({ "recovery_key": RECOVERY_KEY }),
        json!({ "passphrase": PASSPHRASE }),
    ] {
        env.post("/vault/unlock", &key).expect(200);
        check_content(&env);
        env.request("POST", "/vault/lock").send().expect(200);
    }
    assert!(!env.log().contains("rollback"), "the anchor is not the vault's");
}

#[test]
fn a_vault_of_format_1_can_be_written_and_rotated() {
    let (mut env, key) = started();
    env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
    env.store("NEW", "new");
    env.post("/vault/rotate", &json!({ "key_file": key })).expect(200);
    env.stop();
    env.start();
    env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
    assert_eq!(env.value("NEW"), "new");
    let id = env.get("/user/secrets?name=NEW").expect(200)["secrets"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{id}")).send().status, 204);
    check_content(&env);
}

#[test]
fn a_vault_with_additions_of_a_newer_program_is_used_like_any_other() {
    let (mut env, key) = started_on("future/vault.db");
    for _ in 0..2 {
        env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
        check_content(&env);
        env.stop();
        env.start();
    }
    env.ctl(["unlock", "--key-file", &key]).expect(0);
    assert!(env.ctl(["audit"]).expect(0).contains("other"), "the log does not show what is new");
    env.ctl(["audit", "--verify"]).expect(0);
    let backup = env.path("backup").to_str().unwrap().to_owned();
    env.ctl(["backup", &backup]).expect(0);
    env.store("NEW", "new");
    env.stop();
    env.ctl(["restore-vault", &backup, "--key-file", &key]).expect(0);
    check_content(&env);
    env.stop_listener();
}

#[test]
fn a_vault_that_requires_what_is_not_known_is_refused_and_left_as_it_is() {
    let (mut env, key) = started_on("future/requires.db");
    let before = files(&env);
    let newer = "The vault was written by a newer secretsd; upgrade this one";
    for key in [json!({ "key_file": key }), json!({ "recovery_key": RECOVERY_KEY })] {
        let refused = env.post("/vault/unlock", &key).expect_error(500, "storage_error");
        assert_eq!(refused["detail"], newer);
    }
    let output = env.ctl(["unlock", "--key-file", &key]).run();
    output.assert_code(9);
    assert!(output.err().contains("newer secretsd"), "{}", output.err());
    assert_eq!(env.state(), "locked");
    env.stop();
    assert_eq!(changed(&before, &files(&env)), [""; 0]);

    // It does not come in place of another either.
    let (mut env, key) = started();
    env.stop();
    let before = files(&env);
    let requires = repository().join("tests/fixtures/future/requires.db");
    let output = env.ctl(["restore-vault", requires.to_str().unwrap(), "--key-file", &key]).run();
    output.assert_code(9);
    assert!(output.err().contains("newer secretsd") && output.err().contains("back in place"));
    // Who had the lock last is written there.
    let mut changed = changed(&before, &files(&env));
    changed.retain(|path| !path.ends_with("vault.lock"));
    assert_eq!(changed, [""; 0]);
}

/// As `tests/fixtures/guarded/README.md` has them: what opens the vault, and the tokens that its rules are about.
const GUARDED_RECOVERY_KEY: &str = "T05B-BETV-DW6F-S549-DD8M-1RED-KAP2-07W1-2G6E-190F-TH9N-5JYV-9V25-258H";
const CI: &str = "ssd_cwQmhBL6cbUx8H0KUnTmjJ1mLvxdiDcoBCIDhAxCKpw2YsG54";
const BLOCKED: &str = "ssd_TAVGRLGrx2PIo8rqp5yNhbWZUuDDT9I1jFA5AxTl8hW27PYfD";

#[test]
fn a_guard_and_the_rules_of_an_older_vault_hold() {
    let fixture = repository().join("tests/fixtures/guarded");
    let mut env = Env::new(programs!());
    for (directory, file) in [("data/secretsd", "vault.db"), ("state/secretsd", "anchor")] {
        env.private_dir(directory);
        env.private_file(&format!("{directory}/{file}"), fs::read(fixture.join(file)).unwrap());
    }
    env.start();
    let keys = [json!({ "recovery_key": GUARDED_RECOVERY_KEY }), json!({ "passphrase": PASSPHRASE })];
    // The second time it is as this program has written it.
    for key in &keys {
        env.post("/vault/unlock", key).expect(200);
        check_guard(&env, key);
        env.stop();
        env.start();
    }
    env.post("/vault/unlock", &keys[1]).expect(200);
    env.post("/vault/rotate", &keys[1]).expect(200);
    check_guard(&env, &keys[1]);
    env.ctl(["audit", "--verify"]).expect(0);
    assert!(!env.log().contains("rollback"), "the anchor is not the vault's");
}

#[track_caller]
fn check_guard(env: &Env, proof: &Value) {
    let list = env.get("/user/secrets?view=full").expect(200);
    let told = |at: usize| (list["secrets"][at]["name"].clone(), list["secrets"][at].get("guarded").cloned());
    assert_eq!(told(0), (json!("GUARDED"), Some(json!(true))));
    assert_eq!(told(1), (json!("PLAIN"), None));
    let id = list["secrets"][0]["id"].as_str().unwrap();
    let rules = env.get("/approvals/rules").expect(200);
    let rules: Vec<Value> = rules["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| json!([rule["effect"], rule["secret"], rule["rights"], rule["client"]]))
        .collect();
    let expected = [
        json!(["allow", "GUARDED", ["reveal"], { "token": "ci" }]),
        json!(["deny", "GUARDED", ["use", "reveal", "write"], { "token": "blocked" }]),
        json!(["allow", "GUARDED", ["use", "reveal"], { "token": "owner", "command": "/usr/bin/curl", "directory": "/src/shop" }]),
        json!(["allow", "GUARDED", ["write"], { "token": "owner", "unit": "deploy.service" }]),
    ];
    assert_eq!(rules.len(), expected.len(), "{rules:?}");
    for rule in expected {
        assert!(rules.contains(&rule), "{rule} is not among {rules:?}");
    }
    let body = json!({ "secrets": ["GUARDED"], "purpose": "test" });
    let reveal = |token: &str| {
        Request::new(&env.socket(), "POST", "/api/v1/user/secrets/reveal").bearer(token).json(&body).send()
    };
    assert_eq!(reveal(CI).expect(200)["secrets"][0]["value"], "guarded-value-2");
    reveal(BLOCKED).expect_error(403, "approval_denied_error");
    reveal(&env.token()).expect_error(403, "approval_required_error");
    assert_eq!(env.value("PLAIN"), "plain-value");
    // The doors beside it are shut, and a person opens them.
    env.post("/vault/keys", &json!({ "recovery": true })).expect_error(403, "wrong_key_error");
    let off = |proof: Option<&Value>| {
        let body = match proof {
            Some(proof) => json!({ "guarded": false, "proof": proof }),
            None => json!({ "guarded": false }),
        };
        env.request("PUT", &format!("/user/secrets/{id}/guard")).json(&body).send()
    };
    off(None).expect_error(403, "wrong_key_error");
    off(Some(proof)).expect(200);
    assert_eq!(env.value("GUARDED"), "guarded-value-2");
    env.request("PUT", &format!("/user/secrets/{id}/guard"))
        .json(&json!({ "guarded": true }))
        .send()
        .expect(200);
}

/// Every file of the vault; a daemon that the client has started logs beside the anchor.
fn files(env: &Env) -> BTreeMap<String, Vec<u8>> {
    let directories = [env.data_dir(), env.state_dir()];
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_none_or(|extension| extension != "log")).map(read).collect()
}

/// Which of them are not what they were.
fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let all = before.keys().chain(after.keys());
    all.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

#[track_caller]
fn check_content(env: &Env) {
    let large = "0123456789abcdef".repeat(128);
    let expected = [
        ("LARGE", large.as_str(), 1, json!([1])),
        ("MULTILINE", "first line\nzweite Zeile: ä€🔑\n", 1, json!([1])),
        ("ONE_BYTE", "x", 1, json!([1])),
        ("OPENAI_API_KEY", "sk-proj-CbCdEfGhIjKlMnOpQrStUvWxYz012789", 4, json!([4, 2, 1])),
    ];
    let list = env.get("/user/secrets?view=full").expect(200);
    let secrets = list["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), expected.len());
    for (secret, (name, value, version, versions)) in secrets.iter().zip(expected) {
        assert_eq!((&secret["name"], &secret["version"]), (&json!(name), &json!(version)));
        assert_eq!(env.value(name), value, "{name}");
        let id = secret["id"].as_str().unwrap();
        let kept = env.get(&format!("/user/secrets/{id}/versions")).expect(200);
        let kept: Vec<&Value> =
            kept["versions"].as_array().unwrap().iter().map(|kept| &kept["version"]).collect();
        assert_eq!(json!(kept), versions, "{name}");
    }
    let openai = &secrets[3];
    assert_eq!(openai["provider"], "openai");
    assert_eq!(openai["note"], "für „prod“");
    assert_eq!(openai["expires_at"], "2040-01-01T00:00:00Z");
    let verified = env.post("/vault/verify", &json!({})).expect(200);
    assert_eq!(verified["secrets"], 4);
}

/// As `tests/fixtures/items/README.md` has it.
#[test]
fn a_vault_with_items_has_them_all_and_goes_on() {
    let (mut env, key) = started_on("items/vault.db");
    for _ in 0..2 {
        env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
        check_content(&env);
        let search = json!({ "attributes": { "service": "example.com" } });
        let found = env.post("/items/search", &search).expect(200);
        let item = &found["items"][0];
        assert_eq!(
            (&found["total"], &item["label"], &item["version"]),
            (&json!(1), &json!("Password for me at example.com"), &json!(2))
        );
        assert_eq!(item["attributes"], json!({ "service": "example.com", "username": "me" }));
        let path = format!("/items/{}", item["id"].as_str().unwrap());
        let value = env.request("POST", &format!("{path}/reveal")).send().expect(200);
        assert_eq!(
            (&value["content_type"], &value["value_base64"]),
            (&json!("application/octet-stream"), &json!("AP8Kc2Vjb25k"))
        );
        let versions = env.get(&format!("{path}/versions")).expect(200);
        assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
        assert_eq!(env.get("/items/collection").expect(200)["label"], "Login of the fixture");
        env.post("/vault/verify", &json!({})).expect(200);
        env.post("/vault/rotate", &json!({ "key_file": key })).expect(200);
        env.stop();
        env.start();
    }
}
