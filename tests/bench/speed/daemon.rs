//! A daemon with so many secrets in an open vault, as a user would run it, and the requests to it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secretsd_tests::hostile::{self, Flood};
use secretsd_tests::http::Answer;
use secretsd_tests::{Env, Programs};
use serde_json::{Value, json};

use crate::load::{self, Measured, Until};

/// A daemon, its vault's key file, and how many secrets it holds.
#[derive(Debug)]
pub struct Daemon {
    /// Its directory.
    pub env: Env,
    token: String,
    key: PathBuf,
    secrets: usize,
    /// Counts the names that were ever used.
    used: u64,
}

impl Daemon {
    /// With a new vault of so many secrets.
    pub fn with(programs: Programs, secrets: usize) -> Self {
        let mut env = Env::new(programs);
        // The settings that everybody gets: no log at trace level as in the tests.
        let command = env.command(programs.daemon);
        env.start_as(command);
        let key = env.private_file("key", [7; 32]);
        env.post("/vault/init", &json!({ "key_file": key })).expect(201);
        let token = env.token();
        let mut daemon = Self { env, token, key, secrets: 0, used: 0 };
        daemon.grow(secrets);
        daemon
    }

    /// Stores secrets until there are so many.
    pub fn grow(&mut self, secrets: usize) {
        let missing = secrets - self.secrets;
        let mut stored = 0;
        while stored < missing {
            // As many at once as the daemon puts into one commit.
            let connections = (missing - stored).min(64);
            let (token, from) = (self.token.clone(), self.used);
            let left = (missing - stored) / connections;
            let measured =
                checked(load::run(&self.socket(), connections, Until::Count(left), 201, move |n| {
                    create(&token, &name(from + n))
                }));
            assert_eq!(measured.answers(), left * connections);
            stored += left * connections;
            self.used += (left * connections) as u64;
        }
        self.secrets = secrets;
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.env.socket()
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> Vec<u8> {
        head(&self.token, "GET", path, "").into_bytes()
    }

    /// Load of one request, again and again.
    pub fn load(&self, connections: usize, duration: Duration, request: Vec<u8>) -> Measured {
        checked(load::run(&self.socket(), connections, Until::Time(duration), 200, move |_| request.clone()))
    }

    /// Load of new secrets, which stay.
    pub fn create(&mut self, connections: usize, duration: Duration) -> Measured {
        let (token, from) = (self.token.clone(), self.used);
        let measured =
            checked(load::run(&self.socket(), connections, Until::Time(duration), 201, move |n| {
                create(&token, &name(from + n))
            }));
        self.used += measured.answers() as u64;
        self.secrets += measured.answers();
        measured
    }

    /// A request like those of [`create`](Self::create).
    pub fn create_request(&self) -> Vec<u8> {
        create(&self.token, &name(0))
    }

    /// Load of new values for secrets that exist, a different one each time.
    pub fn update(&self, ids: &[String], connections: usize, duration: Duration) -> Measured {
        let token = self.token.clone();
        let ids = ids.to_vec();
        checked(load::run(&self.socket(), connections, Until::Time(duration), 200, move |n| {
            let id = &ids[n as usize % ids.len()];
            let body = json!({ "value": value(&format!("{n}")) }).to_string();
            (head(&token, "PUT", &format!("/user/secrets/{id}"), &body) + &body).into_bytes()
        }))
    }

    /// Load of reveals of one value each.
    pub fn reveal(&self, connections: usize, duration: Duration) -> Measured {
        self.load(connections, duration, self.reveal_request())
    }

    /// The same, each over a connection of its own.
    pub fn reveal_connecting(&self, duration: Duration) -> Measured {
        checked(load::connecting(&self.socket(), duration, 200, &self.reveal_request()))
    }

    /// How long one answer takes.
    pub fn once(&self, path: &str) -> Duration {
        let request = self.get(path);
        let measured = load::run(&self.socket(), 1, Until::Count(1), 200, move |_| request.clone());
        checked(measured).median()
    }

    /// So many reveals, each an entry of the audit log.
    pub fn log(&self, reveals: usize) {
        let (connections, request) = (16, self.reveal_request());
        let each = Until::Count(reveals.div_ceil(connections));
        checked(load::run(&self.socket(), connections, each, 200, move |_| request.clone()));
    }

    fn reveal_request(&self) -> Vec<u8> {
        let body = json!({ "secrets": [name(0)], "purpose": "bench" }).to_string();
        (head(&self.token, "POST", "/user/secrets/reveal", &body) + &body).into_bytes()
    }

    /// The ids of the first secrets, at most 100.
    pub fn ids(&self) -> Vec<String> {
        let list = self.env.get("/user/secrets").expect(200);
        let secrets = list["secrets"].as_array().unwrap();
        secrets.iter().take(100).map(|secret| secret["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Locks, and gives how long the unlock with the key file takes: no Argon2id in it.
    pub fn unlock(&self) -> Duration {
        self.env.post("/vault/lock", &json!({})).expect(200);
        let start = Instant::now();
        self.env.post("/vault/unlock", &json!({ "key_file": self.key })).expect(200);
        start.elapsed()
    }

    /// An operation on the vault as a whole, by the key file if it takes a key, and how long it takes.
    pub fn whole(&self, path: &str, takes_key: bool) -> Duration {
        let body = if takes_key { json!({ "key_file": self.key }) } else { json!({}) };
        let start = Instant::now();
        self.env.post(path, &body).expect(200);
        start.elapsed()
    }

    /// Size of the vault's file in bytes, when nothing is left in the log beside it.
    pub fn file(&self) -> u64 {
        self.unlock();
        fs::metadata(self.env.data_dir().join("vault.db")).unwrap().len()
    }

    /// The list through a token that is bound to these names.
    pub fn bound(&self, glob: &str) -> Vec<u8> {
        let asked = json!({ "name": "bound", "scopes": ["list"], "secrets": [glob] });
        let made = self.env.post("/tokens", &asked).expect(201);
        head(made["token"].as_str().unwrap(), "GET", "/user/secrets", "").into_bytes()
    }

    /// How long a lock takes while the holders of eight tokens, who see all the names, ask for all the work they may, and
    /// how long it takes alone: the middle of some rounds.
    pub fn lock_under_flood(&self) -> (Duration, Duration) {
        let lock = || {
            let start = Instant::now();
            self.env.post("/vault/lock", &json!({})).expect(200);
            start.elapsed()
        };
        let middle = |mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        let alone = (0..5).map(|_| {
            self.unlock();
            lock()
        });
        let alone = middle(alone.collect());
        self.env.post("/vault/unlock", &json!({ "key_file": self.key })).expect(200);
        let flood = Flood::start(&self.socket(), &hostile::tokens(&self.env, "BENCH_*"), 12);
        let flooded = (0..5).map(|_| {
            flood.resumed(&self.env, &self.key);
            lock()
        });
        (middle(flooded.collect()), alone)
    }

    /// A copy of the vault's file with everything in it; the daemon keeps its own to itself.
    pub fn copy(&self) -> PathBuf {
        self.env.post("/vault/lock", &json!({})).expect(200);
        let copy = self.env.path("copy.db");
        fs::copy(self.env.data_dir().join("vault.db"), &copy).unwrap();
        self.env.post("/vault/unlock", &json!({ "key_file": self.key })).expect(200);
        copy
    }

    /// The bytes that an answer carries.
    pub fn body(&self, path: &str) -> Vec<u8> {
        let answer: Answer = self.env.get(path);
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        field(&fs::read_to_string(format!("/proc/{}/status", self.env.pid())).unwrap(), "VmRSS:")
    }

    /// How often its threads have given up the processor to wait for something, in all.
    pub fn waits(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.env.pid())).unwrap();
        let waits = tasks.map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
            field(&status, "voluntary_ctxt_switches:")
        });
        waits.sum()
    }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn checked(measured: Measured) -> Measured {
    assert_eq!(measured.others, 0, "some answers had another status than the expected one");
    measured
}

/// The name of the n-th secret.
pub fn name(n: u64) -> String {
    format!("BENCH_SECRET_{n:06}_API_KEY")
}

fn value(unique: &str) -> String {
    format!("sk-bench-{unique}-0123456789abcdefghijklmnopqrstuvwxyz")
}

fn create(token: &str, name: &str) -> Vec<u8> {
    let body: Value = json!({ "name": name, "value": value(name), "provider": "openai" });
    let body = body.to_string();
    (head(token, "POST", "/user/secrets", &body) + &body).into_bytes()
}

fn head(token: &str, method: &str, path: &str, body: &str) -> String {
    let mut head =
        format!("{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
    if !body.is_empty() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    head + "\r\n"
}
