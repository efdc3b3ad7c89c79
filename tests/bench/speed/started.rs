//! How soon a program that is started is done: `secretctl` beside `/bin/true`, what people use instead beside the same,
//! and the daemon from its start to its first answer.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, iter, thread};

use rustix::process::Signal;
use secretsd_tests::http::Request;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, Programs};

use crate::daemon::{Daemon, name};
use crate::peers::Peers;
use crate::report::{Report, Row, median, time};

const ROUNDS: usize = 60;

/// As between two commands that a person types: by then the daemon has tied up what the last one left.
const REST: Duration = Duration::from_millis(1_200);
const RESTED_ROUNDS: usize = 20;

/// Clients, peers, the daemon's start, sizes.
pub fn measure(programs: Programs, report: &mut Report) {
    let mut daemon = Daemon::with(programs, 100);
    let secret = name(0);
    let list = [programs.client, "list"];
    let run = [programs.client, "run", "-s", &secret, "--", "/bin/true"];
    // Two programs one after the other in a process, as with `run`, and nothing asked of anybody.
    let env = ["/usr/bin/env", "X=value", "/bin/true"];
    let ours = [
        Candidate::new("secretctl list of 100", Some(2.0), &list),
        Candidate::new("secretctl run -s X -- true", Some(2.9), &run),
        Candidate::new("env X=value true", None, &env),
    ];
    race(&daemon.env, &TRUE, &ours, ROUNDS, Duration::ZERO, report);
    let rested = [Candidate::new("secretctl run -s X -- true, after a rest", Some(3.2), &run)];
    race(&daemon.env, &TRUE, &rested, RESTED_ROUNDS, REST, report);
    // What a use cannot do without: two programs, and an entry of the audit log on the disk.
    let floor = Floor { words: &env, written: Some(daemon.env.private_file("block", [0; BLOCK])) };
    let beside = [Candidate::new("the same by env X=value true and a block on the disk", Some(1.15), &run)];
    race(&daemon.env, &floor, &beside, RESTED_ROUNDS, REST, report);
    daemon.grow(1_000);
    let long = [Candidate::new("secretctl list of 1,000", Some(4.0), &list)];
    race(&daemon.env, &TRUE, &long, ROUNDS, Duration::ZERO, report);
    // Apart from ours: they take long enough for the caches to be cold after them.
    let peers = Peers::start(&daemon.env);
    let others: Vec<Candidate> = peers
        .commands
        .iter()
        .map(|(what, words)| Candidate { what: (*what).to_owned(), goal: None, words: words.to_vec() })
        .collect();
    race(&daemon.env, &TRUE, &others, ROUNDS, Duration::ZERO, report);
    drop(peers);
    report.add(cold_start(programs));
    for (name, goal) in [("secretsd", 8.0), ("secretctl", 4.0), ("secretsd-broker", 6.0)] {
        let size = fs::metadata(Path::new(programs.daemon).with_file_name(name)).unwrap().len() as f64
            / 1024.0
            / 1024.0;
        report.add(Row {
            what: format!("size of {name}"),
            goal: format!("≤ {goal} MiB"),
            floor: "–".to_owned(),
            ours: format!("{size:.1} MiB"),
            ratio: None,
            margin: Some(goal / size),
        });
    }
}

/// A command that is started again and again.
struct Candidate {
    what: String,
    /// At most so many times the floor; none for others' programs.
    goal: Option<f64>,
    words: Vec<String>,
}

impl Candidate {
    fn new(what: &str, goal: Option<f64>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { what: what.to_owned(), goal, words }
    }
}

/// What the candidates are held against.
struct Floor<'a> {
    words: &'a [&'a str],
    /// A file of which a block is written to the disk first.
    written: Option<PathBuf>,
}

/// The program that does nothing.
const TRUE: Floor<'_> = Floor { words: &["/bin/true"], written: None };

/// The bytes of a block.
const BLOCK: usize = 4_096;

impl Floor<'_> {
    fn once(&self, env: &Env, nth: usize) -> Duration {
        let words: Vec<String> = self.words.iter().map(|word| (*word).to_owned()).collect();
        let file = self.written.as_ref().map(|path| fs::OpenOptions::new().write(true).open(path).unwrap());
        let start = Instant::now();
        if let Some(file) = file {
            file.write_all_at(&[nth as u8; BLOCK], 0).unwrap();
            file.sync_data().unwrap();
        }
        let wrote = start.elapsed();
        wrote + once(env, &words)
    }
}

/// Starts each in turns with the floor, so many times, each after this rest.
fn race(
    env: &Env,
    floor: &Floor<'_>,
    candidates: &[Candidate],
    rounds: usize,
    rest: Duration,
    report: &mut Report,
) {
    let rested = |start: &dyn Fn() -> Duration| {
        thread::sleep(rest);
        start().as_secs_f64()
    };
    let round = |nth| -> Vec<f64> {
        let ours = candidates.iter().map(|candidate| rested(&|| once(env, &candidate.words)));
        iter::once(rested(&|| floor.once(env, nth))).chain(ours).collect()
    };
    let rounds: Vec<Vec<f64>> = (0..rounds).map(round).collect();
    let middle = |at: usize| median(rounds.iter().map(|times| times[at]).collect());
    for (at, candidate) in (1..).zip(candidates) {
        let ratio = median(rounds.iter().map(|times| times[at] / times[0]).collect());
        report.add(Row {
            what: candidate.what.clone(),
            goal: candidate.goal.map_or("–".to_owned(), |goal| format!("≤ {goal}×")),
            floor: time(middle(0)),
            ours: time(middle(at)),
            ratio: Some(ratio),
            margin: candidate.goal.map(|goal| goal / ratio),
        });
    }
}

fn once(env: &Env, words: &[String]) -> Duration {
    let mut command = env.command(&words[0]);
    command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{words:?} fails: {status}");
    took
}

/// From a start on a socket that somebody else listens on, as systemd does it, to the first answer.
fn cold_start(programs: Programs) -> Row {
    let rounds: Vec<(f64, f64)> = (0..15).map(|_| cold_round(programs)).collect();
    let ours = median(rounds.iter().map(|(_, ours)| *ours).collect());
    Row {
        what: "cold start to first answer, socket handed over".to_owned(),
        goal: "≤ 30 ms".to_owned(),
        floor: time(median(rounds.iter().map(|(floor, _)| *floor).collect())),
        ours: time(ours),
        ratio: Some(median(rounds.iter().map(|(floor, ours)| ours / floor).collect())),
        margin: Some(0.030 / ours),
    }
}

fn cold_round(programs: Programs) -> (f64, f64) {
    let env = Env::new(programs);
    let floor = once(&env, &["/bin/true".to_owned()]);
    env.private_dir("run/secretsd");
    let listener = UnixListener::bind(env.socket()).unwrap();
    fs::set_permissions(env.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    // The shell gives the descriptor its number and is replaced by the daemon, whose process id it then has.
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" 3<&0 </dev/null";
    let mut command: Command = env.command("sh");
    command.args(["-c", script, programs.daemon]).stdin(OwnedFd::from(listener)).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let answer = Request::new(&env.socket(), "GET", "/healthz").send();
    let took = start.elapsed();
    assert_eq!(answer.status, 200);
    process::signal(child.id(), Signal::TERM);
    process::wait(&mut child, DEADLINE);
    (floor.as_secs_f64(), took.as_secs_f64())
}
