//! Vaults of every released format, which must stay readable for ever. A format that comes gets a directory of its own
//! in `tests/fixtures`, and this test runs over it too.

use std::fs;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// As `tests/fixtures/format-1/README.md` has it.
const RECOVERY_KEY: &str = "M0P6-S66A-AVSW-FN5K-2Q2Z-ZFV7-9WNB-34JB-HJ8H-K1SX-W8QY-STV3-JZXY-V2HM";

/// A daemon on a copy of the vault, and the path of its key file.
fn started() -> (Env, String) {
    let fixture = repository().join("tests/fixtures/format-1");
    let read = |name: &str| fs::read(fixture.join(name)).unwrap();
    let mut env = Env::new(programs!());
    for directory in ["data/secretsd", "state/secretsd"] {
        env.private_dir(directory);
    }
    env.private_file("data/secretsd/vault.db", read("vault.db"));
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
