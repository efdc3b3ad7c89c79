//! `secretsd-bus` beside gnome-keyring, in turns: `secret-tool lookup` of one of 1,000 items, memory, and how often each wakes
//! up while nobody asks.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::harness::lacks;
use secretsd_tests::process::{resident, until};
use secretsd_tests::session_bus::SessionBus;
use secretsd_tests::{Env, Programs};

use crate::report::{columns, machine, median, time};

const ITEMS: usize = 1_000;
const ROUNDS: usize = 100;
const IDLE: Duration = Duration::from_secs(20);

/// The table; none where what is needed is not installed.
pub fn measure(programs: Programs) -> Option<String> {
    if lacks("bus", &["dbus-daemon", "secret-tool", "gnome-keyring-daemon", "dbus-send"]) {
        return None;
    }
    let own = Path::new(programs.daemon).with_file_name("secretsd-bus");
    let ours = Keyring::start(programs, |env| SessionBus::command(env, own.to_str().unwrap()), b"");
    let before = ours.wakes();
    thread::sleep(IDLE);
    let at_first = ours.wakes() - before;
    let theirs = Keyring::start(
        programs,
        |env| {
            let mut command = SessionBus::command(env, "gnome-keyring-daemon");
            command.args(["--unlock", "--foreground", "--components=secrets"]);
            command
        },
        b"password",
    );
    let both = [&ours, &theirs];
    both.iter().for_each(|keyring| keyring.fill());
    let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| both.map(Keyring::lookup)).collect();
    let middle = |at: usize| median(rounds.iter().map(|times| times[at]).collect());
    let ratio = median(rounds.iter().map(|[ours, theirs]| ours / theirs).collect());
    let memory = both.map(|keyring| resident(keyring.service.id()) as f64 / 1024.0 / 1024.0);
    let daemons = || wakes(ours.env.pid());
    let (before, daemons_before) = (both.map(Keyring::wakes), daemons());
    thread::sleep(IDLE);
    let (after, daemons_after) = (both.map(Keyring::wakes), daemons());
    let seconds = IDLE.as_secs();
    let head = ["what", "goal", "gnome-keyring", "secretsd-bus"].map(str::to_owned);
    let rows = [
        [
            format!("`secret-tool lookup` of one of {ITEMS} items, the middle of {ROUNDS}"),
            "≤ 1.2×".to_owned(),
            time(middle(1)),
            format!("{} ({ratio:.2}×)", time(middle(0))),
        ],
        [
            "memory after that".to_owned(),
            "≤ 8 MiB".to_owned(),
            format!("{:.1} MiB", memory[1]),
            format!("{:.1} MiB", memory[0]),
        ],
        [
            format!("wake-ups in {seconds} s before the first call"),
            "0".to_owned(),
            "–".to_owned(),
            at_first.to_string(),
        ],
        [
            format!("wake-ups in {seconds} s after the last call"),
            "0".to_owned(),
            (after[1] - before[1]).to_string(),
            (after[0] - before[0]).to_string(),
        ],
        [
            "the same of `secretsd`".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            (daemons_after - daemons_before).to_string(),
        ],
    ];
    Some(format!("{}\n\n{}", machine(), columns(&head, &rows)))
}

/// A Secret Service on a bus of its own.
struct Keyring {
    env: Env,
    bus: SessionBus,
    service: Child,
}

impl Keyring {
    fn start(programs: Programs, command: impl FnOnce(&Env) -> Command, input: &[u8]) -> Self {
        let env = Env::unlocked(programs);
        let bus = SessionBus::start(&env);
        let mut service = command(&env).stdin(Stdio::piped()).spawn().unwrap();
        service.stdin.take().unwrap().write_all(input).unwrap();
        let keyring = Self { env, bus, service };
        until("it has the name", || {
            let mut ask = keyring.command("dbus-send");
            ask.args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"]);
            ask.args(["org.freedesktop.DBus.GetNameOwner", "string:org.freedesktop.secrets"]);
            ask.status().unwrap().success()
        });
        keyring
    }

    fn command(&self, program: &str) -> Command {
        SessionBus::command(&self.env, program)
    }

    fn fill(&self) {
        let script = "i=0; while [ $i -lt \"$0\" ]; do printf value$i | secret-tool store --label=l$i n $i || exit 1; i=$((i+1)); done";
        let done = self.command("sh").args(["-c", script, &ITEMS.to_string()]).status().unwrap();
        assert!(done.success(), "not all items were stored");
    }

    fn lookup(&self) -> f64 {
        let mut lookup = self.command("secret-tool");
        lookup.args(["lookup", "n", "500"]).stdout(Stdio::piped());
        let start = Instant::now();
        let output = lookup.output().unwrap();
        let took = start.elapsed();
        assert_eq!(output.stdout, b"value500");
        took.as_secs_f64()
    }

    fn wakes(&self) -> u64 {
        wakes(self.service.id())
    }
}

/// How often all threads of a process have woken up.
fn wakes(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks.map(|task| of(task.unwrap())).sum()
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.service.kill().ok();
        self.service.wait().ok();
        self.bus.end();
    }
}
