//! Minutes of mixed load on 64 connections, with locks, unlocks and new data keys in between: every answer is the right
//! one, every answered write is there at the end, and memory, descriptors and the vault's log stay as they were. The
//! short form sees coarse leaks; `SOAK=1` (`make soak`) takes ten minutes and sees a few KiB in a thousand requests.

mod client;
mod gauges;
mod report;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::env::CHEAP_KDF;
use secretsd_tests::harness::{skip, soak};
use secretsd_tests::process::DEADLINE;
use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use client::{Client, Record};
use gauges::{Gauge, Gauges, trend};

const CLIENTS: usize = 64;

/// Secrets that nobody touches: more bytes than SQLite keeps of the file in memory, so that what it keeps is full from
/// the unlock on and does not look like a leak.
const FILLERS: usize = 48;

/// How long each part takes, and how long a client thinks between two requests, at most.
struct Plan {
    /// Rounds of a calm and a stormy part.
    rounds: usize,
    /// Without locks: a lock begins with an empty memory, which would hide a leak.
    calm: Duration,
    /// With locks, unlocks and rotations.
    storm: Duration,
    /// The audit log grows for as long as the load lasts, and each rotation seals all of it again.
    pause: Duration,
    /// Between two looks at the process.
    look: Duration,
}

impl Plan {
    fn new() -> Self {
        let seconds = Duration::from_secs;
        if soak() {
            let (pause, look) = (Duration::from_millis(80), seconds(2));
            return Self { rounds: 2, calm: seconds(250), storm: seconds(50), pause, look };
        }
        let (pause, look) = (Duration::ZERO, Duration::from_millis(100));
        Self { rounds: 1, calm: seconds(6), storm: seconds(4), pause, look }
    }
}

/// What all threads see.
struct World<'a> {
    env: &'a Env,
    plan: Plan,
    phase: Phase,
    over: AtomicBool,
    /// How many requests were answered.
    answered: AtomicU64,
    /// How many entries the audit log has got for them, denials apart.
    written: AtomicU64,
}

/// Counts the vault's states: 4n it is open, 4n+1 it is being locked, 4n+2 it is locked, 4n+3 it is being opened.
#[derive(Default)]
struct Phase(AtomicU64);

impl Phase {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether a phase with this remainder was between the two.
fn passed(since: u64, until: u64, remainder: u64) -> bool {
    (since..=until).any(|phase| phase % 4 == remainder)
}

impl World<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Ends the load when a thread fails, so that the others do not go on for minutes.
struct EndOnPanic<'a>(&'a AtomicBool);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn mixed_load_is_answered_rightly_and_leaves_nothing_behind() {
    let mut random = Random::new();
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nidle_seconds = 0\nmax_seconds = 0\n"));
    // As users run it, without the log at trace level that other tests have.
    let command = env.command(env.programs().daemon);
    env.start_as(command);
    let env = env;
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    env.post("/vault/init", &key).expect(201);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|at| Client::new(&env, at, random.fork())).collect();
    for at in 0..FILLERS {
        env.store(&format!("FILLER_{at}"), &"f".repeat(60_000));
    }
    // The image that goes on, not the one that made the vault, is the measure.
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &key).expect(200);
    // The first snapshot leaves one descriptor, which SQLite keeps for the next: closing it would drop the lock on the file.
    env.post("/vault/verify", &json!({})).expect(200);
    let before = Gauge::read(&env, 0, 0);
    if before.descriptors.is_none() {
        skip("descriptors under mixed load", "only root can see those of a process that is not dumpable");
    }
    let plan = Plan::new();
    let world = World {
        env: &env,
        plan,
        phase: Phase::default(),
        over: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        written: AtomicU64::new(0),
    };
    let mut gauges = Gauges::default();
    let start = Instant::now();
    thread::scope(|scope| {
        let world = &world;
        for client in &mut clients {
            scope.spawn(move || {
                let _end = EndOnPanic(&world.over);
                while !world.is_over() {
                    client.step(world);
                }
            });
        }
        let _end = EndOnPanic(&world.over);
        for _ in 0..world.plan.rounds {
            calm(world, &mut gauges);
            storm(world, &key, &mut random);
        }
        world.over.store(true, Ordering::Relaxed);
    });
    let took = start.elapsed();

    let mut record = Record { audit: [("create", (FILLERS as u64, 0))].into(), ..Record::default() };
    for client in clients {
        record.add(client.finish(&world));
    }
    check_the_vault(&world, &record);
    report::print(&record, &gauges, before, took);
    gauges.judge();
    let after = settled(&env, before);
    assert!(after.descriptors <= before.descriptors, "descriptors are left open: {before:?}, {after:?}");
    assert!(after.threads <= before.threads, "threads are left: {before:?}, {after:?}");
    let log = env.log();
    for word in ["panicked", "ERROR"] {
        assert!(!log.contains(word), "{log}");
    }
    let cut_off = log.contains("some requests did not finish in time");
    assert!(cut_off || record.silently_done == 0, "{} writes were done without a word", record.silently_done);
}

/// Load alone, watched.
fn calm(world: &World, gauges: &mut Gauges) {
    gauges.begin();
    let end = Instant::now() + world.plan.calm;
    while Instant::now() < end && !world.is_over() {
        thread::sleep(world.plan.look);
        let (answered, written) = (&world.answered, &world.written);
        gauges.add(Gauge::read(world.env, answered.load(Ordering::Relaxed), written.load(Ordering::Relaxed)));
    }
}

/// Locks, unlocks and rotates under the load.
fn storm(world: &World, key: &Value, random: &mut Random) {
    let pause = |random: &mut Random| thread::sleep(Duration::from_millis(50 + random.below(250)));
    let ask = |path: &str, body: &Value| Connection::open(world.env).ask("POST", path, Some(body));
    let (start, wrong) = (Instant::now(), json!({ "passphrase": "wrong" }));
    while start.elapsed() < world.plan.storm && !world.is_over() {
        if random.once_in(3) {
            ask("/vault/rotate", key).expect(200);
        }
        pause(random);
        world.phase.next();
        assert_eq!(ask("/vault/lock", &json!({})).expect(200)["state"], "locked");
        world.phase.next();
        pause(random);
        if random.once_in(3) {
            ask("/vault/unlock", &wrong).expect_error(403, "wrong_key_error");
        }
        world.phase.next();
        assert_eq!(ask("/vault/unlock", key).expect(200)["state"], "unlocked");
        world.phase.next();
        pause(random);
    }
}

/// Verifies all, and counts the audit log's entries against the answers.
fn check_the_vault(world: &World, record: &Record) {
    let mut owner = Connection::open(world.env);
    let listed = owner.ask("GET", "/user/secrets", None).expect(200);
    let secrets = record.live + FILLERS;
    assert_eq!(listed["total"], secrets, "what nobody stored is there");
    let verified = owner.ask("POST", "/vault/verify", Some(&json!({}))).expect(200);
    assert_eq!((&verified["secrets"], &verified["trashed"]), (&json!(secrets), &json!(record.trashed)));
    let mut found = std::collections::BTreeMap::<String, u64>::new();
    let (mut before, mut newest) = (String::new(), None);
    loop {
        let page = owner.ask("GET", &format!("/audit?limit=1000{before}"), None).expect(200);
        let entries = page["entries"].as_array().unwrap();
        newest = newest.or_else(|| entries.last().map(|entry| entry["sequence"].clone()));
        for entry in entries.iter().filter(|entry| entry["outcome"] == "ok") {
            *found.entry(entry["action"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        if page["more"] == false {
            break;
        }
        before = format!("&before={}", entries[0]["sequence"]);
    }
    assert!(verified["audit_entries"].as_u64() <= newest.unwrap().as_u64());
    for (action, (sure, unsure)) in &record.audit {
        let entries = found.get(*action).copied().unwrap_or(0);
        assert!(
            (*sure..=*sure + *unsure).contains(&entries),
            "{action}: {sure} answered and {unsure} not, but {entries} entries in the audit log"
        );
    }
}

/// The process once it has noticed that nobody is connected any more, or after the deadline.
fn settled(env: &Env, before: Gauge) -> Gauge {
    let end = Instant::now() + DEADLINE;
    loop {
        let now = Gauge::read(env, 0, 0);
        let is_back = now.descriptors <= before.descriptors && now.threads <= before.threads;
        if is_back || Instant::now() > end {
            return now;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_trend_is_told_from_noise() {
    let noise = |at: u64| (at * 7919) % 300;
    let flat: Vec<u64> = (0..100).map(|at| 10_000 + noise(at)).collect();
    let grows: Vec<u64> = (0..100).map(|at| 10_000 + noise(at) + 20 * at).collect();
    assert!(trend(&flat).abs() < 100, "{}", trend(&flat));
    assert!((900..1_100).contains(&trend(&grows)), "{}", trend(&grows));
    // What is only taken at the beginning is no trend.
    let starts: Vec<u64> = (0..100).map(|at| 10_000 + 50 * at.min(20)).collect();
    assert_eq!(trend(&starts), 0);
}

#[test]
fn a_phase_between_two_moments_is_found() {
    assert!(passed(0, 1, 1) && passed(1, 1, 1) && passed(0, 7, 1) && passed(2, 5, 1));
    assert!(!passed(0, 0, 1) && !passed(2, 4, 1));
}
