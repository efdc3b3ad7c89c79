//! What the holder of a token that is bound to names can learn from how long its requests take: nothing of other names.
//!
//! Each operation is asked about names that exist and are hidden, and about names that do not exist, in pairs and in
//! random order, many times. The middle difference of the pairs and the share of pairs with the same sign decide, so that
//! what else runs on the machine does not. Each is tried with a seeded fault too, which must be found: without that, a
//! test that finds nothing says nothing.

use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// How many names there are under each beginning.
const NAMES: usize = 300;

/// How many pairs are measured.
const PAIRS: usize = 500;

/// The fault that is seeded: so long, and a tenth of what the request takes.
const FAULT: Duration = Duration::from_micros(40);

/// Of a seeded fault, the share that a middle difference must have to count.
const FOUND: f64 = 0.25;

/// A difference of this many standard deviations of a fair coin's is no chance.
const SURE: f64 = 4.0;

/// How often a difference is looked for: what is there is found each time.
const TRIES: usize = 3;

/// A vault with names that the token sees, `OWN_…`, and others, `HIDDEN_…`.
struct Bench {
    env: Env,
    admin: String,
}

impl Bench {
    fn new() -> Self {
        let mut env = Env::new(programs!());
        // A log line a request would be most of what is measured.
        let command = env.command(env.programs().daemon);
        env.start_as(command);
        env.init();
        let mut owner = Connection::open(&env);
        for number in 0..NAMES {
            for beginning in ["OWN", "HIDDEN"] {
                let body = json!({ "name": format!("{beginning}_{number:03}"), "value": "v" });
                owner.ask("POST", "/user/secrets", Some(&body)).expect(201);
            }
        }
        let admin = made(
            &env.post("/tokens", &json!({ "name": "admin", "scopes": ["admin", "list", "write", "reveal"] }))
                .expect(201),
        );
        Self { env, admin }
    }

    /// A connection with a token that sees `OWN_…`, made by the owner or by the holder of another token. With many globs,
    /// which take long to compare with a name that they do not match.
    fn bound(&self, by: &str, name: &str) -> Connection {
        let mut globs = vec!["OWN_*".to_owned()];
        globs.extend((0..63).map(|number| format!("*{}Q{number}", "[A-Z0-9_]*".repeat(20))));
        let request =
            json!({ "name": name, "scopes": ["admin", "list", "write", "reveal"], "secrets": globs });
        let answer = self.env.anonymous("POST", "/tokens").bearer(by).json(&request).send();
        Connection::with_token(&self.env, made(&answer.expect(201)))
    }

    fn ids(&self, beginning: &str) -> Vec<String> {
        let list = self.env.get(&format!("/user/secrets?name={beginning}_*")).expect(200);
        let secrets = list["secrets"].as_array().unwrap();
        secrets.iter().map(|secret| secret["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn made(answer: &Value) -> String {
    answer["token"].as_str().unwrap().to_owned()
}

/// The middle of the differences, in seconds, and how many standard deviations their signs are from chance.
fn difference(mut pairs: Vec<f64>) -> (f64, f64) {
    pairs.sort_by(f64::total_cmp);
    let larger = pairs.iter().filter(|difference| **difference > 0.0).count() as f64;
    let count = pairs.len() as f64;
    (pairs[pairs.len() / 2], (2.0 * larger - count) / count.sqrt())
}

/// What is asked: method, path, body, and the answer's status, for the n-th name of this beginning with this id.
type Operation = fn(&str, usize, &str) -> (&'static str, String, Option<Value>, u16);

/// Every operation in which a name, an id or a glob of the caller's is looked up.
const OPERATIONS: [(&str, Operation); 12] = [
    ("list by a glob", |of, _, _| ("GET", format!("/user/secrets?name={of}_*Q"), None, 200)),
    ("list by a name", |of, n, _| ("GET", format!("/user/secrets?name={of}_{n:03}"), None, 200)),
    ("reveal by a glob", |of, _, _| reveal(&[format!("{of}_?*?Q")])),
    ("reveal by many globs", |of, _, _| reveal(&(0..20).map(|n| format!("{of}_*?{n}Q")).collect::<Vec<_>>())),
    ("reveal by names", |of, n, _| {
        reveal(&(0..10).map(|m| format!("{of}_{:03}", (n + m) % NAMES)).collect::<Vec<_>>())
    }),
    ("reveal by an id", |_, _, id| reveal(&[id.to_owned()])),
    ("get", |_, _, id| ("GET", format!("/user/secrets/{id}"), None, 404)),
    ("delete", |_, _, id| ("DELETE", format!("/user/secrets/{id}"), None, 404)),
    ("versions", |_, _, id| ("GET", format!("/user/secrets/{id}/versions"), None, 404)),
    ("create, as an import does", |of, n, _| {
        (
            "POST",
            "/user/secrets".to_owned(),
            Some(json!({ "name": format!("{of}_{n:03}"), "value": "v" })),
            403,
        )
    }),
    ("a token for a name", |of, n, _| {
        let token = json!({ "name": "t", "scopes": ["list"], "secrets": [format!("{of}_{n:03}")] });
        ("POST", "/tokens".to_owned(), Some(token), 403)
    }),
    ("a unit's right to a name", |of, n, _| {
        let allow = json!({ "unit": "a.service", "secrets": [format!("{of}_{n:03}")] });
        ("POST", "/credentials".to_owned(), Some(allow), 403)
    }),
];

/// One of the caller's own secrets gets another name.
const RENAME: Operation = |of, n, id| {
    ("PATCH", format!("/user/secrets/{id}"), Some(json!({ "name": format!("{of}_{n:03}") })), 403)
};

/// Which ids are asked for.
enum Ids {
    /// These, whichever name is asked for.
    Same(Vec<String>),
    /// These with hidden names, and with absent ones some that nothing has.
    OfHidden(Vec<String>),
}

fn reveal(secrets: &[String]) -> (&'static str, String, Option<Value>, u16) {
    ("POST", "/user/secrets/reveal".to_owned(), Some(json!({ "secrets": secrets, "purpose": "test" })), 404)
}

/// Measures what is hidden against what is absent, with a fault of so long seeded into the first. `ids` are those of the
/// hidden names, and of the absent ones if they are to have any.
fn measure(connection: &mut Connection, operation: Operation, ids: &Ids, fault: Duration) -> (f64, f64) {
    let mut random = Random::new();
    let mut timed = |is_hidden: bool, number: usize, random: &mut Random| {
        let (of, fault) = if is_hidden { ("HIDDEN", fault) } else { ("ABSENT", Duration::ZERO) };
        let id = match ids {
            Ids::Same(ids) => ids[number].clone(),
            Ids::OfHidden(ids) if is_hidden => ids[number].clone(),
            Ids::OfHidden(_) => absent_id(random),
        };
        let (method, path, body, status) = operation(of, number, &id);
        let start = Instant::now();
        let answer = connection.ask(method, &path, body.as_ref());
        let asked = start.elapsed();
        while start.elapsed() < asked + fault {}
        let took = start.elapsed();
        assert_eq!(answer.status, status, "{method} {path}");
        took.as_secs_f64()
    };
    let pairs = (0..PAIRS).map(|number| {
        let number = number % NAMES;
        if random.below(2) == 0 {
            let hidden = timed(true, number, &mut random);
            hidden - timed(false, number, &mut random)
        } else {
            let absent = timed(false, number, &mut random);
            timed(true, number, &mut random) - absent
        }
    });
    difference(pairs.collect())
}

fn absent_id(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

/// Asks both ways, with a seeded fault and without.
fn check(connection: &mut Connection, what: &str, operation: Operation, ids: &Ids) {
    let mut look = |fault: Duration, count: f64| {
        let (middle, signs) = measure(connection, operation, ids, fault);
        (middle.abs() > count && signs.abs() > SURE, middle, signs)
    };
    let start = Instant::now();
    look(Duration::ZERO, 0.0);
    let fault = FAULT + start.elapsed() / u32::try_from(2 * PAIRS).unwrap() / 10;
    let count = fault.as_secs_f64() * FOUND;
    // On a machine that is busy with something else, not each time.
    assert!(
        (0..TRIES).any(|_| look(fault, count).0),
        "{what}: a seeded fault of {fault:?} is not found, so that nothing else would be"
    );
    let tries: Vec<_> =
        (0..TRIES).map(|_| look(Duration::ZERO, count)).take_while(|(found, ..)| *found).collect();
    assert!(
        tries.len() < TRIES,
        "{what}: a hidden name takes longer or shorter than an absent one (s, σ): {tries:?}"
    );
}

#[test]
fn a_hidden_name_takes_as_long_as_an_absent_one() {
    let bench = Bench::new();
    let (hidden, own) = (Ids::OfHidden(bench.ids("HIDDEN")), Ids::Same(bench.ids("OWN")));
    for (maker, by) in [("the owner", bench.env.token()), ("a token", bench.admin.clone())] {
        let mut connection = bench.bound(&by, maker);
        for (what, operation) in OPERATIONS {
            check(&mut connection, &format!("{what}, with a token made by {maker}"), operation, &hidden);
        }
        check(&mut connection, "rename", RENAME, &own);
    }
}
