//! The largest that the API takes, on several machines: it travels as everything does, in objects of the few sizes that there are.

use std::fs;
use std::path::Path;

use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use super::failures::names;
use super::{apart, id, join, sync_all, two, update};

/// How long the API lets names, values, notes and providers be, in bytes.
const NAME: usize = 255;
const VALUE: usize = 65_536;
const NOTE: usize = 1_000;
const PROVIDER: usize = 64;

/// A value of the greatest length. In JSON each of its bytes takes six.
fn largest(which: &str) -> String {
    format!("{which}{}", "\u{1}".repeat(VALUE - which.len()))
}

/// A name of the greatest length.
fn name(number: usize) -> String {
    format!("N{number:0>width$}", width = NAME - 1)
}

/// What each vault counts for itself: also since when it knows a secret, or has it in the trash.
const OF_ITS_OWN: [&str; 6] =
    ["version", "last_used_at", "created_at", "updated_at", "deleted_at", "purged_at"];

/// The list, the histories and the trash, without that.
pub(super) fn shown(env: &Env) -> Value {
    let of = |path: &str| {
        let mut secrets = env.get(path).expect(200)["secrets"].clone();
        let fields = secrets.as_array_mut().unwrap().iter_mut().map(|secret| secret.as_object_mut().unwrap());
        fields.for_each(|fields| fields.retain(|key, _| !OF_ITS_OWN.contains(&key.as_str())));
        secrets
    };
    let (all, mut trash) = (of("/user/secrets?view=full"), of("/user/secrets/trash"));
    trash.as_array_mut().unwrap().sort_by_key(|secret| secret["id"].to_string());
    let mut histories = Vec::new();
    for secret in all.as_array().unwrap() {
        let path = format!("/user/secrets/{}/versions", secret["id"].as_str().unwrap());
        let mut versions = env.get(&path).expect(200)["versions"].clone();
        let list = versions.as_array_mut().unwrap();
        list.iter_mut().for_each(|version| drop(version.as_object_mut().unwrap().remove("version")));
        list.sort_by_key(Value::to_string);
        histories.push(versions);
    }
    json!([all, histories, trash])
}

/// Two machines show the same; said by what they differ in, as all of it is long.
#[track_caller]
pub(super) fn is_same(one: &Value, other: &Value) {
    for (kind, (one, other)) in one.as_array().unwrap().iter().zip(other.as_array().unwrap()).enumerate() {
        let (one, other) = (one.as_array().unwrap(), other.as_array().unwrap());
        assert_eq!(one.len(), other.len(), "{kind}");
        one.iter().zip(other).for_each(|(one, other)| assert_eq!(one, other));
    }
}

/// All values of a secret that are kept, in order: each is made the present one, the oldest first, which is what then goes.
fn values(env: &Env, name: &str) -> Vec<String> {
    let path = format!("/user/secrets/{}", id(env, name));
    let versions = env.get(&format!("{path}/versions")).expect(200)["versions"].clone();
    let versions = versions.as_array().unwrap().iter().rev();
    let mut values: Vec<_> = versions
        .map(|version| {
            let version = json!({ "version": version["version"] });
            env.post(&format!("{path}/rollback"), &version).expect(200);
            env.value(name)
        })
        .collect();
    values.sort();
    values
}

/// Nothing is left over on this machine.
#[track_caller]
pub(super) fn is_settled(env: &Env) {
    let fleet = env.get("/fleet").expect(200);
    for count in ["waiting", "missing", "refused"] {
        assert_eq!(fleet[count], 0, "{count}: {fleet}");
    }
    env.post("/vault/verify", &json!({})).expect(200);
}

/// Every object has one of the sizes that there are.
#[track_caller]
fn has_few_sizes(store: &Path) {
    for name in names(store).into_iter().filter(|name| !name.starts_with('.')) {
        let size = fs::metadata(store.join(&name)).unwrap().len();
        let steps = [2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20, 2 << 20];
        let beside = if name.starts_with("i-") { 28 } else { 49 };
        assert!(steps.iter().any(|step| step + beside == size), "{name} has {size} bytes");
    }
}

#[test]
fn the_largest_secrets_with_all_their_values_are_on_all_machines() {
    let (a, b, store) = two();
    let (large, provider) = (name(0), "p".repeat(PROVIDER));
    // In JSON each of its bytes takes two.
    let note = "\"".repeat(NOTE);
    let new = json!({ "name": large, "value": largest("first"), "provider": provider });
    a.post("/user/secrets", &new).expect(201);
    let path = format!("/user/secrets/{}", id(&a, &large));
    a.request("PATCH", &path).json(&json!({ "note": note })).send().expect(200);
    let many: Vec<_> = (1..=300)
        .map(|number| json!({ "name": name(number), "value": "v", "provider": provider, "note": note }))
        .collect();
    a.post("/user/secrets/batch", &json!({ "secrets": many })).expect(200);
    a.store("GONE", &largest("gone"));
    for number in 0..5 {
        update(&a, &large, &largest(&format!("before {number}")));
    }
    sync_all(&[&a, &b]);
    is_same(&shown(&a), &shown(&b));
    // Two that are stored apart are both kept, beside all that came before.
    apart(&store, || {
        for number in 0..3 {
            update(&a, &large, &largest(&format!("by laptop {number}")));
            update(&b, &large, &largest(&format!("by desktop {number}")));
        }
    });
    sync_all(&[&a, &b]);
    // Now all that there is has to be in a snapshot.
    let purged = format!("/user/secrets/{}?purge=true", id(&b, "GONE"));
    assert_eq!(b.request("DELETE", &purged).send().status, 204);
    sync_all(&[&b, &a]);
    assert!(names(&store).iter().any(|name| name.starts_with("s-")), "{:?}", names(&store));
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    let all = [&a, &b, &c];
    sync_all(&all);
    let first = shown(&a);
    assert_eq!(first[0].as_array().unwrap().len(), 301);
    for env in all {
        is_same(&shown(env), &first);
        assert_eq!(env.get("/fleet").expect(200)["conflicts"].as_array().unwrap().len(), 1);
        is_settled(env);
    }
    // Who stores it again has seen both: no conflict is left, and of what was before the newest.
    update(&c, &large, &largest("settled"));
    sync_all(&[&c, &a, &b]);
    for env in all {
        is_same(&shown(env), &shown(&a));
        is_settled(env);
    }
    has_few_sizes(&store);
    // No byte of a value is another one: each machine shows all of them, which is what they say apart from each other.
    let kept = apart(&store, || all.map(|env| values(env, &large)));
    assert_eq!(kept[0].len(), 10);
    assert!(kept[0].iter().all(|value| value.len() == VALUE));
    assert!(kept[0].contains(&largest("by laptop 2")) && kept[0].contains(&largest("by desktop 2")));
    assert!(kept[0] == kept[1] && kept[0] == kept[2]);
    // A value that is longer by one byte is refused where it is stored.
    let longer = json!({ "value": format!("{}x", largest("longer")) });
    a.request("PUT", &path).json(&longer).send().expect_error(422, "validation_error");
}
