//! A machine that was removed and is let in again: it goes on as one that was away.

use serde_json::{Value, json};

use super::{has, id, join, sync, sync_all, two, update};
use secretsd_tests::Env;

pub(super) fn machine(env: &Env, name: &str) -> String {
    let fleet = env.get("/fleet").expect(200);
    let found = fleet["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).cloned();
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

fn purge(env: &Env, name: &str) {
    let path = format!("/user/secrets/{}?purge=true", id(env, name));
    assert_eq!(env.request("DELETE", &path).send().status, 204);
}

fn versions(env: &Env, name: &str) -> usize {
    let path = format!("/user/secrets/{}/versions", id(env, name));
    env.get(&path).expect(200)["versions"].as_array().unwrap().len()
}

#[test]
fn who_comes_back_goes_on_as_if_it_had_been_away() {
    let (a, mut b, store) = two();
    for name in ["KEPT", "CHANGED", "GONE", "EDITED", "BOTH", "PURGED", "BACK"] {
        a.store(name, "first");
    }
    sync_all(&[&a, &b]);
    a.request("DELETE", &format!("/fleet/machines/{}", machine(&a, "desktop"))).send().expect(200);
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    update(&a, "CHANGED", "by a");
    update(&a, "BOTH", "by a");
    purge(&a, "GONE");
    purge(&a, "BACK");
    update(&b, "EDITED", "by b");
    update(&b, "BOTH", "by b");
    update(&b, "BACK", "by b");
    purge(&b, "PURGED");
    b.store("NEW", "by b");
    sync(&a);
    join(&a, &b, "desktop-again", &store);
    sync_all(&[&a, &b]);
    // It is not said a second time after a restart either.
    b.stop();
    b.start();
    super::unlock(&b);
    sync_all(&[&b, &a]);
    for env in [&a, &b] {
        assert_eq!((env.value("KEPT"), versions(env, "KEPT")), ("first".into(), 1));
        assert_eq!((env.value("CHANGED"), versions(env, "CHANGED")), ("by a".into(), 2));
        assert_eq!((env.value("EDITED"), versions(env, "EDITED")), ("by b".into(), 2));
        assert_eq!((env.value("BACK"), env.value("NEW")), ("by b".into(), "by b".into()));
        assert!(!has(env, "GONE") && !has(env, "PURGED"));
        let conflicts = env.get("/fleet/conflicts").expect(200)["conflicts"].clone();
        assert_eq!((conflicts.as_array().unwrap().len(), &conflicts[0]["name"]), (1, &json!("BOTH")));
        assert_eq!(versions(env, "BOTH"), 3);
        env.post("/vault/verify", &json!({})).expect(200);
    }
    assert_eq!(a.value("BOTH"), b.value("BOTH"));
    // And from here on it is a machine as any other.
    update(&b, "KEPT", "second");
    sync_all(&[&b, &a]);
    assert_eq!(a.value("KEPT"), "second");
}

#[test]
fn what_does_not_travel_by_the_time_of_a_return_has_seen_nothing_of_what_others_stored_meanwhile() {
    let (a, b, store) = two();
    a.store("URL", "first");
    sync_all(&[&a, &b]);
    a.ctl(["machine", "remove", "desktop"]).expect(0);
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    update(&a, "URL", "by a");
    update(&b, "URL", "by b");
    sync(&a);
    a.ctl(["sync", "exclude", "URL"]).expect(0);
    join(&a, &b, "desktop-again", &store);
    sync_all(&[&a, &b]);
    assert_eq!((a.value("URL"), b.value("URL")), ("by a".into(), "by b".into()));
    a.ctl(["sync", "exclude", "--remove", "URL"]).expect(0);
    sync_all(&[&a, &b]);
    for env in [&a, &b] {
        let conflicts = env.get("/fleet/conflicts").expect(200)["conflicts"].clone();
        assert_eq!(conflicts.as_array().unwrap().len(), 1, "{conflicts}");
        assert_eq!(versions(env, "URL"), 3);
    }
    assert_eq!(a.value("URL"), b.value("URL"));
    b.post("/vault/verify", &json!({})).expect(200);
}
