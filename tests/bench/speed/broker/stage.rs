//! All that takes part: a daemon with a secret and its rule, the host, a session of the broker with the program that asks,
//! and the others' proxies.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use secretsd_tests::origin::{command_with_names, no_names};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, Programs};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::driver::{DRIVE, Figure, Surroundings, Way, What};
use super::origin::{HOST, Origin, UNSEEN};
use super::peers::Peers;

/// The secret's value.
const VALUE: &str = "sk-proj-bench-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A way to the host.
#[derive(Debug)]
pub struct Candidate {
    /// How the table names it.
    pub name: &'static str,
    /// How it is asked.
    pub way: Way,
    /// Its processes, of which the first is the proxy.
    pub proxies: Vec<u32>,
}

/// All that takes part. What it started ends with it.
pub struct Stage {
    /// Straight there, through the tunnel, through the broker, and through the others' proxies.
    pub candidates: Vec<Candidate>,
    driver: RefCell<Driver>,
    _peers: Peers,
    origin: Origin,
    /// The daemon, and where everything lies.
    pub env: Env,
}

impl Stage {
    /// Sets everything up; or says why that cannot be.
    pub fn new(programs: Programs) -> Result<Self, &'static str> {
        if let Some(reason) = no_names() {
            return Err(reason);
        }
        if !broker(programs).exists() {
            return Err("secretsd-broker is not beside secretctl");
        }
        let mut env = Env::new(programs);
        let command = env.command(programs.daemon);
        env.start_as(command);
        let key = env.private_file("key", [7; 32]);
        env.post("/vault/init", &json!({ "key_file": key })).expect(201);
        env.store("KEY", VALUE);
        let origin = Origin::start(&env.path(""));
        let (host, unseen) = (format!("{HOST}:{}", origin.port), format!("{UNSEEN}:{}", origin.port));
        env.ctl(["proxy", "rule", "set", "KEY", "--private", "--host", &host]).expect(0);
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let words = [programs.client, "proxy", "run", "-s", "KEY", "--allow", &unseen, "--", own, DRIVE];
        let before = brokers(programs);
        let (driver, there) =
            Driver::start(command_with_names(&env, &origin.authority, &[HOST, UNSEEN], &words));
        let broker = brokers(programs).into_iter().find(|pid| !before.contains(pid));
        let proxies: Vec<u32> = broker.into_iter().chain([env.pid()]).collect();
        let authority = origin.authority.display().to_string();
        let way = |proxy: Option<&String>, host: &str, authorities: &str, bearer: &str| Way {
            proxy: proxy.cloned(),
            host: host.to_owned(),
            port: origin.port,
            authorities: authorities.to_owned(),
            bearer: Some(bearer.to_owned()),
        };
        let proxy = Some(&there.proxy);
        let mut candidates = vec![
            Candidate { name: "straight", way: way(None, HOST, &authority, VALUE), proxies: Vec::new() },
            Candidate {
                name: "blind tunnel",
                way: way(proxy, UNSEEN, &authority, VALUE),
                proxies: proxies.clone(),
            },
            Candidate {
                name: "secretsd-broker",
                way: way(proxy, HOST, &there.authorities, &there.placeholder),
                proxies,
            },
        ];
        let peers = Peers::start(&env, &origin, VALUE);
        candidates.extend(peers.running.iter().map(|peer| Candidate {
            name: peer.name,
            way: way(Some(&peer.proxy), HOST, &peer.authorities, &peer.placeholder),
            proxies: vec![peer.pid()],
        }));
        Ok(Self { candidates, driver: RefCell::new(driver), _peers: peers, origin, env })
    }

    /// Has it measured, with a value in the request or without; what cannot have one has none.
    pub fn ask(&self, candidate: &Candidate, with_value: bool, what: What) -> Option<Figure> {
        let mut way = candidate.way.clone();
        way.bearer = way.bearer.filter(|_| with_value);
        Some(self.driver.borrow_mut().ask(&way, what))
    }

    /// Everybody on one core.
    pub fn pin_all_to_one(&self) {
        self.pin("0", "0");
    }

    /// The proxies on one core, the host and who asks on another.
    pub fn pin_proxies_apart(&self) {
        self.pin("0", "1");
    }

    /// Everybody where the system puts them.
    pub fn pin_nobody(&self) {
        let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
        let all = format!("0-{last}");
        self.pin(&all, &all);
    }

    fn pin(&self, others: &str, proxies: &str) {
        let to = |core: &str, pid: u32| {
            let mut taskset = Command::new("taskset");
            taskset.args(["--all-tasks", "--cpu-list", "--pid", core, &pid.to_string()]);
            let done = taskset.stdout(Stdio::null()).status();
            if !done.is_ok_and(|status| status.success()) {
                eprintln!("process {pid} is not pinned to {core}");
            }
        };
        to(others, self.origin.pid());
        to(others, self.driver.borrow().child.id());
        for pid in self.candidates.iter().flat_map(|candidate| &candidate.proxies) {
            to(proxies, *pid);
        }
    }
}

/// The broker that is beside these programs.
pub fn broker(programs: Programs) -> PathBuf {
    Path::new(programs.client).with_file_name("secretsd-broker")
}

/// The processes of that program. Who runs it may not look into it, but sees by which path it was started.
fn brokers(programs: Programs) -> Vec<u32> {
    let path = broker(programs);
    let is_ours = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).next() == Some(path.as_os_str().as_encoded_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

/// The program that asks.
struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Driver {
    fn start(mut command: Command) -> (Self, Surroundings) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Self { child, input, output };
        let surroundings = driver.read();
        (driver, surroundings)
    }

    fn ask(&mut self, way: &Way, what: What) -> Figure {
        let order = serde_json::to_string(&(way, what)).unwrap();
        writeln!(self.input.as_mut().unwrap(), "{order}").unwrap();
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the program that asks has ended")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.input.take();
        process::wait(&mut self.child, DEADLINE);
    }
}
