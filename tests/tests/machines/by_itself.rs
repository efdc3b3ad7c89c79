//! What machines exchange without being told to: when something changed here, when files have come, and after an unlock.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use secretsd_tests::Env;
use secretsd_tests::harness::{no_strace, skip};
use secretsd_tests::process::until;
use serde_json::{Value, json};

use super::{has, id, sync, two, unlock, update};

#[test]
fn a_change_on_one_machine_comes_to_the_other_by_itself() {
    let (a, b, _store) = two();
    a.store("KEY", "first");
    until("the new secret", || has(&b, "KEY"));
    assert_eq!(b.value("KEY"), "first");
    update(&b, "KEY", "second");
    until("the other value", || a.value("KEY") == "second");
    // A purge as well, and its objects leave the directory without a word.
    let path = format!("/user/secrets/{}?purge=true", id(&a, "KEY"));
    assert_eq!(a.request("DELETE", &path).send().status, 204);
    until("the purge", || !has(&b, "KEY"));
    // What came while the vault was locked comes at the unlock.
    b.post("/vault/lock", &Value::Null).expect(200);
    a.store("LATER", "third");
    sync(&a);
    unlock(&b);
    until("what came meanwhile", || has(&b, "LATER"));
    b.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn a_burst_of_files_is_one_merge() {
    let (a, b, store) = two();
    b.post("/vault/lock", &Value::Null).expect(200);
    let before: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    a.store("KEY", "0");
    for number in 1..=12 {
        update(&a, "KEY", &number.to_string());
        sync(&a);
    }
    // They come all at once, as from a program that was away.
    a.post("/vault/lock", &Value::Null).expect(200);
    let waiting = a.private_dir("waiting");
    let new = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name());
    let new: Vec<_> = new.filter(|name| !before.contains(name)).collect();
    assert!(new.len() >= 12, "{new:?}");
    new.iter().for_each(|name| fs::rename(store.join(name), waiting.join(name)).unwrap());
    unlock(&b);
    until("the directory is watched", || is_watched(&b));
    sync(&b);
    new.iter().for_each(|name| fs::rename(waiting.join(name), store.join(name)).unwrap());
    until("the last value is there", || has(&b, "KEY") && b.value("KEY") == "12");
    let audit = b.get("/audit?limit=1000").expect(200);
    let names_it =
        |entry: &Value| entry["names"].as_array().is_some_and(|names| names.contains(&json!("KEY")));
    let entries = audit["entries"].as_array().unwrap().iter();
    let merges = entries.filter(|entry| entry["action"] == "merge" && names_it(entry)).count();
    // Two if it looked for another reason while they came.
    assert!((1..=2).contains(&merges), "{merges}");
}

fn is_watched(env: &Env) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", env.pid())).unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .any(|name| name.trim() == "exchange")
}

/// The kernel tells when files come: until then nobody looks.
#[test]
fn nobody_looks_into_the_directory_while_nothing_comes() {
    if let Some(reason) = no_strace() {
        return skip("idle machines", reason);
    }
    let (a, b, store) = two();
    a.store("KEY", "value");
    until("the secret", || has(&b, "KEY"));
    sync(&b);
    sync(&a);
    let trace = a.path("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-tt", "-p", &b.pid().to_string(), "-o"])
        .arg(&trace)
        .spawn()
        .unwrap();
    // It is traced once a request shows; then nothing must come for as long as a burst of files is waited for, and longer.
    let answers = || {
        b.get("/vault").expect(200);
        fs::read_to_string(&trace)
            .unwrap_or_default()
            .lines()
            .filter(|line| line.contains("HTTP/1.1"))
            .count()
    };
    until("it is traced", || answers() > 0);
    let end = Instant::now() + Duration::from_secs(3);
    until("time has passed", || answers() > 0 && Instant::now() > end);
    strace.kill().unwrap();
    strace.wait().unwrap();
    let trace = fs::read_to_string(&trace).unwrap();
    let directory = store.to_str().unwrap();
    let looks: Vec<_> = trace
        .lines()
        .filter(|line| {
            line.contains(directory)
                || line.contains("inotify") && !line.contains("<unfinished") && !line.contains("SIG")
        })
        .collect();
    assert!(looks.is_empty(), "{looks:?}");
}

#[test]
fn a_merge_does_not_keep_the_vault_open() {
    let (a, mut b, _store) = two();
    b.stop();
    b.settings("[auto_lock]\nidle_seconds = 3\n");
    b.start();
    unlock(&b);
    let start = Instant::now();
    let mut number = 0;
    // As long as the other machine changes something all the time.
    while b.state() == "unlocked" {
        assert!(start.elapsed().as_secs() < 60, "the vault stays open");
        a.store(&format!("KEY{number}"), "value");
        sync(&a);
        number += 1;
    }
    unlock(&b);
    until("what came last", || has(&b, &format!("KEY{}", number - 1)));
}
