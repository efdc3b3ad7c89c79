//! What was answered survives SIGKILL at any moment: under load, while the vault is being opened, while it is being
//! made. `SOAK=1` (`make soak`) kills 300 times. A kill cannot show a missing fsync; `fsync.rs` can.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::harness::soak;
use secretsd_tests::ledger::{Ledger, Outcome, World};
use secretsd_tests::process::DEADLINE;
use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

const CLIENTS: usize = 4;
const NAMES: usize = 6;

/// `GET /audit` answers with 1,000 entries at most; beyond this a new vault is begun.
const AUDIT_FULL: u64 = 600;

/// A daemon with a vault that a key file opens, which needs no stretching.
fn started() -> (Env, Value) {
    let env = Env::started(programs!());
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    (env, key)
}

fn pause(random: &mut Random, most: u64) {
    // This waits for nothing: it only picks the moment of the kill.
    thread::sleep(Duration::from_micros(random.below(most)));
}

#[test]
fn no_answered_write_is_lost() {
    let mut random = Random::new();
    let mut kills = if soak() { 300 } else { 20 };
    while kills > 0 {
        let (mut env, key) = started();
        env.post("/vault/init", &key).expect(201);
        let mut ledgers: Vec<Ledger> =
            (0..CLIENTS).map(|client| Ledger::new(&format!("C{client}"), NAMES, random.fork())).collect();
        let mut audit_entries = 0;
        while kills > 0 && audit_entries < AUDIT_FULL {
            kills -= 1;
            kill_under_load(&mut env, &key, &mut ledgers, &mut random);
            env.start();
            if random.once_in(4) {
                kill_while_unlocking(&mut env, &key, &mut random);
                env.start();
            }
            env.post("/vault/unlock", &key).expect(200);
            let world = World::read(&mut Connection::open(&env));
            audit_entries = world.audit_entries;
            ledgers.iter_mut().for_each(|ledger| ledger.check(&world));
            for name in world.live.keys() {
                assert!(ledgers.iter().any(|ledger| ledger.knows(name)), "{name} comes from nowhere");
            }
        }
        assert!(!env.log().contains("panicked"), "{}", env.log());
    }
}

/// Lets every client write until the daemon is killed, some answers and a moment after the start.
fn kill_under_load(env: &mut Env, key: &Value, ledgers: &mut [Ledger], random: &mut Random) {
    let answers = 1 + random.below(30);
    let rotates = random.once_in(3);
    thread::scope(|scope| {
        let (answered, arrived) = mpsc::channel();
        for (client, ledger) in ledgers.iter_mut().enumerate() {
            let mut connection = Connection::open(env);
            let answered = answered.clone();
            scope.spawn(move || {
                loop {
                    if client == 0 && rotates && ledger.random().once_in(6) {
                        match connection.exchange("POST", "/vault/rotate", Some(key)) {
                            Ok(answer) => drop(answer.expect(200)),
                            Err(_) => return,
                        }
                    }
                    match ledger.step(&mut connection) {
                        Outcome::Done => answered.send(()).unwrap_or(()),
                        Outcome::Refused(answer) => panic!("refused: {}", answer.text()),
                        Outcome::Lost => return,
                    }
                }
            });
        }
        drop(answered);
        for _ in 0..answers {
            match arrived.recv_timeout(DEADLINE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => panic!("no answer within {DEADLINE:?}"),
                // A client failed; its panic tells why once the scope ends.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        pause(random, 4_000);
        env.kill();
    });
}

fn kill_while_unlocking(env: &mut Env, key: &Value, random: &mut Random) {
    let mut connection = Connection::open(env);
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok(answer) = connection.exchange("POST", "/vault/unlock", Some(key)) {
                answer.expect(200);
            }
        });
        pause(random, 20_000);
        env.kill();
    });
}

/// With reveals and writes going on, which are in the new vault if they were answered.
#[test]
fn a_rotation_leaves_the_vault_of_before_or_the_new_one() {
    let mut random = Random::new();
    let (mut env, key) = started();
    env.post("/vault/init", &key).expect(201);
    for number in 0..40 {
        env.store(&format!("S{number}"), &format!("value {number}"));
    }
    let start = Instant::now();
    env.post("/vault/rotate", &key).expect(200);
    let usual = u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut stored = Vec::new();
    for round in 0..if soak() { 100 } else { 10 } {
        let (mut rotating, mut writing) = (Connection::open(&env), Connection::open(&env));
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Ok(answer) = rotating.exchange("POST", "/vault/rotate", Some(&key)) {
                    answer.expect(200);
                }
            });
            let stored = &mut stored;
            scope.spawn(move || {
                for number in 0.. {
                    let name = format!("R{round}_{number}");
                    let new = json!({ "name": name, "value": name });
                    match writing.exchange("POST", "/user/secrets", Some(&new)) {
                        Ok(answer) => drop(answer.expect(201)),
                        Err(_) => return,
                    }
                    stored.push(name);
                }
            });
            pause(&mut random, usual + usual / 4);
            env.kill();
        });
        env.start();
        env.post("/vault/unlock", &key).expect(200);
        let known = ["vault.db", "vault.db-wal", "vault.lock", "ballast"];
        for entry in std::fs::read_dir(env.data_dir()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(&name.as_str()), "{name} is left");
        }
        assert_eq!(env.value("S39"), "value 39");
        for name in stored.iter().filter(|name| name.starts_with(&format!("R{round}_"))) {
            assert_eq!(env.value(name), *name);
        }
    }
    env.post("/vault/verify", &json!({})).expect(200);
    assert!(!env.log().contains("panicked"), "{}", env.log());
}

#[test]
fn a_vault_is_made_whole_or_not_at_all() {
    let mut random = Random::new();
    for _ in 0..if soak() { 60 } else { 8 } {
        let (mut env, key) = started();
        let mut connection = Connection::open(&env);
        let acknowledged = thread::scope(|scope| {
            let client = scope.spawn(|| connection.exchange("POST", "/vault/init", Some(&key)));
            pause(&mut random, 40_000);
            env.kill();
            client.join().unwrap().map(|answer| answer.expect(201)).is_ok()
        });
        env.start();
        match env.state().as_str() {
            "locked" => drop(env.post("/vault/unlock", &key).expect(200)),
            "uninitialized" if !acknowledged => drop(env.post("/vault/init", &key).expect(201)),
            state => panic!("answered: {acknowledged}, and after the restart the vault is {state}"),
        }
        env.store("A", "x");
        assert_eq!(env.value("A"), "x");
    }
}
