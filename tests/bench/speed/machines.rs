//! One vault on several machines by way of a store: what it asks of the store and how long it takes, beside `git push` and
//! `rclone sync` of as many files with as many bytes, which nothing makes smaller, as they would be encrypted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use secretsd_tests::harness::{lacks, skip};
use secretsd_tests::random::Random;
use secretsd_tests::stores::{Proxy, Server};
use secretsd_tests::{Env, Programs, process};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::report::{columns, machine, median, time};

const SECRETS: usize = 10_000;
const ROUNDS: usize = 200;
const CHANGES: usize = 15;

/// Bytes of a secret that is a file of its own: the bench's name, value and time as JSON, and what encrypting adds.
const FILE: usize = 300;

/// The table; none where what is needed is not installed.
pub fn measure(programs: Programs) -> Option<String> {
    let moto = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stores/bin/moto_server");
    if lacks("machines", &["git"]) {
        return None;
    }
    if !moto.exists() {
        skip("machines", "moto is not installed; run tests/tests/sync/install.sh");
        return None;
    }
    let server = Server::moto(&moto);
    let proxy = Proxy::before(server.port);
    let store = server.address(proxy.port);
    let fleet = Fleet { mover: Path::new(programs.daemon).with_file_name("secretctl-sync"), store };
    let a = Daemon::with(programs, SECRETS);
    let alone = Daemon::with(programs, SECRETS);
    fleet.mover(&a.env, &["begin", &fleet.store]);
    let request = json!({ "name": "a", "directory": exchange(&a.env) });
    let start = Instant::now();
    a.env.post("/fleet", &request).expect(201);
    let written = start.elapsed().as_secs_f64();
    proxy.take();
    let start = Instant::now();
    fleet.mover(&a.env, &[]);
    let pushed = start.elapsed().as_secs_f64();
    let requests = proxy.take();
    let bytes: usize = requests.iter().map(|seen| seen.body.len()).sum();
    let (git_bytes, git_time) = git(&a.env);
    // Two readers: the first comes to a vault of 10,000.
    let (b, c) = (Env::new(programs), Env::new(programs));
    let mut readers = [b, c];
    for (number, env) in readers.iter_mut().enumerate() {
        let command = env.command(programs.daemon);
        env.start_as(command);
        env.init();
        fleet.join(&a.env, env, &format!("reader-{number}"));
    }
    let [b, c] = &readers;
    assert_eq!(b.get("/user/secrets").expect(200)["total"], SECRETS);
    // 10,000 records that another machine has changed, merged at once.
    fleet.sync(&a.env);
    fleet.sync(b);
    let merged = fleet.merged(&a.env, b);
    // One change, until both readers have it.
    fleet.sync(c);
    let changes: Vec<f64> = (0..CHANGES)
        .map(|round| {
            let name = format!("CHANGE_{round}");
            let start = Instant::now();
            a.env.store(&name, "value");
            a.env.post("/fleet/merge", &Value::Null).expect(200);
            fleet.mover(&a.env, &[]);
            for env in [b, c] {
                fleet.mover(env, &[]);
                env.post("/fleet/merge", &Value::Null).expect(200);
            }
            let took = start.elapsed().as_secs_f64();
            assert_eq!((b.value(&name), c.value(&name)), ("value".into(), "value".into()));
            took
        })
        .collect();
    let ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let [with, without] = [&a.env, &alone.env].map(|env| {
                let start = Instant::now();
                env.store(&format!("SET_{round}"), "value");
                start.elapsed().as_secs_f64()
            });
            with / without
        })
        .collect();
    let head = ["what", "goal", "otherwise", "secretctl-sync"].map(str::to_owned);
    let row = |what: &str, goal: &str, otherwise: String, ours: String| {
        [what.to_owned(), goal.to_owned(), otherwise, ours]
    };
    let kinds = |kind: &str| requests.iter().filter(|seen| seen.kind() == kind).count();
    let megabytes = |bytes: usize| format!("{:.2} MB", bytes as f64 / 1e6);
    let rows = [
        row(
            &format!("first push of {SECRETS} secrets: bytes"),
            "≤ 1.1×",
            format!("git push: {}", megabytes(git_bytes)),
            format!("{} ({:.2}×)", megabytes(bytes), bytes as f64 / git_bytes as f64),
        ),
        row(
            "the same: requests",
            "1 list",
            format!(
                "{} (a file a secret)",
                rclone(&a.env).unwrap_or_else(|| "rclone is not installed".to_owned())
            ),
            format!("{} list, {} put", kinds("LIST"), kinds("PUT")),
        ),
        row(
            "the same: time",
            "–",
            format!("git push: {}", time(git_time)),
            format!("{} (writing the objects: {})", time(pushed), time(written)),
        ),
        row(&format!("merge of {SECRETS} records"), "≤ 0.5 s", "–".to_owned(), time(merged)),
        row(
            &format!("one change until two readers have it, the middle of {CHANGES}"),
            "≤ 0.5 s",
            "–".to_owned(),
            time(median(changes)),
        ),
        row(
            &format!("storing a secret on a machine of several, the middle of {ROUNDS}"),
            "≤ 1.15×",
            "alone: 1×".to_owned(),
            format!("{:.2}×", median(ratios)),
        ),
    ];
    Some(format!("{}\n\n{}", machine(), columns(&head, &rows)))
}

fn exchange(env: &Env) -> PathBuf {
    env.data_dir().join("exchange")
}

struct Fleet {
    mover: PathBuf,
    store: String,
}

impl Fleet {
    fn mover(&self, env: &Env, words: &[&str]) {
        let mut command = env.command(&self.mover);
        command.args(words).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
        let output = process::run(&mut command, b"").1;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn sync(&self, env: &Env) {
        env.post("/fleet/merge", &Value::Null).expect(200);
        self.mover(env, &[]);
        env.post("/fleet/merge", &Value::Null).expect(200);
        self.mover(env, &["--if-pending"]);
    }

    fn join(&self, inviter: &Env, joiner: &Env, name: &str) {
        self.mover(joiner, &["begin", &self.store]);
        let invitation = inviter.post("/fleet/invitations", &Value::Null).expect(201);
        let waiting = format!("/fleet/invitations/{}", invitation["id"].as_str().unwrap());
        self.mover(inviter, &[]);
        self.mover(joiner, &[]);
        let request = json!({ "code": invitation["code"], "name": name, "directory": exchange(joiner) });
        let joining = joiner.post("/fleet/join", &request).expect(201);
        self.mover(joiner, &[]);
        self.mover(inviter, &[]);
        inviter.get(&waiting).expect(200);
        self.mover(inviter, &[]);
        self.mover(joiner, &[]);
        let confirm = format!("/fleet/invitations/{}", joining["id"].as_str().unwrap());
        joiner.get(&confirm).expect(200);
        // Its yes; it is in once the other one has said yes, too.
        joiner.post(&confirm, &json!({ "accept": true })).expect(504);
        self.mover(joiner, &[]);
        self.mover(inviter, &[]);
        inviter.post(&waiting, &json!({ "accept": true })).expect(200);
        self.mover(inviter, &[]);
        self.mover(joiner, &[]);
        joiner.post(&confirm, &json!({ "accept": true })).expect(200);
        self.mover(joiner, &[]);
    }

    /// How long a merge of a change of every secret takes.
    fn merged(&self, writer: &Env, reader: &Env) -> f64 {
        let list = writer.get("/user/secrets").expect(200);
        let ids: Vec<&str> =
            list["secrets"].as_array().unwrap().iter().map(|secret| secret["id"].as_str().unwrap()).collect();
        for id in ids {
            let update = json!({ "value": "another value of a usual length" });
            writer.request("PUT", &format!("/user/secrets/{id}")).json(&update).send().expect(200);
        }
        self.sync(writer);
        self.mover(reader, &[]);
        let start = Instant::now();
        let merged = reader.post("/fleet/merge", &Value::Null).expect(200);
        let took = start.elapsed().as_secs_f64();
        assert_eq!(merged["merged"].as_array().unwrap().len(), SECRETS);
        took
    }
}

/// Files that nothing makes smaller, one a secret.
fn files(directory: &Path) {
    let mut random = Random::from_seed(7);
    fs::create_dir_all(directory).unwrap();
    for number in 0..SECRETS {
        let bytes: Vec<u8> =
            (0..FILE.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes()).take(FILE).collect();
        fs::write(directory.join(format!("secret-{number}.age")), bytes).unwrap();
    }
}

/// What `git push` of them sends, and how long it takes.
fn git(env: &Env) -> (usize, f64) {
    let (work, store) = (env.path("git"), env.path("git-store"));
    files(&work);
    let run = |words: &[&str]| {
        let mut command = env.command("git");
        command.current_dir(&work).args(["-c", "user.name=a", "-c", "user.email=a@b.invalid"]).args(words);
        let output = process::run(&mut command, b"").1;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["init", "--quiet", "--bare", store.to_str().unwrap()]);
    run(&["init", "--quiet"]);
    run(&["add", "."]);
    run(&["commit", "--quiet", "-m", "all"]);
    // What came is kept as the pack that was sent.
    run(&["-C", store.to_str().unwrap(), "config", "receive.unpackLimit", "1"]);
    let start = Instant::now();
    run(&["push", "--quiet", store.to_str().unwrap(), "HEAD:refs/heads/main"]);
    let took = start.elapsed().as_secs_f64();
    let packs = fs::read_dir(store.join("objects/pack")).unwrap().map(|entry| entry.unwrap());
    let packs = packs.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pack"));
    (packs.map(|entry| usize::try_from(entry.metadata().unwrap().len()).unwrap()).sum(), took)
}

/// How many requests `rclone sync` of them makes; none where it is not installed.
fn rclone(env: &Env) -> Option<String> {
    if lacks("machines", &["rclone"]) {
        return None;
    }
    let server = Server::rclone(env.private_dir("rclone"));
    let proxy = Proxy::before(server.port);
    let mut command: Command = env.command("rclone");
    let remote = format!(":webdav,url='http://127.0.0.1:{}':all", proxy.port);
    fs::remove_dir_all(env.path("git/.git")).unwrap();
    command.args(["sync", "--quiet", env.path("git").to_str().unwrap(), &remote]);
    let status = command.status().unwrap();
    assert!(status.success());
    Some(format!("rclone sync: {}", proxy.take().len()))
}
