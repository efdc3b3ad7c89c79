//! What goes wrong with a directory, a disk, a clock or a machine, and that nothing is lost by it.

use std::fs;
use std::path::{Path, PathBuf};

use secretsd_tests::process::until;
use secretsd_tests::random::Random;
use secretsd_tests::{Env, canary, programs};
use serde_json::{Value, json};

use super::moved::{self, Ahead};
use super::{apart, copy, has, id, join, sync, sync_all, two, unlock, update};

pub(super) fn names(store: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What came into the directory while something was done.
pub(super) fn new_in<T>(store: &Path, work: impl FnOnce() -> T) -> Vec<PathBuf> {
    let before = names(store);
    work();
    names(store).into_iter().filter(|name| !before.contains(name)).map(|name| store.join(name)).collect()
}

#[test]
fn a_file_that_is_half_there_is_taken_when_it_is_whole() {
    let (a, b, store) = two();
    b.post("/vault/lock", &Value::Null).expect(200);
    let new = new_in(&store, || {
        a.store("KEY", "value");
        sync(&a);
    });
    let [object] = new.as_slice() else { panic!("{new:?}") };
    let whole = fs::read(object).unwrap();
    fs::write(object, &whole[..whole.len() / 2]).unwrap();
    unlock(&b);
    assert_eq!(sync(&b)["fleet"]["refused"], 1);
    assert!(!has(&b, "KEY"));
    fs::write(object, &whole).unwrap();
    until("the whole file is read", || has(&b, "KEY"));
    assert_eq!(sync(&b)["fleet"]["refused"], 0);
}

#[test]
fn what_is_shown_late_waits_for_what_came_before_it() {
    let (a, b, store) = two();
    b.post("/vault/lock", &Value::Null).expect(200);
    let first = new_in(&store, || {
        a.store("KEY", "first");
        sync(&a);
    });
    update(&a, "KEY", "second");
    a.store("OTHER", "other");
    sync(&a);
    let hidden = a.private_dir("hidden");
    let away = |path: &PathBuf| hidden.join(path.file_name().unwrap());
    first.iter().for_each(|path| fs::rename(path, away(path)).unwrap());
    // The one whose object it is must not put it there again meanwhile.
    a.post("/vault/lock", &Value::Null).expect(200);
    unlock(&b);
    let status = sync(&b);
    assert!(status["fleet"]["waiting"].as_u64().unwrap() >= 1, "{status}");
    assert!(!has(&b, "KEY") && !has(&b, "OTHER"));
    first.iter().for_each(|path| fs::rename(away(path), path).unwrap());
    until("both are there", || has(&b, "KEY") && has(&b, "OTHER"));
    assert_eq!(b.value("KEY"), "second");
    assert_eq!(sync(&b)["fleet"]["waiting"], 0);
}

/// A copy of a whole home, as it is made of a virtual machine, while both go on.
#[test]
fn two_copies_of_one_machine_both_count() {
    let (mut a, b, store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    a.stop();
    let mut clone = Env::new(programs!());
    for (from, to) in [(a.data_dir(), clone.data_dir()), (a.state_dir(), clone.state_dir())] {
        fs::create_dir_all(&to).unwrap();
        copy(&from, &to);
    }
    clone.start();
    a.start();
    unlock(&a);
    unlock(&clone);
    // The same numbers of the same log, twice.
    let new = new_in(&store, || {
        apart(&store, || {
            a.store("OF_A", "a");
            clone.store("OF_CLONE", "clone");
            update(&a, "KEY", "from a");
            update(&clone, "KEY", "from the clone");
        });
        sync(&a);
        sync(&clone);
    });
    let log = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap()[..29].to_owned();
    let mut numbers: Vec<_> = new.iter().map(log).filter(|name| name.starts_with('l')).collect();
    let all = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert!(numbers.len() < all, "{new:?}");
    sync_all(&[&a, &clone, &b]);
    sync_all(&[&a, &clone, &b]);
    let in_use = b.value("KEY");
    for env in [&a, &b, &clone] {
        assert_eq!((env.value("OF_A"), env.value("OF_CLONE")), ("a".into(), "clone".into()));
        assert_eq!(env.value("KEY"), in_use);
        assert_eq!(env.get("/fleet/conflicts").expect(200)["conflicts"].as_array().unwrap().len(), 1);
    }
    // From then on each has a log of its own.
    let later = |env: &Env, name: &str| {
        let new = new_in(&store, || {
            env.store(name, "later");
            sync(env);
        });
        new.iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap()[2..18].to_owned())
            .collect::<Vec<_>>()
    };
    let (of_a, of_clone) = (later(&a, "LATER_A"), later(&clone, "LATER_CLONE"));
    assert!(
        !of_a.is_empty() && of_a.iter().all(|writer| !of_clone.contains(writer)),
        "{of_a:?} {of_clone:?}"
    );
    sync_all(&[&a, &clone, &b]);
    assert!(has(&b, "LATER_A") && has(&b, "LATER_CLONE") && has(&a, "LATER_CLONE") && has(&clone, "LATER_A"));
}

#[test]
fn a_vault_file_alone_that_was_put_back_is_noticed_and_loses_nothing() {
    let (mut a, b, _store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    a.stop();
    let older = fs::read(a.data_dir().join("vault.db")).unwrap();
    a.start();
    unlock(&a);
    update(&a, "KEY", "second");
    a.store("LATER", "later");
    sync_all(&[&a, &b]);
    a.stop();
    fs::write(a.data_dir().join("vault.db"), older).unwrap();
    a.start();
    unlock(&a);
    // The guard outside the vault knows better: nothing is written until a person has said so.
    assert_eq!(a.post("/fleet/merge", &Value::Null).status, 500);
    a.post("/vault/verify", &json!({ "accept_restore": true })).expect(200);
    a.store("NEW", "new");
    sync_all(&[&a, &b]);
    for env in [&a, &b] {
        assert_eq!(
            (env.value("KEY"), env.value("LATER"), env.value("NEW")),
            ("second".into(), "later".into(), "new".into())
        );
    }
    a.store("MORE", "more");
    sync_all(&[&a, &b]);
    assert!(has(&b, "MORE"));
}

#[test]
fn a_vault_from_a_backup_gets_what_it_lacks_and_a_rotation_keeps_the_machines() {
    let (mut a, b, _store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    let backup = a.path("backup").to_str().unwrap().to_owned();
    a.ctl(["backup", &backup]).expect(0);
    update(&a, "KEY", "second");
    b.store("OF_B", "b");
    sync_all(&[&a, &b]);
    let gone = format!("/user/secrets/{}?purge=true", {
        a.store("GONE", "gone");
        id(&a, "GONE")
    });
    sync_all(&[&a, &b]);
    assert_eq!(a.request("DELETE", &gone).send().status, 204);
    sync_all(&[&a, &b]);
    a.stop();
    let passphrase = a.private_file("passphrase", secretsd_tests::env::PASSPHRASE);
    a.ctl(["restore-vault", &backup, "--passphrase-file", passphrase.to_str().unwrap()]).expect(0);
    if a.listener().is_some() {
        a.stop_listener();
    }
    a.start();
    unlock(&a);
    sync_all(&[&a, &b]);
    assert_eq!((a.value("KEY"), a.value("OF_B")), ("second".into(), "b".into()));
    assert!(!has(&a, "GONE") && !has(&b, "GONE"));
    // Everything is sealed again under another key, the machine's own among it.
    a.post("/vault/rotate", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
    a.store("AFTER", "after");
    sync_all(&[&a, &b]);
    assert!(has(&b, "AFTER"));
    a.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn a_machine_that_was_away_past_a_snapshot_comes_back() {
    let (a, b, store) = two();
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    for name in ["KEPT", "GONE", "EDITED"] {
        a.store(name, "first");
    }
    sync_all(&[&a, &b, &c]);
    c.post("/vault/lock", &Value::Null).expect(200);
    update(&a, "KEPT", "second");
    sync_all(&[&a, &b]);
    let purged = format!("/user/secrets/{}?purge=true", id(&b, "GONE"));
    assert_eq!(b.request("DELETE", &purged).send().status, 204);
    sync_all(&[&b, &a]);
    // What the machine that is away has not read is not there any more, but for the snapshot.
    assert!(names(&store).iter().any(|name| name.starts_with("s-")));
    apart(&store, || {
        unlock(&c);
        update(&c, "EDITED", "by devbox");
    });
    sync_all(&[&c, &a, &b]);
    for env in [&a, &b, &c] {
        assert_eq!((env.value("KEPT"), env.value("EDITED")), ("second".into(), "by devbox".into()));
        assert!(!has(env, "GONE"));
    }
}

/// Another machine, which had not heard of the purge, has put it there again.
#[test]
fn a_snapshot_of_before_a_purge_leaves_the_directory() {
    let (a, b, store) = two();
    a.store("GONE", "canary-gone");
    a.store("KEPT", "value");
    sync_all(&[&a, &b]);
    b.post("/vault/lock", &Value::Null).expect(200);
    let purged = format!("/user/secrets/{}?purge=true", id(&a, "GONE"));
    let of_a = new_in(&store, || {
        assert_eq!(a.request("DELETE", &purged).send().status, 204);
        sync(&a);
    });
    a.post("/vault/lock", &Value::Null).expect(200);
    let hidden = a.private_dir("hidden");
    let away = |path: &PathBuf| hidden.join(path.file_name().unwrap());
    of_a.iter().filter(|path| path.exists()).for_each(|path| fs::rename(path, away(path)).unwrap());
    // Its objects are gone, and nothing says why: it writes all that it has.
    let of_b = new_in(&store, || {
        unlock(&b);
        sync(&b);
    });
    let is_snapshot = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("s-");
    let snapshots: Vec<_> = of_b.iter().filter(is_snapshot).collect();
    assert!(!snapshots.is_empty() && has(&b, "GONE"), "{of_b:?}");
    of_a.iter().filter(|path| away(path).exists()).for_each(|path| fs::rename(away(path), path).unwrap());
    unlock(&a);
    sync_all(&[&a, &b]);
    sync_all(&[&a, &b]);
    assert!(!has(&a, "GONE") && !has(&b, "GONE") && has(&b, "KEPT"));
    assert!(snapshots.iter().all(|path| !path.exists()), "{snapshots:?}");
}

#[test]
fn the_directory_of_another_fleet_is_not_touched() {
    let (a, _b, store) = two();
    a.store("KEY", "value");
    sync(&a);
    let (c, _d, other) = two();
    c.store("THEIRS", "value");
    sync(&c);
    // The path leads to another fleet's from now on, as after a wrong mount.
    fs::rename(&store, store.with_extension("own")).unwrap();
    std::os::unix::fs::symlink(&other, &store).unwrap();
    let before = names(&other);
    a.store("NEW", "value");
    a.post("/fleet/merge", &Value::Null).expect_error(409, "conflict_error");
    a.ctl(["sync"]).expect(6);
    assert_eq!(names(&other), before);
    assert!(!has(&a, "THEIRS"));
    fs::remove_file(&store).unwrap();
    fs::rename(store.with_extension("own"), &store).unwrap();
    sync(&a);
}

#[test]
fn a_row_of_the_fleet_that_was_changed_is_damage() {
    let (mut a, _b, _store) = two();
    a.store("KEY", "value");
    sync(&a);
    a.stop();
    let vault = a.data_dir().join("vault.db");
    let whole = fs::read(&vault).unwrap();
    for kind in [16, 18] {
        fs::write(&vault, &whole).unwrap();
        let database = rusqlite::Connection::open(&vault).unwrap();
        let changed = database
            .execute("UPDATE record SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB) WHERE kind = ?1", [kind])
            .unwrap();
        assert!(changed >= 1, "no row of kind {kind}");
        database.close().unwrap();
        a.start();
        let unlock = a.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE }));
        unlock.expect_error(500, "vault_corrupt_error");
        a.stop();
    }
}

#[test]
fn a_clock_that_is_years_off_loses_nothing_and_empties_no_trash() {
    let Some(mut a) = moved::env("machines with a wrong clock") else { return };
    moved::start(&mut a);
    a.init();
    let store = a.private_dir("store");
    a.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    let b = Env::unlocked(programs!());
    join(&a, &b, "desktop", &store);
    for name in ["KEY", "TRASHED"] {
        b.store(name, "first");
    }
    sync_all(&[&b, &a]);
    assert_eq!(b.request("DELETE", &format!("/user/secrets/{}", id(&b, "TRASHED"))).send().status, 204);
    sync_all(&[&b, &a]);
    // 20 years ahead: what it writes wins over what is written at the same time, and over nothing that comes later.
    moved::move_to(&a, Ahead::wall(20 * 365 * 86_400));
    a.post("/vault/lock", &Value::Null).expect(200);
    unlock(&a);
    update(&a, "KEY", "from the future");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("KEY"), "from the future");
    let doctor = b.ctl(["doctor"]).run().out();
    assert!(doctor.contains("the clock of this machine or of another one is wrong by 7"), "{doctor}");
    update(&b, "KEY", "later");
    sync_all(&[&b, &a]);
    assert_eq!((a.value("KEY"), b.value("KEY")), ("later".into(), "later".into()));
    // Its own clock says that the time of the trash is over; nobody else's does.
    a.post("/vault/lock", &Value::Null).expect(200);
    unlock(&a);
    sync_all(&[&a, &b]);
    for env in [&a, &b] {
        let trash = env.get("/user/secrets/trash").expect(200);
        assert_eq!(trash["secrets"].as_array().unwrap().len(), 1, "{trash}");
    }
}

#[test]
fn two_that_removed_each_other_wait_for_a_person_on_a_third_machine() {
    let (a, b, store) = two();
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    a.store("KEY", "first");
    sync_all(&[&a, &b, &c]);
    let theirs = b.private_dir("theirs");
    c.post("/vault/lock", &Value::Null).expect(200);
    // Neither hears of the other in time: each does it while the other is away.
    let list = |env: &Env, name: &str| -> String {
        let fleet = env.get("/fleet").expect(200);
        let machine =
            fleet["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).cloned();
        machine.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (laptop, desktop) = (list(&b, "laptop"), list(&a, "desktop"));
    b.post("/vault/lock", &Value::Null).expect(200);
    let of_a =
        new_in(&store, || a.request("DELETE", &format!("/fleet/machines/{desktop}")).send().expect(200));
    a.post("/vault/lock", &Value::Null).expect(200);
    of_a.iter().for_each(|path| fs::rename(path, theirs.join(path.file_name().unwrap())).unwrap());
    unlock(&b);
    b.request("DELETE", &format!("/fleet/machines/{laptop}")).send().expect(200);
    for entry in fs::read_dir(&theirs).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), store.join(entry.file_name())).unwrap();
    }
    // Each of the two goes on, and the third stops.
    unlock(&a);
    update(&a, "KEY", "from laptop");
    sync(&a);
    sync(&b);
    unlock(&c);
    c.post("/fleet/merge", &Value::Null).expect_error(409, "conflict_error");
    assert_eq!(c.value("KEY"), "first");
    let listed = c.ctl(["machine", "list"]).expect(0);
    assert_eq!(listed.matches("in question").count(), 2, "{listed}");
    assert!(c.ctl(["doctor"]).run().out().contains("two machines have removed each other"));
    c.ctl(["machine", "keep", "devbox"]).expect(6);
    c.ctl(["machine", "keep", "laptop"]).expect(0);
    sync_all(&[&c, &a]);
    assert_eq!(c.value("KEY"), "from laptop");
    update(&c, "KEY", "from devbox");
    sync_all(&[&c, &a]);
    assert_eq!(a.value("KEY"), "from devbox");
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    assert_eq!(b.value("KEY"), "first");
    b.post("/vault/verify", &json!({})).expect(200);
    // It comes back, and has what the others have.
    join(&c, &b, "desktop-again", &store);
    sync_all(&[&c, &a, &b]);
    for env in [&a, &b, &c] {
        assert_eq!(env.value("KEY"), "from devbox");
        assert_eq!(env.get("/fleet").expect(200)["conflicts"], json!([]));
    }
    b.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn of_two_machines_alone_the_one_that_gives_way_says_so() {
    let (a, b, store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    let ids = |env: &Env, name: &str| -> String {
        let fleet = env.get("/fleet").expect(200);
        let found =
            fleet["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).cloned();
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (laptop, desktop) = (ids(&b, "laptop"), ids(&a, "desktop"));
    b.post("/vault/lock", &Value::Null).expect(200);
    let theirs = b.private_dir("theirs");
    let of_a =
        new_in(&store, || a.request("DELETE", &format!("/fleet/machines/{desktop}")).send().expect(200));
    a.post("/vault/lock", &Value::Null).expect(200);
    of_a.iter().for_each(|path| fs::rename(path, theirs.join(path.file_name().unwrap())).unwrap());
    unlock(&b);
    b.request("DELETE", &format!("/fleet/machines/{laptop}")).send().expect(200);
    of_a.iter().for_each(|path| fs::rename(theirs.join(path.file_name().unwrap()), path).unwrap());
    unlock(&a);
    sync(&a);
    sync(&b);
    // Both go on, each for itself.
    let told = b.ctl(["machine", "keep", "laptop"]).run();
    told.assert_code(0);
    assert!(told.err().contains("this machine has left"), "{}", told.err());
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    join(&a, &b, "desktop-again", &store);
    sync_all(&[&a, &b]);
    update(&a, "KEY", "second");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("KEY"), "second");
}

/// Each removal gives the key to whom the other one removes.
#[test]
fn two_removals_at_the_same_time_leave_no_removed_machine_with_a_key() {
    let (a, b, store) = two();
    let (c, d) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
    join(&a, &c, "third", &store);
    join(&a, &d, "fourth", &store);
    a.store("KEY", "first");
    sync_all(&[&a, &b, &c, &d]);
    sync_all(&[&a, &b, &c, &d]);
    let find = |name: &str| -> String {
        let fleet = a.get("/fleet").expect(200);
        let found =
            fleet["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).cloned();
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (third, fourth) = (find("third"), find("fourth"));
    let hidden = a.private_dir("hidden");
    b.post("/vault/lock", &Value::Null).expect(200);
    let of_a = new_in(&store, || a.request("DELETE", &format!("/fleet/machines/{third}")).send().expect(200));
    a.post("/vault/lock", &Value::Null).expect(200);
    of_a.iter().for_each(|path| fs::rename(path, hidden.join(path.file_name().unwrap())).unwrap());
    unlock(&b);
    b.request("DELETE", &format!("/fleet/machines/{fourth}")).send().expect(200);
    of_a.iter().for_each(|path| fs::rename(hidden.join(path.file_name().unwrap()), path).unwrap());
    unlock(&a);
    sync_all(&[&a, &b]);
    let epochs = new_in(&store, || {
        update(&a, "KEY", "second");
        sync(&a);
    });
    sync_all(&[&b]);
    assert_eq!(b.value("KEY"), "second");
    // The key under which it is written came after both removals.
    let epoch = |path: &PathBuf| u32::from_be_bytes(fs::read(path).unwrap()[1..5].try_into().unwrap()) >> 16;
    assert!(epochs.iter().filter(|path| path.exists()).all(|path| epoch(path) >= 3), "{epochs:?}");
    for env in [&c, &d] {
        env.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
        assert_eq!(env.value("KEY"), "first");
    }
}

/// What only one of the machines may know, and what the directory may show of it.
#[test]
fn the_directory_tells_nothing_but_sizes() {
    let (a, b, store) = two();
    let names_of = ["CANARY_SECRET_NAME", "CANARY_OTHER_NAME"];
    let mut random = Random::new();
    for name in names_of {
        // Of many lengths: a size must not tell which.
        a.store(name, &"canary-value-of-a-secret ".repeat(1 + usize::try_from(random.below(400)).unwrap()));
    }
    let note = json!({ "note": "canary note of a secret", "provider": "canary-provider" });
    a.request("PATCH", &format!("/user/secrets/{}", id(&a, names_of[0]))).json(&note).send().expect(200);
    sync_all(&[&a, &b]);
    a.ctl(["machine", "rename", "desktop", "canary-machine-name"]).expect(0);
    update(&b, names_of[1], "canary-value-of-later");
    a.post("/fleet/invitations", &Value::Null).expect(201);
    a.post("/fleet/keys", &json!({ "name": "ci", "role": "runner" })).expect(201);
    let purged = format!("/user/secrets/{}?purge=true", id(&a, names_of[0]));
    assert_eq!(a.request("DELETE", &purged).send().status, 204);
    sync_all(&[&a, &b]);
    a.store("LAST", "after the purge");
    sync_all(&[&a, &b]);
    let secret = [
        "CANARY_SECRET_NAME",
        "CANARY_OTHER_NAME",
        "canary-value-of-a-secret",
        "canary-value-of-later",
        "canary note of a secret",
        "canary-provider",
        "canary-machine-name",
        "laptop-of-a-person",
        // Nor what an object is made of: neither its form nor a number of it is in clear.
        "\"changes\"",
        "\"members\"",
    ];
    canary::assert_absent(&store, &secret);
    let mut kinds = std::collections::BTreeSet::new();
    for name in names(&store) {
        if name.starts_with('.') {
            continue;
        }
        kinds.insert(name.as_bytes()[0]);
        let size = fs::metadata(store.join(&name)).unwrap().len();
        let steps = [2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20, 2 << 20];
        // What lets a machine in has another form.
        let beside = if name.starts_with("i-") { 28 } else { 49 };
        assert!(steps.iter().any(|step| step + beside == size), "{name} has {size} bytes");
        assert!(!secret.iter().any(|secret| name.contains(secret)));
    }
    assert!(kinds.is_superset(&[b'l', b'm', b's', b'i'].into()), "{kinds:?}");
}
