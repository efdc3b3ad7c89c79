//! Three machines on which everything is done at random, near and apart from each other: in the end all of them show the same.

use std::collections::BTreeSet;

use secretsd_tests::Env;
use secretsd_tests::connection::Connection;
use secretsd_tests::harness::soak;
use secretsd_tests::random::Random;
use serde_json::{Value, json};

use super::durable::quick;
use super::sizes::{is_same, is_settled, shown};
use super::{apart, join, sync_all};

const OPERATIONS: usize = 500;

/// What is done on one of the machines.
struct At<'a> {
    env: &'a Env,
    connection: Connection,
    /// What was purged here.
    purged: BTreeSet<String>,
}

impl At<'_> {
    fn ids(&mut self, path: &str) -> Vec<String> {
        let list = self.connection.ask("GET", path, None).expect(200);
        let all = list["secrets"].as_array().unwrap().iter();
        all.map(|secret| secret["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Does one thing; what cannot be done is refused with one of the errors that say so.
    fn act(&mut self, random: &mut Random, step: usize) {
        let name = format!("KEY_{}", random.below(60));
        // A mask shows what it begins with.
        let value = format!("{step:0>6}{}", "x".repeat(usize::try_from(random.below(3_000)).unwrap()));
        let kind = random.below(14);
        let list = if kind == 12 { "/user/secrets/trash" } else { "/user/secrets" };
        let ids = self.ids(list);
        if kind < 3 || ids.is_empty() {
            let new = json!({ "name": name, "value": value });
            return self.done("POST", "/user/secrets", Some(&new), &[201, 409]);
        }
        let id = &ids[usize::try_from(random.below(ids.len() as u64)).unwrap()];
        let path = format!("/user/secrets/{id}");
        let patch = |field: &str, text: &str| Some(json!({ field: text }));
        let (method, path, body) = match kind {
            3..=6 => ("PUT", path, patch("value", &value)),
            7 => ("PATCH", path, patch("name", &name)),
            8 => ("PATCH", path, patch("note", &format!("note of step {step}"))),
            9 => ("PATCH", path, patch("provider", &format!("provider-{step}"))),
            10 => ("DELETE", path, None),
            11 => ("DELETE", format!("{path}?purge=true"), None),
            12 => ("POST", format!("{path}/restore"), None),
            _ => {
                let versions = self.connection.ask("GET", &format!("{path}/versions"), None).expect(200);
                let last = versions["versions"].as_array().unwrap().last().unwrap()["version"].clone();
                ("POST", format!("{path}/rollback"), Some(json!({ "version": last })))
            }
        };
        if kind == 11 {
            self.purged.insert(id.clone());
        }
        self.done(method, &path, body.as_ref(), &[200, 204, 404, 409]);
    }

    #[track_caller]
    fn done(&mut self, method: &str, path: &str, body: Option<&Value>, may: &[u16]) {
        let answer = self.connection.ask(method, path, body);
        assert!(may.contains(&answer.status), "{method} {path}: {}", answer.status);
    }
}

/// What is in use, or beside that, is the same for each secret, and what it had before. That alone may differ in the oldest of more
/// than nine earlier values, and where a value that a purge had not seen was replaced before the purge came.
#[track_caller]
fn have_one_history(one: &Value, other: &Value, is_purged: impl Fn(usize) -> bool) {
    for (number, (one, other)) in one.as_array().unwrap().iter().zip(other.as_array().unwrap()).enumerate() {
        let parts = |history: &Value| -> [BTreeSet<String>; 2] {
            let is_earlier = |version: &&Value| version["current"] == false && version["beside"] != true;
            let (earlier, present): (Vec<_>, Vec<_>) =
                history.as_array().unwrap().iter().partition(is_earlier);
            [present, earlier].map(|versions| versions.into_iter().map(Value::to_string).collect())
        };
        let ([present, earlier], [their_present, their_earlier]) = (parts(one), parts(other));
        assert_eq!(present, their_present);
        let is_same = is_purged(number)
            || earlier == their_earlier
            || earlier.intersection(&their_earlier).count() >= 9;
        assert!(is_same, "{one} {other}");
    }
}

#[test]
fn after_500_random_operations_three_machines_show_the_same_lists_and_histories() {
    let mut random = Random::new();
    let (machines, keys): (Vec<Env>, Vec<Value>) = (0..3).map(|_| quick()).unzip();
    let store = machines[0].private_dir("store");
    machines[0].post("/fleet", &json!({ "name": "m0", "directory": &store })).expect(201);
    for joiner in 1..3 {
        join(&machines[0], &machines[joiner], &format!("m{joiner}"), &store);
    }
    let all: Vec<&Env> = machines.iter().collect();
    let mut at: Vec<At<'_>> = all
        .iter()
        .map(|env| At { env, connection: Connection::open(env), purged: BTreeSet::new() })
        .collect();
    let mut done = 0;
    let operations = OPERATIONS * if soak() { 10 } else { 1 };
    while done < operations {
        let count = usize::try_from(1 + random.below(20)).unwrap();
        let mut act = |random: &mut Random| {
            for step in done..done + count {
                let machine = usize::try_from(random.below(3)).unwrap();
                at[machine].act(random, step);
                if random.once_in(12) {
                    // It says and merges what there is, or cannot reach the directory.
                    at[machine].done("POST", "/fleet/merge", Some(&Value::Null), &[200, 502]);
                }
            }
        };
        match random.below(3) {
            0 => apart(&store, || act(&mut random)),
            1 => act(&mut random),
            _ => {
                // One of them hears nothing, and then all at once.
                let machine = usize::try_from(random.below(3)).unwrap();
                act(&mut random);
                all[machine].post("/vault/lock", &Value::Null).expect(200);
                all.iter()
                    .enumerate()
                    .filter(|(other, _)| *other != machine)
                    .for_each(|(_, env)| drop(super::sync(env)));
                all[machine].post("/vault/unlock", &keys[machine]).expect(200);
                at[machine].connection = Connection::open(at[machine].env);
            }
        }
        done += count;
    }
    // What the names that were given twice become is said, too.
    for _ in 0..3 {
        sync_all(&all);
    }
    let first = shown(all[0]);
    let purged: BTreeSet<_> = at.iter().flat_map(|at| &at.purged).map(String::as_str).collect();
    let listed = first[0].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap());
    let names: BTreeSet<_> = listed.clone().collect();
    assert!(names.len() == listed.count() && names.len() > 5, "{names:?}");
    for env in &all {
        let shown = shown(env);
        is_same(&json!([shown[0], shown[2]]), &json!([first[0], first[2]]));
        let is_purged = |number: usize| purged.contains(first[0][number]["id"].as_str().unwrap());
        have_one_history(&shown[1], &first[1], is_purged);
        is_settled(env);
        assert!(names.iter().all(|name| env.value(name) == all[0].value(name)));
        assert!(!env.log().contains("panicked"), "{}", env.log());
        let (theirs, ours) = (env.get("/fleet").expect(200), all[0].get("/fleet").expect(200));
        assert_eq!(
            theirs["conflicts"].as_array().unwrap().len(),
            ours["conflicts"].as_array().unwrap().len()
        );
    }
}
