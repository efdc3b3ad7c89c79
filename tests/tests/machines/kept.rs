//! Which secrets travel: those that one machine keeps, and those whose names all machines exclude.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use secretsd_tests::harness::skip;
use secretsd_tests::process::until;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use super::durable::{LACKING, fleet1, quick};
use super::{apart, guard, has, id, join, sync, sync_all, two, unlock, update};

/// Runs `secretctl`, and gives what it says.
fn told(env: &Env, arguments: &[&str]) -> String {
    let output = env.ctl(arguments).run();
    output.assert_code(0);
    output.out() + &output.err()
}

fn set(env: &Env, arguments: &[&str], value: &str) -> String {
    let output = env.ctl(arguments).stdin(value).run();
    output.assert_code(0);
    output.out() + &output.err()
}

/// How many versions of its value there are.
fn count_of_versions(env: &Env, name: &str) -> usize {
    let versions = env.get(&format!("/user/secrets/{}/versions", id(env, name))).expect(200);
    versions["versions"].as_array().unwrap().len()
}

/// Waits until what comes now is stored in a later second, by which times are kept.
fn next_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let start = second();
    until("it is another second", || second() > start + 1);
}

fn purge(env: &Env, name: &str) {
    let path = format!("/user/secrets/{}?purge=true", id(env, name));
    assert_eq!(env.request("DELETE", &path).send().status, 204);
}

/// How many objects in the directory hold this text, by a second implementation with the keys of a machine that is stopped.
fn objects_with(env: &mut Env, key: &Value, store: &Path, text: &str) -> Option<u64> {
    assert!(env.stop().success());
    let count = fleet1(env, store, &["--count", text]);
    env.start();
    env.post("/vault/unlock", key).expect(200);
    count.map(|count| count.as_u64().unwrap())
}

#[test]
fn what_is_imported_as_local_leaves_in_no_object() {
    let (a, b, store) = two();
    set(&a, &["set", "REPLACED"], "shared");
    sync_all(&[&a, &b]);
    let file = a.private_file("env", "CANARYNEW=valuecanary-new\nREPLACED=valuecanary-replaced\n");
    let words = ["import", file.to_str().unwrap(), "--local", "--on-conflict", "replace"];
    let said = a.ctl(words).run();
    assert_eq!(said.code, Some(0), "{}", said.err());
    assert!(said.err().contains("REPLACED stays on this machine"), "{}", said.err());
    sync_all(&[&a, &b]);
    assert_eq!(
        (a.value("CANARYNEW"), a.value("REPLACED")),
        ("valuecanary-new".into(), "valuecanary-replaced".into())
    );
    assert_eq!((has(&b, "CANARYNEW"), b.value("REPLACED")), (false, "shared".into()));
    assert_eq!(a.get("/fleet").expect(200)["local"], json!(["CANARYNEW", "REPLACED"]));
    secretsd_tests::canary::assert_absent(&store, &["valuecanary", "CANARYNEW"]);
    // Who stores it at once where all machines have it is refused, and nothing is stored.
    set(&a, &["set", "SHARED"], "shared");
    let all = json!({ "secrets": [
        { "name": "OTHER", "value": "x", "local": true },
        { "name": "SHARED", "value": "own", "replace": true, "local": true },
    ]});
    a.post("/user/secrets/batch", &all).expect_error(409, "already_exists_error");
    assert!(!has(&a, "OTHER") && a.value("SHARED") == "shared");
}

#[test]
fn what_is_kept_local_leaves_in_no_object_whatever_becomes_of_it() {
    let ((mut a, key), (b, _)) = (quick(), quick());
    set(&a, &["set", "--local", "CANARYEARLY"], "valuecanary-early");
    let store = a.private_dir("store");
    a.ctl(["machine", "init", "--store", &format!("dir:{}", store.display()), "--name", "laptop"]).expect(0);
    join(&a, &b, "desktop", &store);
    set(&a, &["add", "--local", "CANARYOWN", "--note", "notecanary"], "valuecanary-one");
    a.store("SHARED", "sharedtext");
    set(&a, &["update", "CANARYOWN"], "valuecanary-two");
    a.ctl(["rename", "CANARYOWN", "CANARYOTHER"]).expect(0);
    a.ctl(["rollback", "CANARYOTHER", "1"]).expect(0);
    a.ctl(["rm", "CANARYOTHER"]).expect(0);
    sync_all(&[&a, &b]);
    a.ctl(["restore", "CANARYOTHER"]).expect(0);
    set(&a, &["set", "CANARYGONE", "--local"], "valuecanary-gone");
    purge(&a, "CANARYGONE");
    // A purge makes a snapshot of all that the others have.
    purge(&a, "SHARED");
    a.store("SHARED", "sharedtext");
    sync_all(&[&a, &b]);
    for name in ["CANARYEARLY", "CANARYOTHER"] {
        assert!(has(&a, name) && !has(&b, name), "{name}");
        assert!(told(&a, &["show", name]).contains("stays on this machine"));
    }
    assert_eq!((a.value("CANARYOTHER"), b.value("SHARED")), ("valuecanary-one".into(), "sharedtext".into()));
    let listed = told(&a, &["list"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("CANARYOTHER").ends_with("local") && !line("SHARED").contains("local"), "{listed}");
    let listed = a.ctl(["list", "--json"]).run().json();
    let locals = listed["secrets"].as_array().unwrap().iter().filter(|one| one["local"] == true).count();
    assert_eq!(locals, 2);
    assert!(told(&a, &["sync", "status"]).contains("on this machine alone: CANARYEARLY, CANARYOTHER"));
    // The mark that keeps older programs from the vault is as it should be, also after a restart.
    a.post("/vault/verify", &json!({})).expect(200);
    for canary in ["valuecanary", "CANARY", "notecanary"] {
        let Some(count) = objects_with(&mut a, &key, &store, canary) else { return skip("kept", LACKING) };
        assert_eq!(count, 0, "{canary}");
    }
    assert!(objects_with(&mut a, &key, &store, "sharedtext").unwrap() > 0);
    // The way back, with all its values.
    assert!(told(&a, &["sync", "share", "CANARYOTHER"]).contains("goes to all machines"));
    sync_all(&[&a, &b]);
    assert_eq!(b.value("CANARYOTHER"), "valuecanary-one");
    assert_eq!(count_of_versions(&b, "CANARYOTHER"), 3);
    assert!(objects_with(&mut a, &key, &store, "CANARYOTHER").unwrap() > 0);
}

#[test]
fn what_was_sent_before_stays_on_the_others_and_goes_its_own_way() {
    let (mut a, b, store) = two();
    a.store("URL", "first");
    a.store("OTHER", "first");
    sync_all(&[&a, &b]);
    let said = told(&a, &["sync", "keep-local", "URL"]);
    assert!(said.contains("is still on desktop") && said.contains("secretctl rm URL"), "{said}");
    assert!(told(&a, &["sync", "keep-local", "URL"]).contains("already"));
    update(&b, "URL", "of-desktop");
    // Storing one that is to stay keeps the secret here before.
    let said = set(&a, &["set", "--local", "OTHER"], "canary-own");
    assert!(
        said.contains("OTHER stays on this machine from now on") && said.contains("replaced OTHER"),
        "{said}"
    );
    assert_eq!((a.value("OTHER"), b.value("OTHER")), ("canary-own".into(), "first".into()));
    // More values than are kept, so that what the others have leaves this machine's history.
    for number in 0..12 {
        update(&a, "URL", &format!("own {number}"));
        update(&a, "OTHER", &format!("own {number}"));
    }
    sync_all(&[&a, &b]);
    a.stop();
    a.start();
    unlock(&a);
    sync_all(&[&a, &b]);
    assert_eq!((a.value("URL"), b.value("URL")), ("own 11".into(), "of-desktop".into()));
    // A snapshot that this machine writes has what the others have, and neither its own nor nothing.
    a.store("GONE", "gone");
    sync_all(&[&a, &b]);
    purge(&a, "GONE");
    sync(&a);
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    sync_all(&[&c, &a, &b]);
    assert_eq!((c.value("URL"), b.value("URL")), ("of-desktop".into(), "of-desktop".into()));
    assert_eq!((c.value("OTHER"), b.value("OTHER")), ("first".into(), "first".into()));
    assert_eq!(a.value("URL"), "own 11");
    // Whatever is done here with it is done here alone.
    a.ctl(["rm", "URL"]).expect(0);
    sync_all(&[&a, &b, &c]);
    assert!(!has(&a, "URL") && has(&b, "URL") && has(&c, "URL"));
    a.ctl(["restore", "URL"]).expect(0);
    purge(&a, "URL");
    sync_all(&[&a, &b, &c]);
    update(&b, "URL", "newer-of-desktop");
    sync_all(&[&b, &a, &c]);
    assert!(!has(&a, "URL"), "it comes back only when that is asked for");
    assert_eq!(c.value("URL"), "newer-of-desktop");
    a.post("/vault/verify", &json!({})).expect(200);
    assert!(told(&a, &["sync", "status"]).contains("aside    URL"));
    // Nor does what is destroyed here leave the others by a snapshot of this machine.
    purge(&a, "OTHER");
    a.store("GONE", "gone");
    sync_all(&[&a, &b, &c]);
    purge(&a, "GONE");
    sync_all(&[&a, &b, &c]);
    assert_eq!(
        (c.value("OTHER"), b.value("OTHER"), has(&a, "OTHER")),
        ("first".into(), "first".into(), false)
    );
    told(&a, &["sync", "share", "URL"]);
    assert_eq!(a.value("URL"), "newer-of-desktop");
    assert!(!told(&a, &["sync", "status"]).contains("aside    URL"));
    update(&a, "URL", "of-all");
    sync_all(&[&a, &b, &c]);
    assert_eq!((b.value("URL"), c.value("URL")), ("of-all".into(), "of-all".into()));
}

#[test]
fn what_travels_again_takes_the_place_of_nothing_that_it_has_not_seen() {
    for own_is_later in [true, false] {
        let (a, b, _store) = two();
        a.store("URL", "first");
        sync_all(&[&a, &b]);
        told(&a, &["sync", "keep-local", "URL"]);
        let own = || assert!(!set(&a, &["set", "URL", "--local"], "canary-own").contains("stays"));
        let theirs = || update(&b, "URL", "canary-theirs");
        if own_is_later {
            theirs();
            next_second();
            own();
        } else {
            own();
            next_second();
            theirs();
        }
        sync_all(&[&a, &b]);
        let said = told(&a, &["sync", "share", "URL"]);
        assert!(said.contains("the same on all machines again"), "{said}");
        sync_all(&[&a, &b]);
        let later = if own_is_later { "canary-own" } else { "canary-theirs" };
        for env in [&a, &b] {
            assert_eq!(env.value("URL"), later);
            let conflicts = env.get("/fleet").expect(200)["conflicts"].clone();
            assert_eq!(conflicts.as_array().unwrap().len(), 1, "the other is kept beside it: {conflicts}");
            assert_eq!(count_of_versions(env, "URL"), 3);
        }
        told(&b, &["sync", "resolve", "URL"]);
        sync_all(&[&a, &b]);
        assert_eq!((a.value("URL"), b.value("URL")), (later.into(), later.into()));
        a.post("/vault/verify", &json!({})).expect(200);
    }
}

#[test]
fn what_all_exclude_does_not_travel_and_comes_to_no_new_machine() {
    let ((mut a, key), (b, _)) = (quick(), quick());
    a.store("DEV_URL", "first");
    a.store("KEY", "first");
    let store = a.private_dir("store");
    a.ctl(["machine", "init", "--store", &format!("dir:{}", store.display()), "--name", "laptop"]).expect(0);
    join(&a, &b, "desktop", &store);
    sync_all(&[&a, &b]);
    let said = told(&b, &["sync", "exclude", "dev_*"]);
    assert!(said.contains("these stay: DEV_URL") && said.contains("not for secrecy"), "{said}");
    sync_all(&[&b, &a]);
    for env in [&a, &b] {
        assert_eq!(told(env, &["sync", "exclude"]), "DEV_*\n");
        let status = told(env, &["sync", "status"]);
        assert!(status.contains("exclude  DEV_*") && status.contains("by its name: DEV_URL"), "{status}");
    }
    update(&a, "DEV_URL", "of-laptop");
    a.store("DEV_NEW", "canary-new");
    update(&a, "KEY", "second");
    b.store("DEV_OF_B", "canary-of-b");
    sync_all(&[&a, &b]);
    assert_eq!((b.value("DEV_URL"), b.value("KEY")), ("first".into(), "second".into()));
    assert!(!has(&b, "DEV_NEW") && !has(&a, "DEV_OF_B"));
    // Nor from or to one that joins, though the directory holds what was sent before.
    let (c, _) = quick();
    c.store("DEV_OF_C", "canary-of-c");
    c.store("OF_C", "of-c");
    join(&a, &c, "devbox", &store);
    sync_all(&[&c, &a, &b]);
    assert_eq!((c.value("KEY"), a.value("OF_C")), ("second".into(), "of-c".into()));
    assert!(!has(&c, "DEV_URL") && !has(&a, "DEV_OF_C") && !has(&b, "DEV_OF_C"));
    for canary in ["canary-new", "canary-of-b", "canary-of-c", "DEV_OF_C"] {
        let Some(count) = objects_with(&mut a, &key, &store, canary) else { return skip("kept", LACKING) };
        assert_eq!(count, 0, "{canary}");
    }
    // A name that is excluded takes a secret out, and one that is not lets it in.
    a.ctl(["rename", "KEY", "DEV_KEY"]).expect(0);
    update(&a, "DEV_KEY", "of-laptop");
    a.ctl(["rename", "DEV_NEW", "NEW"]).expect(0);
    update(&b, "KEY", "third");
    sync_all(&[&a, &b, &c]);
    assert_eq!(
        (a.value("DEV_KEY"), b.value("KEY"), c.value("KEY")),
        ("of-laptop".into(), "third".into(), "third".into())
    );
    assert_eq!(b.value("NEW"), "canary-new");
    assert!(!has(&a, "KEY"));
    // Taken back, by another machine: everything goes to all, and of two values none is lost.
    update(&b, "DEV_URL", "of-desktop");
    let said = told(&c, &["sync", "include", "DEV_*"]);
    assert!(said.contains("every secret travels"), "{said}");
    sync_all(&[&c, &a, &b]);
    sync_all(&[&c, &a, &b]);
    for env in [&a, &b, &c] {
        assert_eq!(env.get("/fleet").expect(200)["exclude"], Value::Null);
        for name in ["DEV_URL", "NEW", "DEV_OF_B", "DEV_OF_C", "OF_C"] {
            assert!(has(env, name), "{name}");
        }
        let conflicts = env.get("/fleet").expect(200)["conflicts"].to_string();
        assert!(conflicts.contains("DEV_URL"), "{conflicts}");
        assert_eq!(env.value("DEV_URL"), a.value("DEV_URL"));
        // The one secret has one name again, and the value of the machine that stored last.
        assert!(has(env, "DEV_KEY") && !has(env, "KEY"));
        assert_eq!(env.value("DEV_KEY"), a.value("DEV_KEY"));
        env.post("/vault/verify", &json!({})).expect(200);
    }
}

#[test]
fn beside_what_is_included_nothing_travels() {
    let (a, b, store) = two();
    a.store("APP_KEY", "first");
    a.store("OTHER", "first");
    sync_all(&[&a, &b]);
    assert!(told(&a, &["sync", "include"]).contains("every name travels"));
    let said = told(&a, &["sync", "include", "APP_*"]);
    assert!(said.contains("only names like these travel: 'APP_*'") && said.contains("OTHER"), "{said}");
    // Two machines say one each, before they hear of each other.
    sync_all(&[&a, &b]);
    apart(&store, || {
        told(&a, &["sync", "include", "WEB_*"]);
        told(&b, &["sync", "include", "API_*"]);
        told(&b, &["sync", "exclude", "APP_TEST_*"]);
    });
    for name in ["APP_NEW", "WEB_NEW", "API_NEW", "APP_TEST_NEW", "ANY_NEW"] {
        a.store(name, "value");
    }
    update(&a, "OTHER", "second");
    sync_all(&[&a, &b]);
    sync_all(&[&a, &b]);
    assert_eq!(told(&b, &["sync", "include"]), told(&a, &["sync", "include"]));
    assert_eq!(told(&a, &["sync", "include"]), "API_*\nAPP_*\nWEB_*\n");
    for (name, travels) in
        [("APP_NEW", true), ("WEB_NEW", true), ("API_NEW", true), ("APP_TEST_NEW", false), ("ANY_NEW", false)]
    {
        assert_eq!(has(&b, name), travels, "{name}");
    }
    assert_eq!(b.value("OTHER"), "first");
    told(&b, &["sync", "include", "--remove", "APP_*", "WEB_*", "API_*"]);
    sync_all(&[&b, &a]);
    assert!(has(&b, "ANY_NEW") && b.value("OTHER") == "second" && !has(&b, "APP_TEST_NEW"));
}

#[test]
fn of_one_name_here_and_there_the_newer_value_keeps_it_here_and_the_others_lose_nothing() {
    let (a, b, store) = two();
    set(&a, &["set", "--local", "URL"], "older-own");
    set(&a, &["set", "OTHER", "--local"], "own");
    next_second();
    b.store("URL", "newer-of-desktop");
    sync(&b);
    // Whatever meets the name says so: what is stored under it goes to all machines now.
    let lost = "URL was kept on this machine alone; the one of desktop has the name now";
    for arguments in [["sync"].as_slice(), &["sync", "status"]] {
        let said = told(&a, arguments);
        assert_eq!(said.matches(lost).count(), 1, "{arguments:?}: {said}");
    }
    Terminal::ctl(&a, &["list"]).wait_for("URL was kept on this machine alone");
    let said = set(&a, &["set", "URL"], "newer-of-desktop");
    assert!(said.contains(lost) && said.contains("goes to all machines"), "{said}");
    sync_all(&[&b, &a]);
    // The arriving one is newer: the other is in the trash, and stays there until somebody has looked.
    assert_eq!(a.value("URL"), "newer-of-desktop");
    let trash = a.get("/user/secrets/trash").expect(200)["secrets"].clone();
    assert_eq!((trash.as_array().unwrap().len(), &trash[0]["name"]), (1, &json!("URL")));
    assert_eq!(b.get("/user/secrets/trash").expect(200)["secrets"], json!([]));
    a.ctl(["rename", "URL", "URL_OF_ALL"]).expect(0);
    a.ctl(["restore", "URL"]).expect(0);
    assert_eq!(a.value("URL"), "older-own");
    for arguments in [["sync", "status"].as_slice(), &["list"]] {
        assert!(!told(&a, arguments).contains("has the name now"));
    }
    // The local one is newer: it stays, and the others keep theirs.
    let older = apart(&store, || {
        let older = b.store("OTHER", "older-of-desktop");
        next_second();
        update(&a, "OTHER", "newer-own");
        older
    });
    sync_all(&[&b, &a]);
    assert_eq!((a.value("OTHER"), b.value("OTHER")), ("newer-own".into(), "older-of-desktop".into()));
    let aside = a.get("/fleet").expect(200)["aside"].clone();
    assert_eq!(aside, json!([{ "id": older["id"], "name": "OTHER" }]));
    // It comes when there is room.
    a.ctl(["rename", "OTHER", "MINE"]).expect(0);
    sync_all(&[&b, &a]);
    assert_eq!((a.value("OTHER"), a.value("MINE")), ("older-of-desktop".into(), "newer-own".into()));
    assert!(!has(&b, "MINE"));
    // A guarded one does not make room for what is new.
    set(&a, &["set", "--local", "HELD"], "own");
    guard(&a, &id(&a, "HELD"));
    next_second();
    b.store("HELD", "newer-of-desktop");
    sync_all(&[&b, &a]);
    super::reveal(&a, "HELD").expect_error(403, "approval_required_error");
    a.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn a_guarded_secret_leaves_with_a_proof_alone() {
    let (a, b, _store) = two();
    set(&a, &["set", "--local", "KEY"], "canary-guarded");
    guard(&a, &id(&a, "KEY"));
    let local = format!("/user/secrets/{}/local", id(&a, "KEY"));
    let share = |more: Value| a.request("PUT", &local).json(&more).send();
    share(json!({ "local": false })).expect_error(403, "wrong_key_error");
    share(json!({ "local": false, "proof": { "passphrase": "wrong" } })).expect_error(403, "wrong_key_error");
    told(&a, &["sync", "exclude", "HELD_*"]);
    a.store("HELD_KEY", "canary-held");
    guard(&a, &id(&a, "HELD_KEY"));
    let lift = |proof: Value| {
        a.post(
            "/fleet/filter",
            &json!({ "list": "exclude", "glob": "HELD_*", "remove": true, "proof": proof }),
        )
    };
    lift(Value::Null).expect_error(403, "wrong_key_error");
    sync_all(&[&a, &b]);
    assert!(!has(&b, "KEY") && !has(&b, "HELD_KEY"));
    let proof = json!({ "passphrase": secretsd_tests::env::PASSPHRASE });
    share(json!({ "local": false, "proof": proof })).expect(200);
    lift(proof).expect(200);
    sync_all(&[&a, &b]);
    assert!(has(&b, "KEY") && has(&b, "HELD_KEY"));
    // Who may only write what is not guarded keeps nothing here that is.
    let own = json!({ "local": true });
    a.request("PUT", &local).json(&own).send().expect_error(403, "approval_required_error");
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let alone = Env::unlocked(programs!());
    alone.store("KEY", "value");
    for arguments in [["sync", "include", "A*"], ["sync", "exclude", "A*"]] {
        let output = alone.ctl(arguments).run();
        output.assert_code(4);
        assert!(output.err().contains("secretctl machine init"), "{}", output.err());
    }
    assert!(told(&alone, &["sync", "keep-local", "KEY"]).contains("KEY stays on this machine"));
    let (a, _b, store) = two();
    a.store("KEY", "value");
    for (arguments, code, says) in [
        (vec!["sync", "exclude", "[A"], 7, "a glob has only"),
        (vec!["sync", "include", "A-B"], 7, "a glob has only"),
        (vec!["sync", "exclude", "--remove", "A*"], 4, "sync status"),
        (vec!["sync", "include", "--remove"], 2, "GLOB"),
        (vec!["sync", "keep-local", "NONE"], 4, "no such secret: NONE"),
        (vec!["sync", "share", "NONE"], 4, "no such secret: NONE"),
        (vec!["sync", "keep-local", "K*"], 7, "not a glob"),
    ] {
        let output = a.ctl(&arguments).run();
        output.assert_code(code);
        assert!(output.err().contains(says), "{arguments:?}: {}", output.err());
    }
    assert!(told(&a, &["sync", "share", "KEY"]).contains("is not kept local"));
    // The longest that there are: they have to fit into what a machine that joins is told.
    for glob in (0..100).map(|number| format!("N{number:0>254}")) {
        a.post("/fleet/filter", &json!({ "list": "exclude", "glob": glob })).expect(200);
    }
    a.post("/fleet/filter", &json!({ "list": "include", "glob": "MORE" }))
        .expect_error(422, "limit_exceeded_error");
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    assert_eq!(c.get("/fleet").expect(200)["exclude"].as_array().unwrap().len(), 100);
    // Each key on paper has a copy of that: there is room for some, and then it is said and can be mended.
    let new = |name: String| a.post("/fleet/keys", &json!({ "name": name, "role": "paper" }));
    let made = (0..50).take_while(|number| new(format!("paper{number}")).status == 201).count();
    assert!(made >= 3, "{made}");
    let full = a.ctl(["machine", "invite", "--paper"]).run();
    full.assert_code(7);
    assert!(full.err().contains("secretctl machine remove NAME"), "{}", full.err());
    a.ctl(["machine", "remove", "paper0"]).expect(0);
    a.ctl(["machine", "invite", "--paper"]).expect(0);
    sync_all(&[&a, &c]);
    // A token that may not change the vault as a whole.
    let token = a.post("/tokens", &json!({ "name": "w", "scopes": ["list", "write"] })).expect(201);
    let path = format!("/user/secrets/{}/local", id(&a, "KEY"));
    let bound = a.anonymous("PUT", &path).bearer(token["token"].as_str().unwrap());
    bound.json(&json!({ "local": true })).send().expect_error(403, "forbidden_error");
    a.post("/vault/lock", &Value::Null).expect(200);
    for arguments in [["sync", "exclude", "A*"], ["sync", "keep-local", "KEY"]] {
        a.ctl(arguments).expect(3);
    }
}

#[test]
fn a_machine_that_comes_back_keeps_what_it_kept() {
    let (a, b, store) = two();
    b.store("URL", "first");
    b.store("LEFT", "first");
    sync_all(&[&a, &b]);
    told(&b, &["sync", "keep-local", "URL"]);
    update(&b, "URL", "own");
    told(&b, &["sync", "keep-local", "LEFT"]);
    purge(&b, "LEFT");
    set(&b, &["set", "--local", "ALONE"], "canary-alone");
    let backup = b.path("backup").to_str().unwrap().to_owned();
    b.ctl(["backup", &backup]).expect(0);
    // From a backup.
    let mut b = b;
    b.stop();
    let passphrase = b.private_file("passphrase", secretsd_tests::env::PASSPHRASE);
    b.ctl(["restore-vault", &backup, "--passphrase-file", passphrase.to_str().unwrap()]).expect(0);
    unlock(&b);
    sync_all(&[&b, &a]);
    assert_eq!((a.value("URL"), b.value("URL"), has(&a, "ALONE")), ("first".into(), "own".into(), false));
    // Removed, and invited again.
    a.ctl(["machine", "remove", "desktop"]).expect(0);
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    join(&a, &b, "desktop2", &store);
    update(&a, "URL", "second");
    sync_all(&[&b, &a]);
    assert_eq!((a.value("URL"), b.value("URL"), has(&a, "ALONE")), ("second".into(), "own".into(), false));
    assert!(has(&a, "LEFT") && !has(&b, "LEFT"));
    b.post("/vault/verify", &json!({})).expect(200);
    told(&b, &["sync", "share", "URL"]);
    sync_all(&[&b, &a]);
    assert_eq!(a.value("URL"), b.value("URL"));
    let conflicts = a.get("/fleet").expect(200)["conflicts"].clone();
    assert_eq!(conflicts.as_array().unwrap().len(), 1, "{conflicts}");
}

#[test]
fn who_removes_a_machine_is_told_what_that_had_and_nothing_else() {
    let (a, b, _store) = two();
    for name in ["BOTH", "RENAMED", "GONE", "TRASHED"] {
        b.store(name, "first");
    }
    sync_all(&[&b, &a]);
    set(&a, &["set", "--local", "ALONE"], "own");
    told(&a, &["sync", "exclude", "DEV_*"]);
    a.store("DEV_ALONE", "own");
    for name in ["RENAMED", "GONE"] {
        told(&a, &["sync", "keep-local", name]);
    }
    a.ctl(["rename", "RENAMED", "MINE"]).expect(0);
    purge(&a, "GONE");
    a.ctl(["rm", "TRASHED"]).expect(0);
    sync_all(&[&b, &a]);
    let names = a.ctl(["machine", "remove", "desktop"]).expect(0);
    assert_eq!(names, "BOTH\nGONE\nMINE\nRENAMED\nTRASHED\n");
}
