//! Values that are lent for a moment: how often they were used is known, and what forbids their use waits for them.

use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::Request;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

/// How long a lease lasts.
const LASTS: Duration = Duration::from_millis(20);

/// How much later its count may come.
const RESPITE: Duration = Duration::from_millis(100);

/// A vault with a secret and a session for it.
struct World {
    env: Env,
    secret: String,
    session: Value,
}

fn world() -> World {
    let env = Env::unlocked(programs!());
    let secret = env.store("KEY", "a-value-that-is-lent")["id"].as_str().unwrap().to_owned();
    let world = World { session: Value::Null, env, secret };
    world.rules(&["api.example.com"]).expect(200);
    let session = world.begin(&world.env.token());
    World { session, ..world }
}

impl World {
    fn rules(&self, hosts: &[&str]) -> Answer {
        let rules: Vec<Value> = hosts.iter().map(|host| json!({ "host": host, "site": "bearer" })).collect();
        let path = format!("/user/secrets/{}/rules", self.secret);
        self.env.request("PUT", &path).json(&json!({ "rules": rules })).send()
    }

    fn begin(&self, token: &str) -> Value {
        let body = json!({ "secrets": ["KEY"], "purpose": "run" });
        self.env.anonymous("POST", "/use/sessions").bearer(token).json(&body).send().expect(201)
    }

    fn ask(&self, session: &Value, path: &str, body: &Value) -> Answer {
        let socket = self.env.runtime_dir().join("use.sock");
        let request = Request::new(&socket, "POST", &format!("/api/v1/use/{path}"));
        request.bearer(session["token"].as_str().unwrap()).json(body).send()
    }

    fn take(&self, session: &Value, lease: bool) -> Answer {
        let body = json!({
            "secret": "KEY", "method": "GET", "host": "api.example.com", "port": 443, "path": "/", "lease": lease
        });
        self.ask(session, "take", &body)
    }

    /// Takes the value with a lease, and gives the lease. The first use in a minute has none.
    fn lease(&self) -> Value {
        let lease = self.take(&self.session, true).expect(200)["lease"].clone();
        assert!(lease["milliseconds"].as_u64().is_some_and(|time| time <= 20), "{lease}");
        lease
    }

    fn give_back(&self, lease: &Value, uses: u64) {
        let body = json!({ "id": lease["id"], "uses": uses });
        assert_eq!(self.ask(&self.session, "returns", &body).status, 204);
    }

    /// Count and reason of the uses in the log.
    fn uses(&self) -> Vec<(u64, Option<String>)> {
        let log = self.env.get("/audit?limit=1000").expect(200);
        let uses = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use");
        uses.map(|entry| (entry["count"].as_u64().unwrap_or(1), entry["reason"].as_str().map(str::to_owned)))
            .collect()
    }
}

#[test]
fn uses_under_a_lease_are_counted_as_they_were() {
    let world = world();
    // The first in a minute is written by itself.
    assert_eq!(world.take(&world.session, true).expect(200).get("lease"), None);
    assert_eq!(world.take(&world.session, false).expect(200).get("lease"), None);
    let (first, second) = (world.lease(), world.lease());
    assert_ne!(first["id"], second["id"]);
    world.give_back(&first, 10);
    // A second time, or by another session, it is nothing that is known.
    world.give_back(&first, 10);
    let other = world.begin(&world.env.token());
    let body = json!({ "id": second["id"], "uses": 1_000 });
    assert_eq!(world.ask(&other, "returns", &body).status, 204);
    world.give_back(&second, 1);
    assert_eq!(world.uses(), [(1, None), (1 + 10 + 1, None)]);
    for (body, field) in [
        (json!({ "id": "no id", "uses": 1 }), "id"),
        (json!({ "id": first["id"], "uses": 0 }), "uses"),
        (json!({ "id": first["id"] }), "uses"),
    ] {
        let answer = world.ask(&world.session, "returns", &body);
        answer.expect_error(422, "validation_error");
        assert!(answer.text().contains(field), "{}", answer.text());
    }
}

#[test]
fn a_lease_whose_count_is_missing_counts_as_the_most_that_it_allowed() {
    let world = world();
    world.take(&world.session, false).expect(200);
    let lease = world.lease();
    // Asking for the log waits for it, as long as its count may come.
    let start = Instant::now();
    let uses = world.uses();
    assert!(start.elapsed() >= RESPITE, "{:?}", start.elapsed());
    let most = lease["uses"].as_u64().unwrap();
    assert_eq!(uses.len(), 2);
    assert_eq!(uses[1].0, most);
    assert!(uses[1].1.as_ref().is_some_and(|reason| reason.starts_with("at most")), "{uses:?}");
    // What comes later is not counted twice.
    world.give_back(&lease, 5);
    assert_eq!(world.uses(), uses);
}

#[test]
fn what_forbids_a_use_is_answered_when_its_leases_are_over() {
    let world = world();
    let path = format!("/user/secrets/{}", world.secret);
    let change = |method: &str, body: Value| {
        let answer = world.env.request(method, &path).json(&body).send();
        answer.expect(200);
    };
    let changes: [(&str, &dyn Fn()); 5] = [
        ("a rule", &|| drop(world.rules(&["api.example.com", "other.example.com"]).expect(200))),
        ("a value", &|| change("PUT", json!({ "value": "another-value-that-is-lent" }))),
        ("a name", &|| change("PATCH", json!({ "name": "KEY_2" }))),
        ("the name again", &|| change("PATCH", json!({ "name": "KEY" }))),
        ("a lock", &|| drop(world.env.post("/vault/lock", &Value::Null).expect(200))),
    ];
    for (what, change) in changes {
        if what != "the name again" {
            world.take(&world.session, false).expect(200);
            let before = Instant::now();
            world.lease();
            change();
            assert!(before.elapsed() >= LASTS, "{what} is answered while the value is lent");
            continue;
        }
        change();
    }
    world.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    // Another secret's changes wait for nobody, and nothing waits without a lease.
    world.take(&world.session, false).expect(200);
    let lease = world.lease();
    let other = world.env.store("OTHER", "another")["id"].as_str().unwrap().to_owned();
    assert_eq!(world.env.request("DELETE", &format!("/user/secrets/{other}")).send().status, 204);
    world.give_back(&lease, 1);
    // The session's end, by its maker or by itself.
    let before = Instant::now();
    world.lease();
    let id = world.session["id"].as_str().unwrap();
    assert_eq!(world.env.request("DELETE", &format!("/use/sessions/{id}")).send().status, 204);
    assert!(before.elapsed() >= LASTS, "the session ends while a value is lent");
    world.take(&world.session, true).expect_error(401, "authentication_error");
}

#[test]
fn who_has_a_rate_or_ends_soon_asks_each_time() {
    let world = world();
    let token = |name: &str, more: Value| {
        let mut body = json!({ "name": name, "scopes": ["use"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned()
    };
    for (name, more, has) in [
        ("free", json!({}), true),
        ("rated", json!({ "rate_per_minute": 1_000 }), false),
        ("short", json!({ "ttl_seconds": 2 }), false),
    ] {
        let session = world.begin(&token(name, more));
        world.take(&session, true).expect(200);
        assert_eq!(world.take(&session, true).expect(200).get("lease").is_some(), has, "{name}");
    }
}
