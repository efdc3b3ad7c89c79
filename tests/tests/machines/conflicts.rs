//! Secrets that several machines gave different values: where a person hears of them, and how they are settled.

use std::fs;

use secretsd_tests::Env;
use secretsd_tests::process::until;
use serde_json::{Value, json};

use super::{apart, id, sync, sync_all, two, update};

/// A secret with values of both machines.
fn with_conflict() -> (Env, Env, std::path::PathBuf) {
    let (a, b, store) = two();
    a.store("KEY", "canary-first");
    sync_all(&[&a, &b]);
    apart(&store, || {
        update(&a, "KEY", "canary-laptop");
        update(&b, "KEY", "canary-desktop");
    });
    sync_all(&[&a, &b]);
    (a, b, store)
}

fn versions(env: &Env) -> Vec<Value> {
    let answer = env.get(&format!("/user/secrets/{}/versions", id(env, "KEY"))).expect(200);
    answer["versions"].as_array().unwrap().clone()
}

#[test]
fn a_person_hears_of_several_values_and_from_which_machine_each_is() {
    let (a, b, _store) = with_conflict();
    for env in [&a, &b] {
        for arguments in [vec!["list"], vec!["get", "KEY"], vec!["run", "-s", "KEY", "--", "true"]] {
            let output = env.ctl(&arguments).run();
            output.assert_code(0);
            let told = output.err();
            assert!(told.contains("secretctl sync resolve KEY"), "{arguments:?}: {told}");
        }
        let history = env.ctl(["history", "KEY"]).expect(0);
        for word in ["FROM", "laptop", "desktop", "beside it"] {
            assert!(history.contains(word), "{history}");
        }
        let listed = env.ctl(["sync", "conflicts"]).expect(0);
        assert_eq!(listed.matches("KEY").count(), 2, "{listed}");
        assert!(
            listed.contains("in use") && listed.contains("laptop") && listed.contains("desktop"),
            "{listed}"
        );
        assert!(!listed.contains("canary-laptop") && !history.contains("canary-laptop"));
        let all = env.get("/fleet/conflicts").expect(200);
        assert_eq!(all["conflicts"][0]["values"].as_array().unwrap().len(), 2, "{all}");
        let doctor = env.ctl(["doctor"]).run().out();
        assert!(doctor.contains("several machines stored different values: KEY"), "{doctor}");
    }
    // Who sees no names sees no conflicts.
    let token = a
        .post("/tokens", &json!({ "name": "other", "scopes": ["list"], "secrets": ["OTHER_*"] }))
        .expect(201);
    let bound =
        a.anonymous("GET", "/fleet/conflicts").bearer(token["token"].as_str().unwrap()).send().expect(200);
    assert_eq!(bound["conflicts"], json!([]));
}

#[test]
fn a_person_settles_on_either_value() {
    for other in [false, true] {
        let (a, b, _store) = with_conflict();
        let in_use = b.value("KEY");
        let chosen = versions(&b).into_iter().find(|version| version["beside"] == true).unwrap()["version"]
            .to_string();
        let arguments =
            if other { vec!["sync", "resolve", "KEY", &chosen] } else { vec!["sync", "resolve", "KEY"] };
        b.ctl(&arguments).expect(0);
        b.ctl(["sync", "resolve", "KEY"]).expect(4);
        sync_all(&[&b, &a]);
        for env in [&a, &b] {
            assert_eq!(env.value("KEY") == in_use, !other);
            assert_eq!(env.get("/fleet/conflicts").expect(200)["conflicts"], json!([]));
            let told = env.ctl(["list"]).run().err();
            assert!(!told.contains("resolve"), "{told}");
            // Both are in the history.
            assert!(versions(env).len() >= 4, "{:?}", versions(env));
        }
        b.ctl(["sync", "resolve", "NONE"]).expect(4);
    }
}

#[test]
fn storing_a_value_settles_as_well() {
    let (a, b, _store) = with_conflict();
    let told = a.ctl(["set", "KEY"]).stdin("canary-settled").run().err();
    assert!(told.contains("stay in its history"), "{told}");
    sync_all(&[&a, &b]);
    assert_eq!((a.value("KEY"), b.value("KEY")), ("canary-settled".into(), "canary-settled".into()));
    assert_eq!(b.get("/fleet/conflicts").expect(200)["conflicts"], json!([]));
}

#[test]
fn a_machine_gets_another_name() {
    let (a, b, _store) = two();
    a.ctl(["machine", "rename", "desktop", "tower"]).expect(0);
    sync(&b);
    for env in [&a, &b] {
        let listed = env.ctl(["machine", "list"]).expect(0);
        assert!(listed.contains("tower") && !listed.contains("desktop"), "{listed}");
    }
    // Completions know the machines, and wait for no daemon.
    let offered = || a.ctl(["__complete"]).stdin(b"machine\0rename\0\0").expect(0);
    until("the machines are offered", || {
        let offered = offered();
        let lines: std::collections::BTreeSet<_> = offered.lines().collect();
        lines == ["laptop\tthis machine", "tower\tmachine"].into()
    });
    b.ctl(["machine", "rename", "tower", "laptop"]).expect(6);
    b.ctl(["machine", "rename", "nobody", "x"]).expect(4);
    b.ctl(["machine", "rename", "tower", "not a name"]).expect(7);
}

#[test]
fn an_earlier_value_that_is_dropped_leaves_all_machines_and_the_directory() {
    let (a, b, store) = two();
    a.store("KEY", "canary-old");
    update(&a, "KEY", "canary-new");
    sync_all(&[&a, &b]);
    assert_eq!(versions(&b).len(), 2);
    let logs = || {
        let names =
            fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("l-")).collect::<Vec<_>>()
    };
    let before = logs();
    a.ctl(["history", "KEY", "--drop", "1", "--yes"]).expect(0);
    sync_all(&[&a, &b]);
    for env in [&a, &b] {
        assert_eq!(versions(env).len(), 1);
        env.post("/vault/verify", &json!({})).expect(200);
    }
    assert!(logs().iter().all(|name| !before.contains(name)), "{before:?} {:?}", logs());
    // It comes to rest, also after a restart.
    let count = fs::read_dir(&store).unwrap().count();
    sync_all(&[&a, &b]);
    assert_eq!(fs::read_dir(&store).unwrap().count(), count);
}

#[test]
fn a_directory_that_is_away_is_told_and_loses_nothing() {
    let (a, b, store) = two();
    apart(&store, || {
        a.store("KEY", "value");
        let error = a.post("/fleet/merge", &Value::Null).expect_error(502, "bad_gateway_error");
        assert!(error.to_string().contains("is not there"), "{error}");
        let told = a.ctl(["sync"]).run().err();
        assert!(told.contains("is not there"), "{told}");
        a.ctl(["sync"]).expect(9);
        let doctor = a.ctl(["doctor"]).run().out();
        assert!(doctor.contains("the directory that the machines share is not there"), "{doctor}");
    });
    sync_all(&[&a, &b]);
    assert_eq!(b.value("KEY"), "value");
}

#[test]
fn nothing_is_left_of_an_invitation() {
    let (a, b, store) = two();
    let steps = || {
        let names =
            fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("i-")).count()
    };
    assert_eq!(steps(), 0);
    // Of one that was ended neither; of one that was forgotten until the next after a day.
    let invitation = a.post("/fleet/invitations", &Value::Null).expect(201);
    assert_eq!(steps(), 1);
    let path = format!("/fleet/invitations/{}", invitation["id"].as_str().unwrap());
    a.post(&path, &json!({ "accept": false })).expect(200);
    assert_eq!(steps(), 0);
    let forgotten = |age: u64| {
        let name = format!("i-{}-0000000001-{}", "a".repeat(16), "b".repeat(32));
        fs::write(store.join(&name), "left").unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::options().write(true).open(store.join(&name)).unwrap().set_modified(time).unwrap();
    };
    forgotten(3_600);
    a.post("/fleet/invitations", &Value::Null).expect(201);
    assert_eq!(steps(), 2);
    forgotten(25 * 3_600);
    b.post("/fleet/invitations", &Value::Null).expect(201);
    assert_eq!(steps(), 2);
}
