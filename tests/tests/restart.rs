//! What was answered survives: a kill, a restart, and the loss of the passphrase.

use std::time::{Duration, Instant};
use std::{fs, thread};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

fn unlock(env: &Env, with: &Value) -> secretsd_tests::Answer {
    env.post("/vault/unlock", with)
}

#[test]
fn secrets_survive_a_kill() {
    let mut env = Env::unlocked(programs!());
    let kept = env.store("KEPT", "kept value\n");
    let id = env.store("CHANGED", "before")["id"].as_str().unwrap().to_owned();
    env.request("PUT", &format!("/user/secrets/{id}")).json(&json!({ "value": "after" })).send().expect(200);
    let gone = env.store("GONE", "x")["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{gone}")).send().status, 204);
    let before = env.get("/user/secrets").expect(200);
    env.kill();

    env.start();
    assert_eq!(env.state(), "locked");
    env.get("/user/secrets").expect_error(403, "vault_locked_error");
    unlock(&env, &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(env.get("/user/secrets").expect(200), before);
    assert_eq!(env.get(&format!("/user/secrets/{}", kept["id"].as_str().unwrap())).expect(200), kept);
    assert_eq!((env.value("KEPT").as_str(), env.value("CHANGED").as_str()), ("kept value\n", "after"));
}

#[test]
fn an_acknowledged_write_survives_a_kill_at_once() {
    let mut env = Env::unlocked(programs!());
    for round in 0..10 {
        env.store(&format!("K{round}"), &format!("value {round}"));
        env.kill();
        env.start();
        unlock(&env, &json!({ "passphrase": PASSPHRASE })).expect(200);
        for earlier in 0..=round {
            assert_eq!(env.value(&format!("K{earlier}")), format!("value {earlier}"));
        }
    }
}

#[test]
fn the_owner_token_is_new_at_each_start() {
    let mut env = Env::started(programs!());
    let first = env.token();
    assert!(first.len() >= 43, "256 bits do not fit into {} characters", first.len());
    env.stop();
    env.start();
    assert_ne!(env.token(), first);
    env.anonymous("GET", "/vault").bearer(&first).send().expect_error(401, "authentication_error");
}

#[test]
fn only_the_right_passphrase_opens() {
    let mut env = Env::unlocked(programs!());
    env.store("A", "x");
    env.stop();
    env.start();
    for wrong in ["wrong", &PASSPHRASE.to_uppercase(), &format!("{PASSPHRASE} "), &PASSPHRASE[1..]] {
        unlock(&env, &json!({ "passphrase": wrong })).expect_error(403, "wrong_key_error");
        assert_eq!(env.state(), "locked");
    }
    unlock(&env, &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(env.value("A"), "x");
}

#[test]
fn a_key_file_opens() {
    let mut env = Env::started(programs!());
    let key = env.private_file("key", [0x5a; 32]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    env.store("A", "x");
    env.stop();
    env.start();
    let other = env.private_file("other", [0x5b; 32]);
    unlock(&env, &json!({ "key_file": other })).expect_error(403, "wrong_key_error");
    unlock(&env, &json!({ "passphrase": PASSPHRASE })).expect_error(403, "wrong_key_error");
    let short = env.private_file("short", [0x5a; 31]);
    unlock(&env, &json!({ "key_file": short })).expect_error(422, "validation_error");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    unlock(&env, &json!({ "key_file": key })).expect_error(422, "validation_error");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    unlock(&env, &json!({ "key_file": key })).expect(200);
    assert_eq!(env.value("A"), "x");
}

#[test]
fn the_recovery_key_opens_however_it_is_typed() {
    let mut env = Env::started(programs!());
    let recovery = env.init();
    env.store("A", "x");
    env.stop();
    env.start();
    for typed in
        [recovery.clone(), recovery.to_lowercase(), recovery.replace('-', " "), recovery.replace('-', "")]
    {
        unlock(&env, &json!({ "recovery_key": typed })).expect(200);
        assert_eq!(env.value("A"), "x");
        env.request("POST", "/vault/lock").send().expect(200);
    }
    // A typing error is told from a wrong key by the checksum.
    let first = if recovery.starts_with('7') { "8" } else { "7" };
    unlock(&env, &json!({ "recovery_key": format!("{first}{}", &recovery[1..]) }))
        .expect_error(422, "validation_error");
}

#[test]
fn a_stop_is_clean_and_locks() {
    let mut env = Env::unlocked(programs!());
    env.store("A", "x");
    assert!(env.stop().success());
    let wal = env.data_dir().join("vault.db-wal");
    assert!(fs::metadata(&wal).map_or(0, |metadata| metadata.len()) == 0, "old bytes stay in the log");
    env.start();
    assert_eq!(env.state(), "locked");
}

#[test]
fn the_log_is_emptied_within_a_second_and_laid_out_again() {
    let mut env = Env::unlocked(programs!());
    let log = env.data_dir().join("vault.db-wal");
    for name in ["A", "B"] {
        env.store(name, "x");
        let end = Instant::now() + DEADLINE;
        loop {
            let log = fs::read(&log).unwrap();
            if log.len() >= 64 * 1024 && log.iter().all(|byte| *byte == 0) {
                break;
            }
            assert!(Instant::now() < end, "the log keeps what is in the vault already");
            thread::sleep(Duration::from_millis(20));
        }
    }
    // Written over zeros, a commit is as durable as at the end of the log.
    env.store("C", "y");
    env.kill();
    assert!(fs::read(&log).unwrap().iter().any(|byte| *byte != 0));
    env.start();
    unlock(&env, &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!([env.value("A"), env.value("B"), env.value("C")], ["x", "x", "y"]);
}

#[test]
fn a_vault_that_cannot_be_read_is_never_replaced() {
    let mut env = Env::unlocked(programs!());
    env.store("A", "x");
    env.stop();
    let path = env.data_dir().join("vault.db");
    let mut damaged = fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    damaged.truncate(middle + 512);
    fs::write(&path, &damaged).unwrap();
    env.start();
    let answer = unlock(&env, &json!({ "passphrase": PASSPHRASE }));
    assert!(answer.status >= 400, "{}", answer.status);
    let init = env.post("/vault/init", &json!({ "passphrase": "another" }));
    assert!(init.status >= 400, "{}", init.status);
    assert_ne!(env.state(), "unlocked");
    env.stop();
    assert_eq!(fs::read(&path).unwrap(), damaged, "the damaged vault was changed");
}

/// Keyboards and systems send a letter with an accent in one piece or in two.
#[test]
fn a_passphrase_opens_whichever_way_its_accents_come() {
    let env = Env::started(programs!());
    let (composed, decomposed) = ("cl\u{e9} du c\u{f4}ffre", "cle\u{301} du co\u{302}ffre");
    env.post("/vault/init", &json!({ "passphrase": decomposed })).expect(201);
    for passphrase in [composed, decomposed] {
        env.post("/vault/lock", &json!({})).expect(200);
        unlock(&env, &json!({ "passphrase": passphrase })).expect(200);
    }
    env.post("/vault/rotate", &json!({ "passphrase": composed })).expect(200);
    env.post("/vault/lock", &json!({})).expect(200);
    unlock(&env, &json!({ "passphrase": decomposed })).expect(200);
    env.post("/vault/lock", &json!({})).expect(200);
    unlock(&env, &json!({ "passphrase": "cle du coffre" })).expect_error(403, "wrong_key_error");
}
