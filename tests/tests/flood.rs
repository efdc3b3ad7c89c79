//! Eight holders of narrow tokens who ask for all the work that they may, and the owner, who must not notice. `SOAK=1`
//! makes it 100,000 names.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::harness::soak;
use secretsd_tests::hostile::{self, Flood};
use secretsd_tests::http::Request;
use secretsd_tests::process;
use secretsd_tests::{Env, programs};
use serde_json::json;

use rustix::process::Signal;

/// What a lock may take, whatever others ask.
const LOCKED: Duration = Duration::from_millis(500);

/// How often each thing is tried: the middle one counts, since other programs run on the machine too.
const ROUNDS: usize = 5;

/// With so many names that the tokens see, and a key file to open the vault with.
fn vault(names: usize) -> (Env, PathBuf) {
    let mut env = Env::new(programs!());
    let command = env.command(env.programs().daemon);
    env.start_as(command);
    let key = env.private_file("key", [7; 32]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    thread::scope(|scope| {
        for part in 0..PARTS {
            let mut connection = Connection::open(&env);
            scope.spawn(move || {
                for number in (part..names).step_by(PARTS) {
                    let body = json!({ "name": format!("FLOODED_SECRET_{number:06}_API_KEY"), "value": "v" });
                    connection.ask("POST", "/user/secrets", Some(&body)).expect(201);
                }
            });
        }
    });
    env.store("OWN", "the owner's");
    (env, key)
}

/// How many connections fill the vault.
const PARTS: usize = 32;

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn eight_hostile_tokens_hold_up_neither_the_owner_nor_a_lock() {
    let (env, key) = vault(if soak() { 100_000 } else { 3_000 });
    let flood = Flood::start(&env.socket(), &hostile::tokens(&env, "FLOODED_*"), 12);
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let (mut lives, mut reveals, mut locks, mut signals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        flood.resumed(&env, &key);
        lives.push(timed(&|| {
            assert_eq!(Request::new(&env.socket(), "GET", "/healthz").send().status, 200);
        }));
        reveals.push(timed(&|| assert_eq!(env.value("OWN"), "the owner's")));
        locks.push(timed(&|| assert_eq!(env.post("/vault/lock", &json!({})).expect(200)["state"], "locked")));
        flood.resumed(&env, &key);
        signals.push(timed(&|| {
            process::signal(env.pid(), Signal::USR1);
            while env.state() != "locked" {}
        }));
    }
    let (live, reveal, lock, signal) = (middle(lives), middle(reveals), middle(locks), middle(signals));
    let line = format!("healthz {live:?}, reveal {reveal:?}, lock {lock:?}, SIGUSR1 {signal:?}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).ok();
    assert!(lock < LOCKED && signal < LOCKED, "{line}");
    assert!(live < LOCKED && reveal < 4 * LOCKED, "{line}");
}
