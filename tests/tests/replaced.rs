//! The vault's file is taken away, replaced or cut while the daemon has it open: nothing more is answered as stored, what
//! is in memory can be saved, and an older copy is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::{Env, harness, programs};
use serde_json::json;

/// A copy that is made as `cp -p` makes it, beside the vault.
fn copy_of(vault: &Path) -> PathBuf {
    let copy = vault.with_extension("db.other");
    assert!(Command::new("cp").arg("-p").arg(vault).arg(&copy).status().unwrap().success());
    copy
}

fn replace(vault: &Path) {
    fs::rename(copy_of(vault), vault).unwrap();
}

fn remove(vault: &Path) {
    fs::remove_file(vault).unwrap();
}

fn cut(vault: &Path) {
    fs::OpenOptions::new().write(true).open(vault).unwrap().set_len(0).unwrap();
}

fn cut_half(vault: &Path) {
    let file = fs::OpenOptions::new().write(true).open(vault).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2).unwrap();
}

fn remove_log(vault: &Path) {
    fs::remove_file(vault.with_extension("db-wal")).unwrap();
}

fn replace_directory(vault: &Path) {
    let directory = vault.parent().unwrap();
    let aside = directory.with_extension("aside");
    fs::rename(directory, &aside).unwrap();
    assert!(Command::new("cp").arg("-rp").arg(&aside).arg(directory).status().unwrap().success());
}

/// An unlocked vault of one secret, with what it holds in its main file.
fn settled() -> (Env, serde_json::Value, PathBuf) {
    let env = Env::started(programs!());
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    env.post("/vault/init", &key).expect(201);
    env.store("FIRST", "first value");
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &key).expect(200);
    let vault = env.data_dir().join("vault.db");
    (env, key, vault)
}

#[test]
fn nothing_is_answered_as_stored_once_the_file_is_not_in_its_place() {
    for (way, what) in [
        (replace as fn(&Path), "replaced by a copy"),
        (remove, "removed"),
        (cut, "emptied"),
        (cut_half, "cut"),
        (remove_log, "its log removed"),
        (replace_directory, "its directory replaced by a copy"),
    ] {
        println!("{what}");
        let (mut env, _, vault) = settled();
        env.store("BEFORE", "before value");
        way(&vault);
        for _ in 0..2 {
            let new = json!({ "name": "AFTER", "value": "after value" });
            let refused = env.post("/user/secrets", &new).expect_error(500, "vault_corrupt_error");
            assert!(refused["detail"].as_str().unwrap().contains("backup"), "{what}: {refused}");
        }
        let reveal = json!({ "secrets": ["FIRST"], "purpose": "get" });
        env.post("/user/secrets/reveal", &reveal).expect_error(500, "vault_corrupt_error");
        env.post("/vault/verify", &json!({})).expect_error(500, "vault_corrupt_error");
        let names: Vec<String> = env.get("/user/secrets").expect(200)["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| secret["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["BEFORE", "FIRST"], "{what}");
        env.stop();
    }
}

#[test]
fn what_is_in_memory_can_be_saved_and_the_copy_restored() {
    for (way, what) in [(replace as fn(&Path), "replaced"), (remove, "removed")] {
        println!("{what}");
        let (mut env, key, vault) = settled();
        env.store("BEFORE", "before value");
        way(&vault);
        let backup = env.path("saved.db");
        env.ctl(["backup", backup.to_str().unwrap()]).run().assert_code(0);
        env.stop();
        let key_file = key["key_file"].as_str().unwrap();
        env.ctl(["restore-vault", backup.to_str().unwrap(), "--key-file", key_file]).run().assert_code(0);
        env.start();
        env.post("/vault/unlock", &key).expect(200);
        assert_eq!(env.value("BEFORE"), "before value", "{what}");
    }
}

#[test]
fn an_older_copy_in_its_place_is_noticed_at_the_next_unlock() {
    let (env, key, vault) = settled();
    let copy = copy_of(&vault);
    env.store("BEFORE", "before value");
    fs::rename(&copy, &vault).unwrap();
    remove_log(&vault);
    // Before the daemon has had a second to renew its guard.
    env.post("/user/secrets", &json!({ "name": "AFTER", "value": "x" }))
        .expect_error(500, "vault_corrupt_error");
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &key).expect(200);
    let status = env.get("/vault").expect(200);
    assert_eq!(status["rolled_back"], true, "{status}");
}

#[test]
fn a_copy_in_its_place_gets_what_is_in_the_log() {
    let (env, key, vault) = settled();
    env.store("BEFORE", "before value");
    replace(&vault);
    env.post("/user/secrets", &json!({ "name": "AFTER", "value": "x" }))
        .expect_error(500, "vault_corrupt_error");
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &key).expect(200);
    assert_eq!(env.value("BEFORE"), "before value");
}

#[test]
fn a_mount_over_the_file_is_noticed() {
    let (env, _, vault) = settled();
    let copy = copy_of(&vault);
    let mount = |arguments: &[&Path]| {
        Command::new(if arguments.len() == 2 { "mount" } else { "umount" })
            .args((arguments.len() == 2).then_some("--bind"))
            .args(arguments)
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount(&[&copy, &vault]) {
        return harness::skip("a mount over the vault", "nothing can be mounted here");
    }
    let answer = env.post("/user/secrets", &json!({ "name": "AFTER", "value": "x" }));
    assert!(mount(&[&vault]));
    answer.expect_error(500, "vault_corrupt_error");
}
