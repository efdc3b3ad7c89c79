//! Many slow connections from many processes, and an honest client among them. `SOAK=1` makes it ten thousand.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::harness::{skip, soak};
use secretsd_tests::http::{Answer, raw};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, programs};
use serde_json::json;

/// Below what one process may have, so that a few more of its own do not matter.
const EACH: usize = 125;
/// A group leaves room for the honest client.
const PROCESSES: usize = 8;

/// A process with slow connections, which end with it.
struct Peer(Child);

impl Peer {
    fn start(env: &Env, kind: &str, count: usize) -> Self {
        let mut command = env.command(env!("CARGO_BIN_EXE_slow-peer"));
        command.arg(env.socket()).args([kind, &count.to_string()]);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// How many connections it has, and how many it was refused.
    fn settled(&mut self) -> (usize, usize) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (taken, refused) =
            line.trim().split_once(' ').unwrap_or_else(|| panic!("the peer says {line:?}"));
        (taken.parse().unwrap(), refused.parse().unwrap())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(process::wait(&mut self.0, DEADLINE).success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// In KiB.
fn resident(env: &Env) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", env.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The daemon's open files; who may not look into a process that is not dumpable does not know.
fn descriptors(env: &Env) -> Option<usize> {
    fs::read_dir(format!("/proc/{}/fd", env.pid())).ok().map(Iterator::count)
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// How long a client waits that asks on a connection it has, and on new ones.
fn latencies(env: &Env, connection: &mut Connection, how_long: Duration) -> Vec<Duration> {
    let (end, mut taken) = (Instant::now() + how_long, Vec::new());
    while Instant::now() < end || taken.len() < 200 {
        let start = Instant::now();
        connection.ask("GET", "/user/secrets", None).expect(200);
        taken.push(start.elapsed());
        let start = Instant::now();
        env.get("/vault").expect(200);
        taken.push(start.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    taken.sort();
    taken
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[test]
fn a_crowd_of_slow_peers_holds_nobody_up_and_leaves_nothing_behind() {
    let test = "a_crowd_of_slow_peers_holds_nobody_up_and_leaves_nothing_behind";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if limit.is_some_and(|limit| limit < 1_200) {
        return skip(test, "a process may not have 1,200 open files here");
    }
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let mut honest = Connection::open(&env);
    let alone = latencies(&env, &mut honest, Duration::from_millis(500));
    let (memory, files) = (resident(&env), descriptors(&env));
    if files.is_none() {
        skip(test, "the daemon's descriptors are not ours to count");
    }
    let (mut most, mut waits, mut connections) = (memory, Vec::new(), 0);
    let groups = if soak() { 10 } else { 1 };
    for _ in 0..groups {
        let kinds = ["header", "body", "owner", "idle"].into_iter().cycle().take(PROCESSES);
        let mut peers: Vec<Peer> = kinds.map(|kind| Peer::start(&env, kind, EACH)).collect();
        for peer in &mut peers {
            let (taken, refused) = peer.settled();
            assert_eq!((taken, refused), (EACH, 0));
            connections += taken;
        }
        waits.extend(latencies(&env, &mut honest, Duration::from_secs(3)));
        most = most.max(resident(&env));
        peers.into_iter().for_each(Peer::end);
        // One more may be the log's, which was laid out in the rest after the last write.
        wait_for("the connections' descriptors are still open", || {
            descriptors(&env) <= files.map(|files| files + 1)
        });
    }
    waits.sort();
    let (before, among) = (percentile(&alone, 99), percentile(&waits, 99));
    let line = format!(
        "\n{connections} slow connections, {} at once: p50 {:?}, p99 {among:?} (alone {before:?}), memory +{} KiB\n",
        EACH * PROCESSES,
        percentile(&waits, 50),
        most - memory
    );
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).ok();
    // On a machine that is busy with something else, waiting alone takes as long.
    assert!(among < Duration::from_millis(250).max(before * 4), "{line}");
    assert!(most - memory < 64 * 1024, "{line}");
}

#[test]
fn each_process_has_its_share_of_connections_and_all_together_have_theirs() {
    let env = Env::started(programs!());
    let mut peers: Vec<Peer> = (0..8).map(|_| Peer::start(&env, "idle", 128)).collect();
    // One connection after the other is taken, so that all of a process are counted before the next asks.
    let settled: Vec<_> = peers.iter_mut().map(Peer::settled).collect();
    assert_eq!(settled, [(128, 0); 8]);
    let refused = |answer: &[u8]| {
        let answer = Answer::parse(answer).expect("an answer");
        answer.expect_error(429, "rate_limit_error");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("connection"), Some("close"));
    };
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    refused(&raw(&env.socket(), request, DEADLINE));
    peers.pop().unwrap().end();
    wait_for("there is room again", || {
        Answer::parse(&raw(&env.socket(), request, DEADLINE)).is_some_and(|answer| answer.status == 200)
    });
    // A seat is taken when the daemon has accepted, in the order of connecting.
    let own: Vec<UnixStream> = (0..128).map(|_| UnixStream::connect(env.socket()).unwrap()).collect();
    refused(&raw(&env.socket(), request, DEADLINE));
    drop(own);
    wait_for("there is room again", || {
        Answer::parse(&raw(&env.socket(), request, DEADLINE)).is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn large_bodies_that_do_not_come_hold_up_nobody_else() {
    let env = Env::unlocked(programs!());
    let token = json!({ "name": "agent", "scopes": ["write"] });
    let token = env.post("/tokens", &token).expect(201)["token"].as_str().unwrap().to_owned();
    let begin = |token: &str| {
        let mut connection = Connection::with_token(&env, token.to_owned());
        connection.begin("POST", "/user/secrets", 20_000);
        connection
    };
    let owner = env.token();
    // Of one process by the owner's token, and of a token.
    let slow: Vec<Connection> =
        (0..40).map(|_| begin(&owner)).chain((0..40).map(|_| begin(&token))).collect();
    let start = Instant::now();
    env.ctl(["set", "LARGE"]).stdin("x".repeat(60_000)).expect(0);
    // Those that do not come end after 10 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(slow);
    assert_eq!(env.value("LARGE").len(), 60_000);
}
