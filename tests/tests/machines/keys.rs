//! Machines that are a key alone: one on paper, with which a new machine gets everything, and one for a CI, whose throw-away
//! vault reads and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use secretsd_tests::ctl::Ctl;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::{Env, canary, programs};
use serde_json::{Value, json};

use super::failures::{names, new_in};
use super::{guard, has, id, sync, sync_all, two, update};

fn place(store: &Path) -> String {
    format!("dir:{}", store.display())
}

/// A key that this machine has made, in a file of another one.
fn invited(inviter: &Env, option: &str, other: &Env) -> (String, PathBuf) {
    let told = inviter.ctl(["machine", "invite", option]).run();
    told.assert_code(0);
    let key = told.out().trim_end().to_owned();
    assert_eq!((key.len(), key.lines().count(), told.err().contains(&key)), (69, 1, false), "{}", told.err());
    let path = other.private_file("key", format!("{key}\n"));
    (key, path)
}

fn by_paper(env: &Env, path: &Path, store: &Path, name: &str) -> Ctl {
    let (path, place) = (path.to_str().unwrap(), place(store));
    env.ctl(["machine", "join", "--paper-key-file", path, "--store", &place, "--name", name])
}

fn by_runner(env: &Env, path: &Path, store: &Path) -> Ctl {
    let (path, place) = (path.to_str().unwrap(), place(store));
    env.ctl(["machine", "join", "--runner-key-file", path, "--ephemeral", "--store", &place])
}

#[test]
fn a_key_on_paper_and_the_store_are_enough_for_a_new_machine() {
    let (mut a, mut b, store) = two();
    a.store("KEY", "first");
    a.store("GONE", "gone");
    sync_all(&[&a, &b]);
    let new = Env::unlocked(programs!());
    let (key, path) = invited(&a, "--paper", &new);
    let listed = a.ctl(["machine", "list"]).expect(0);
    assert!(listed.lines().any(|line| line.split_whitespace().eq(["paper", "paper"])), "{listed}");
    // Much happens before it is needed: another key of all machines, a purge, a snapshot in place of what was said.
    let desktop = super::again::machine(&a, "desktop");
    a.request("DELETE", &format!("/fleet/machines/{desktop}")).send().expect(200);
    let gone = format!("/user/secrets/{}?purge=true", id(&a, "GONE"));
    assert_eq!(a.request("DELETE", &gone).send().status, 204);
    update(&a, "KEY", "second");
    // The welcome is put there again, too.
    let is_welcome = |name: &String| name.starts_with("i-");
    assert_eq!(names(&store).iter().filter(|name| is_welcome(name)).count(), 1);
    for name in names(&store).iter().filter(|name| is_welcome(name)) {
        fs::remove_file(store.join(name)).unwrap();
    }
    sync(&a);
    assert!(new.get("/fleet").expect(200)["member"] == json!(false));
    a.stop();
    b.stop();
    new.store("OWN", "own");
    by_paper(&new, &path, &store, "new").expect(0);
    assert_eq!((new.value("KEY"), new.value("OWN")), ("second".into(), "own".into()));
    assert!(!has(&new, "GONE"));
    update(&new, "KEY", "third");
    sync(&new);
    // It is a machine as any other, with a name of its own, and the key is still there.
    let listed = new.ctl(["machine", "list"]).expect(0);
    assert!(listed.contains("paper") && listed.contains("this machine"), "{listed}");
    a.start();
    super::unlock(&a);
    sync_all(&[&a, &new]);
    assert_eq!((a.value("KEY"), a.value("OWN")), ("third".into(), "own".into()));
    // Once more, after the one that had made it is out.
    let other = Env::unlocked(programs!());
    let again = other.private_file("key", &key);
    new.ctl(["machine", "remove", "laptop"]).expect(0);
    update(&new, "KEY", "fourth");
    sync(&new);
    by_paper(&other, &again, &store, "other").expect(0);
    assert_eq!(other.value("KEY"), "fourth");
    // Nothing of it is where it should not be.
    let parts: Vec<&str> = key.split('-').collect();
    let half = parts[..7].join("-");
    canary::assert_absent(&store, &[&key, &half, &key.replace('-', "")]);
    for env in [&a, &new, &other] {
        assert!(!env.log().contains(&half), "it is in a log");
        canary::assert_absent(&env.data_dir(), &[&key, &half]);
    }
}

#[test]
fn a_key_that_does_not_fit_is_told_why_and_changes_nothing() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    c.store("OWN", "own");
    let (key, path) = invited(&a, "--paper", &c);
    let runners = invited(&a, "--runner", &c).0;
    let before = names(&store);
    let refused = |key: &str, code: i32, words: &str| {
        let path = c.private_file("tried", key);
        let told = by_paper(&c, &path, &store, "c").run();
        told.assert_code(code);
        assert!(told.err().contains(words) && !told.err().contains(&key[..9]), "{}", told.err());
        assert_eq!(
            (names(&store), c.get("/fleet").expect(200)["member"].clone()),
            (before.clone(), json!(false))
        );
    };
    let slip = if key.starts_with('0') { key.replacen('0', "1", 1) } else { format!("0{}", &key[1..]) };
    refused(&slip, 7, "typing error");
    refused(&key[..40], 7, "56 letters and digits");
    refused(&format!("{key}-{key}"), 7, "56 letters and digits");
    refused(&runners, 6, "for something else");
    let path_of_theirs = c.private_file("theirs", &key);
    a.ctl(["machine", "invite", "--paper"]).expect(6);
    a.ctl(["machine", "invite", "--paper", "more"]).expect(0);
    c.ctl(["machine", "invite", "--paper"]).expect(4);
    // That of one that was removed, and a name that is taken.
    let told = by_paper(&c, &path_of_theirs, &store, "laptop").run();
    told.assert_code(6);
    a.ctl(["machine", "remove", "paper"]).expect(0);
    let told = by_paper(&c, &c.private_file("key", &key), &store, "c").run();
    told.assert_code(5);
    assert!(
        told.err().contains("on a machine of the vault") && told.err().contains("--paper"),
        "{}",
        told.err()
    );
    let _ = path;
    assert!(!has(&a, "OWN") && has(&c, "OWN"));
    // That of another vault, also where the right one would take the passphrase.
    let (other, _other, _) = two();
    let theirs = c.private_file("other", invited(&other, "--paper", &c).0);
    for is_guarded in [false, true] {
        if is_guarded {
            guard(&c, &id(&c, "OWN"));
        }
        let told = by_paper(&c, &theirs, &store, "c").run();
        told.assert_code(7);
        assert!(told.err().contains("the store knows no such key"), "{}", told.err());
    }
}

#[test]
fn a_key_takes_the_passphrase_while_a_secret_is_guarded() {
    let (a, _b, store) = two();
    a.store("KEY", "guarded");
    guard(&a, &id(&a, "KEY"));
    for role in ["paper", "runner"] {
        let new =
            |proof: Value| a.post("/fleet/keys", &json!({ "name": role, "role": role, "proof": proof }));
        for proof in [json!(null), json!({ "passphrase": "wrong" })] {
            new(proof).expect_error(403, "wrong_key_error");
        }
        assert!(!a.get("/fleet").expect(200)["machines"].to_string().contains(role));
        new(json!({ "passphrase": PASSPHRASE })).expect(201);
    }
    let key = a.post(
        "/fleet/keys",
        &json!({ "name": "more", "role": "paper", "proof": { "passphrase": PASSPHRASE } }),
    );
    let key = key.expect(201)["key"].clone();
    // What is guarded on the machine that joins goes to the others.
    let c = Env::unlocked(programs!());
    c.store("OF_C", "guarded");
    guard(&c, &id(&c, "OF_C"));
    let join = |proof: Value| {
        let request = json!({ "key": key, "role": "paper", "name": "c", "directory": store, "proof": proof });
        c.post("/fleet/keys/join", &request)
    };
    join(json!(null)).expect_error(403, "wrong_key_error");
    sync(&a);
    assert!(!has(&a, "OF_C"));
    join(json!({ "passphrase": PASSPHRASE })).expect(201);
    sync_all(&[&a, &c]);
    assert!(has(&a, "OF_C") && has(&c, "KEY"));
}

#[test]
fn a_runner_reads_everything_from_a_vault_that_is_thrown_away() {
    let (a, _b, store) = two();
    a.store("KEY", "canary-first");
    sync(&a);
    let ci = Env::new(programs!());
    let (key, path) = invited(&a, "--runner", &ci);
    let listed = a.ctl(["machine", "list"]).expect(0);
    assert!(listed.contains("runner") && listed.contains("reads only"), "{listed}");
    let before = names(&store);
    by_runner(&ci, &path, &store).expect(0);
    let vault = ci.runtime_dir().join("ephemeral");
    assert!(vault.join("data/vault.db").exists() && !ci.data_dir().exists() && !ci.state_dir().exists());
    assert_eq!(ci.ctl(["run", "-s", "KEY", "--", "printenv", "KEY"]).expect(0), "canary-first\n");
    // What comes later is there at once, and nothing is written.
    update(&a, "KEY", "canary-second");
    sync(&a);
    ci.ctl(["sync"]).expect(0);
    assert_eq!(ci.ctl(["get", "KEY"]).expect(0), "canary-second");
    let after_a = names(&store);
    assert!(before.iter().all(|name| after_a.contains(name)));
    ci.ctl(["set", "OWN"]).stdin("own").expect(0);
    ci.ctl(["sync"]).expect(0);
    assert_eq!(names(&store), after_a);
    sync(&a);
    assert!(!has(&a, "OWN"));
    for words in [
        &["machine", "invite", "--runner", "other"][..],
        &["machine", "invite", "--paper"],
        &["machine", "remove", "laptop"],
        &["machine", "rename", "laptop", "other"],
    ] {
        ci.ctl(words).expect(5);
    }
    assert_eq!(names(&store), after_a);
    // Neither the key nor what it brings is on the disk, and all is gone at the end.
    canary::assert_absent(&vault, &[&key, "canary-first", "canary-second"]);
    by_runner(&ci, &path, &store).expect(6);
    ci.ctl(["stop"]).expect(0);
    assert!(!vault.exists() && !ci.data_dir().exists());
    // And again, also where a daemon was killed.
    by_runner(&ci, &path, &store).expect(0);
    ci.stop_listener();
    assert!(vault.exists());
    by_runner(&ci, &path, &store).expect(0);
    // A machine that was removed reads nothing that comes after.
    a.ctl(["machine", "remove", "runner"]).expect(0);
    update(&a, "KEY", "canary-third");
    sync(&a);
    ci.ctl(["sync"]).expect(5);
    assert_eq!(ci.ctl(["get", "KEY"]).expect(0), "canary-second");
    ci.ctl(["stop"]).expect(0);
    by_runner(&ci, &path, &store).expect(5);
    assert!(!vault.exists());
    // Where there is a vault it is left alone.
    let (_, path) = invited(&a, "--runner", &a);
    let kept = Env::unlocked(programs!());
    kept.store("OWN", "own");
    by_runner(&kept, &path, &store).expect(6);
    assert_eq!(kept.value("OWN"), "own");
}

/// The variables that are documented.
#[test]
fn a_vault_of_its_own_beside_the_first_is_all_that_its_runner_gets() {
    let a = Env::unlocked(programs!());
    a.store("MINE", "mine");
    let (store, other) = (a.private_dir("store"), a.runtime_dir().join("secretsd-ci"));
    let beside = |words: &[&str]| {
        a.ctl(words)
            .env("SECRETSD_DATA_DIR", a.path("ci-vault").to_str().unwrap())
            .env("SECRETSD_STATE_DIR", a.path("ci-state").to_str().unwrap())
            .env("SECRETSD_SOCKET", other.join("secretsd.sock").to_str().unwrap())
    };
    let passphrase = a.private_file("passphrase", PASSPHRASE);
    beside(&["init", "--passphrase-file", passphrase.to_str().unwrap()]).expect(0);
    beside(&["set", "FOR_CI"]).stdin("for-ci").expect(0);
    beside(&["machine", "init", "--store", &place(&store), "--name", "laptop"]).expect(0);
    let key = beside(&["machine", "invite", "--runner"]).expect(0);
    beside(&["sync"]).expect(0);
    let ci = Env::new(programs!());
    by_runner(&ci, &ci.private_file("key", key), &store).expect(0);
    let listed = ci.ctl(["list"]).expect(0);
    assert!(listed.contains("FOR_CI") && !listed.contains("MINE"), "{listed}");
    ci.ctl(["stop"]).expect(0);
    beside(&["stop"]).expect(0);
    assert_eq!(a.value("MINE"), "mine");
}

#[test]
fn a_runner_shows_a_name_once_before_a_machine_has_settled_it() {
    let (a, b, store) = two();
    let ci = Env::new(programs!());
    let (_, path) = invited(&a, "--runner", &ci);
    let theirs = b.private_dir("theirs");
    b.post("/vault/lock", &Value::Null).expect(200);
    let of_a = new_in(&store, || {
        a.store("SAME", "of-a");
        sync(&a);
    });
    a.post("/vault/lock", &Value::Null).expect(200);
    of_a.iter().for_each(|path| fs::rename(path, theirs.join(path.file_name().unwrap())).unwrap());
    super::unlock(&b);
    b.store("SAME", "of-b");
    sync(&b);
    b.post("/vault/lock", &Value::Null).expect(200);
    of_a.iter().for_each(|path| fs::rename(theirs.join(path.file_name().unwrap()), path).unwrap());
    by_runner(&ci, &path, &store).expect(0);
    let listed = ci.ctl(["list", "--names"]).expect(0);
    assert_eq!(listed.lines().filter(|line| *line == "SAME").count(), 1, "{listed}");
    let shown = ci.ctl(["get", "SAME"]).expect(0);
    super::unlock(&a);
    super::unlock(&b);
    sync_all(&[&a, &b]);
    ci.ctl(["sync"]).expect(0);
    assert_eq!((a.value("SAME"), ci.ctl(["get", "SAME"]).expect(0)), (b.value("SAME"), a.value("SAME")));
    assert_eq!(shown, a.value("SAME"));
    ci.ctl(["stop"]).expect(0);
}

#[test]
fn a_key_that_was_removed_weighs_nothing_in_the_lists_that_follow() {
    let (a, b, store) = two();
    let newest = |of: &Env| {
        sync(of);
        let lists = names(&store).into_iter().filter(|name| name.starts_with("m-"));
        let sizes = lists.map(|name| fs::metadata(store.join(&name)).unwrap()).collect::<Vec<_>>();
        let last = sizes.iter().map(|found| found.modified().unwrap()).max().unwrap();
        sizes.iter().filter(|found| found.modified().unwrap() == last).map(fs::Metadata::len).max().unwrap()
    };
    for number in 0..8 {
        let key =
            a.post("/fleet/keys", &json!({ "name": format!("ci{number}"), "role": "runner" })).expect(201);
        sync(&b);
        // Whichever machine removes it, and whichever speaks then.
        let by = if number % 2 == 0 { &a } else { &b };
        by.request("DELETE", &format!("/fleet/machines/{}", key["id"].as_str().unwrap())).send().expect(200);
        sync_all(&[&a, &b]);
    }
    for env in [&a, &b] {
        let machine = super::again::machine(env, "laptop");
        let path = format!("/fleet/machines/{machine}");
        env.request("PATCH", &path).json(&json!({ "name": "laptop" })).send().expect(200);
        let size = newest(env);
        assert!(size <= (8 << 10) + 49, "a list has {size} bytes");
    }
}

#[test]
fn who_lets_a_key_go_to_a_file_that_others_can_read_is_told() {
    let (a, _b, _store) = two();
    for (mask, is_said) in [("022", true), ("077", false)] {
        let script = format!("umask {mask}; \"$0\" machine invite --runner of-{mask} > {mask}.key");
        let output = a.command("sh").args(["-c", &script, a.programs().client]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.contains("others could read the file that the key went to"), is_said, "{said}");
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn who_joins_is_told_if_the_store_lacks_what_was_there() {
    let (a, _b, store) = two();
    a.store("KEY", "value");
    sync(&a);
    let c = Env::unlocked(programs!());
    let (_, path) = invited(&a, "--paper", &c);
    let all = names(&store);
    let other = c.private_dir("other");
    for name in all.iter().filter(|name| name.starts_with(['i', 'm'])) {
        fs::copy(store.join(name), other.join(name)).unwrap();
    }
    let told = by_paper(&c, &path, &other, "c").run();
    told.assert_code(0);
    assert!(told.err().contains("not all secrets are here") && !has(&c, "KEY"), "{}", told.err());
    for name in all.iter().filter(|name| !name.starts_with(['i', 'm'])) {
        fs::copy(store.join(name), other.join(name)).unwrap();
    }
    sync(&c);
    assert_eq!(c.value("KEY"), "value");
}

#[test]
fn nothing_that_is_to_be_kept_goes_into_a_throw_away_vault_and_one_alone_is_made() {
    let (a, _b, store) = two();
    a.store("KEY", "value");
    sync(&a);
    let ci = Env::new(programs!());
    let (_, path) = invited(&a, "--runner", &ci);
    // Of two at once one is made, and the other leaves it alone.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| by_runner(&ci, &path, &store).run());
        (by_runner(&ci, &path, &store).run(), other.join().unwrap())
    });
    let mut codes = [first.code, second.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(6)], "{} {}", first.err(), second.err());
    assert_eq!(ci.ctl(["get", "KEY"]).expect(0), "value");
    let backup = a.path("backup").to_str().unwrap().to_owned();
    a.ctl(["backup", &backup]).expect(0);
    let passphrase = ci.private_file("passphrase", PASSPHRASE);
    let passphrase = passphrase.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let told = ci.ctl(arguments).run();
        told.assert_code(6);
        assert!(told.err().contains("a throw-away vault is there"), "{}", told.err());
    };
    refused(&["init", "--passphrase-file", passphrase, "--yes"]);
    refused(&["restore-vault", &backup, "--passphrase-file", passphrase]);
    // Nobody is asked for a passphrase that nobody knows.
    ci.ctl(["lock"]).expect(0);
    for arguments in [&["get", "KEY"][..], &["unlock"]] {
        let told = ci.ctl(arguments).run();
        told.assert_code(3);
        assert!(told.err().contains("join once more"), "{}", told.err());
    }
    // One that was begun and not made is in nobody's way.
    ci.ctl(["stop"]).expect(0);
    ci.private_dir("run/secretsd/ephemeral");
    refused(&["init", "--passphrase-file", passphrase, "--yes"]);
    ci.ctl(["stop"]).expect(0);
    ci.ctl(["init", "--passphrase-file", passphrase, "--yes"]).expect(0);
    ci.ctl(["stop"]).expect(0);
}
