//! Guarded items, and the limits on how long a program waits and how often it may lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::lacks;
use secretsd_tests::process::{self, DEADLINE, until};
use serde_json::{Value, json};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::stage::{Caller, LOGIN, SERVICE, Stage};

const IS_LOCKED: &str = "org.freedesktop.Secret.Error.IsLocked";

/// Stores an item that only a person gives away: the item, and a session.
fn guarded(stage: &Stage, caller: &Caller) -> (OwnedObjectPath, OwnedObjectPath) {
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"guarded-value", false).unwrap();
    stage.env.ctl(["guard", "--item", id(&item)]).expect(0);
    (item, session)
}

/// The first digits of an item's id.
fn id(item: &OwnedObjectPath) -> &str {
    &item.as_str().rsplit_once('/').unwrap().1[..8]
}

/// Does something while an approver answers the first ask so; and gives the ask as the approver saw it.
fn answered<T>(stage: &Stage, decision: &Value, work: impl FnOnce() -> T) -> (T, Value) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let approver = scope.spawn(|| {
            let mut after = 0;
            while !is_over.load(Ordering::Relaxed) {
                let found = stage.env.get(&format!("/approvals?wait=1&after={after}")).expect(200);
                let pending =
                    found["approvals"].as_array().unwrap().iter().find(|ask| ask["state"] == "pending");
                if let Some(ask) = pending
                    && !decision.is_null()
                {
                    let path = format!("/approvals/{}/decision", ask["id"].as_str().unwrap());
                    stage.env.post(&path, decision).expect(200);
                    return ask.clone();
                }
                after = found["changes"].as_u64().unwrap();
            }
            Value::Null
        });
        until("there is an approver", || stage.env.get("/approvals").expect(200)["approvers"] != 0);
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        (outcome, approver.join().unwrap())
    })
}

fn allow() -> Value {
    json!({ "decision": "allow", "scope": "once", "proof": { "passphrase": PASSPHRASE } })
}

fn unlock(caller: &Caller, item: &OwnedObjectPath) -> OwnedObjectPath {
    let (unlocked, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
        caller.call(SERVICE, "Service.Unlock", &vec![item]);
    assert!(unlocked.is_empty());
    prompt
}

#[test]
fn a_guarded_item_is_locked_until_a_person_allows_it() {
    if lacks("a_guarded_item_is_locked_until_a_person_allows_it", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let (item, session) = guarded(&stage, &caller);
    assert_eq!(caller.search(&[("s", "x")]), (Vec::new(), vec![item.clone()]));
    let property = ("org.freedesktop.Secret.Item", "Locked");
    let locked: OwnedVariant = caller.call(item.as_str(), "org.freedesktop.DBus.Properties.Get", &property);
    assert!(bool::try_from(locked).unwrap());
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), IS_LOCKED);
    let answer = caller.try_call(SERVICE, "Service.GetSecrets", &(vec![&item], &session)).unwrap();
    assert_eq!(answer.body().signature().to_string(), "a{o(oayays)}");
    assert!(!answer.body().data().bytes().windows(13).any(|window| window == b"guarded-value"));

    // Nobody is there.
    let start = Instant::now();
    assert!(caller.prompted(unlock(&caller, &item).as_str()).0);
    assert!(start.elapsed() < DEADLINE / 2);

    let (outcome, ask) = answered(&stage, &allow(), || caller.prompted(unlock(&caller, &item).as_str()));
    assert!(!outcome.0);
    assert_eq!(Vec::<OwnedObjectPath>::try_from(outcome.1).unwrap(), std::slice::from_ref(&item));
    assert_eq!(ask["client"]["pid"], std::process::id());
    assert_eq!(ask["client"]["token"], "items");
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"guarded-value");
    // It was allowed once.
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), IS_LOCKED);
}

#[test]
fn what_a_person_denies_stays_as_it_is() {
    if lacks("what_a_person_denies_stays_as_it_is", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let (item, session) = guarded(&stage, &caller);
    let deny = json!({ "decision": "deny" });
    let ((is_dismissed, result), _) =
        answered(&stage, &deny, || caller.prompted(unlock(&caller, &item).as_str()));
    assert!(is_dismissed || Vec::<OwnedObjectPath>::try_from(result).unwrap().is_empty());
    let refused = caller.value(&session, item.as_str()).unwrap_err();
    assert_eq!(refused, "org.freedesktop.DBus.Error.AccessDenied");
    let (is_dismissed, _) = answered(&stage, &deny, || {
        let prompt: OwnedObjectPath = caller.call(item.as_str(), "Item.Delete", &());
        caller.prompted(prompt.as_str())
    })
    .0;
    assert!(is_dismissed);
    let (is_dismissed, _) = answered(&stage, &Value::Null, || {
        let (made, prompt) = match caller.create(&session, &[("s", "x")], b"other", true) {
            Ok(made) => made,
            // Denied a moment ago.
            Err(name) => {
                assert_eq!(name, "org.freedesktop.DBus.Error.AccessDenied");
                return (true, OwnedVariant::from(true));
            }
        };
        assert_eq!(made.as_str(), "/");
        caller.prompted(prompt.as_str())
    })
    .0;
    assert!(is_dismissed);
    let listed = stage.env.ctl(["items", "history", id(&item)]).expect(0);
    assert_eq!(listed.lines().count(), 2, "a header and the first version: {listed}");
}

#[test]
fn a_program_that_waits_for_a_person_goes_on() {
    const TEST: &str = "a_program_that_waits_for_a_person_goes_on";
    if lacks(TEST, &["dbus-daemon", "secret-tool"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let (item, session) = guarded(&stage, &caller);
    let lookup = || {
        let mut command = stage.command("secret-tool");
        process::run(command.args(["lookup", "s", "x"]).stdout(std::process::Stdio::piped()), b"").1
    };
    let (found, ask) = answered(&stage, &allow(), lookup);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "guarded-value");
    // It lives for a moment, so what started it is what counts.
    assert_eq!(ask["client"]["chain"][0], "secret-tool");
    assert_eq!(ask["client"]["program"], json!(std::env::current_exe().unwrap()));
    let (found, _) = answered(&stage, &json!({ "decision": "deny" }), lookup);
    assert!(found.stdout.is_empty() && !found.status.success());

    // Replacing and deleting wait, too.
    let (outcome, ask) = answered(&stage, &allow(), || {
        let (_, prompt) = caller.create(&session, &[("s", "x")], b"second", true).unwrap();
        caller.prompted(prompt.as_str())
    });
    assert_eq!((outcome.0, &ask["right"]), (false, &json!("write")));
    assert_eq!(OwnedObjectPath::try_from(outcome.1).unwrap(), item);
    let (outcome, _) = answered(&stage, &allow(), || {
        let prompt: OwnedObjectPath = caller.call(item.as_str(), "Item.Delete", &());
        caller.prompted(prompt.as_str())
    });
    assert!(!outcome.0);
    assert_eq!(caller.search(&[("s", "x")]), (Vec::new(), Vec::new()));
}

#[test]
fn a_rule_lets_one_program_in_without_an_ask() {
    if lacks("a_rule_lets_one_program_in_without_an_ask", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let (item, session) = guarded(&stage, &caller);
    let listed: Value = stage.env.ctl(["items", "list", "--json"]).expect(0).parse().unwrap();
    let path = format!("/items/{}/rules", listed["items"][0]["id"].as_str().unwrap());
    let rule = |program: &std::path::Path, proof: &Value| {
        let client = json!({ "token": "items", "program": program });
        let rule = json!({ "effect": "allow", "rights": ["reveal"], "client": client, "proof": proof });
        stage.env.post(&path, &rule)
    };
    let own = std::env::current_exe().unwrap();
    let proof = json!({ "passphrase": PASSPHRASE });
    rule("/usr/bin/other".as_ref(), &proof).expect(201);
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), IS_LOCKED);
    rule(&own, &Value::Null).expect_error(403, "wrong_key_error");
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), IS_LOCKED);
    rule(&own, &proof).expect(201);
    assert_eq!(caller.search(&[("s", "x")]), (vec![item.clone()], Vec::new()));
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"guarded-value");
    // To read is not to write.
    let carried = (&session, Vec::<u8>::new(), b"other".to_vec(), "text/plain");
    assert_eq!(caller.try_call(item.as_str(), "Item.SetSecret", &(carried,)).unwrap_err(), IS_LOCKED);
    assert!(stage.env.ctl(["rules"]).expect(0).contains("item \"label\""));
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    if lacks("nobody_waits_longer_than_the_limit", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::with(&["--patience", "2"]);
    let caller = stage.caller();
    let (item, session) = guarded(&stage, &caller);
    let start = Instant::now();
    // An approver that is there and never answers.
    let (outcome, _) = answered(&stage, &Value::Null, || caller.prompted(unlock(&caller, &item).as_str()));
    assert!(outcome.0);
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), IS_LOCKED);
    let mut too_long = stage.command(env!("CARGO_BIN_EXE_secretsd-bus"));
    let refused = process::run(too_long.args(["--patience", "121"]), b"").1;
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_program_locks_the_vault_and_not_again_at_once() {
    if lacks("a_program_locks_the_vault_and_not_again_at_once", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let lock = || caller.try_call(SERVICE, "Service.Lock", &vec![zbus::ObjectPath::try_from(LOGIN).unwrap()]);
    let start = Instant::now();
    lock().unwrap();
    until("it is locked", || stage.env.state() == "locked");
    stage.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let again = lock();
    if start.elapsed() < Duration::from_secs(10) {
        assert_eq!(again.unwrap_err(), "org.freedesktop.DBus.Error.LimitsExceeded");
        assert_eq!(stage.env.state(), "unlocked");
    }
}
