//! A bare proxy, and what others have that puts a value into requests, as far as it is installed by
//! `tests/bench/peers/install.sh`: each with its own authority, and the others told to put the same value in.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secretsd_tests::Env;
use secretsd_tests::origin::{command_with_names, nobody};
use secretsd_tests::process::DEADLINE;

use super::bare::BARE;
use super::origin::{HOST, Origin, UNSEEN};

/// What stands for the value in requests.
const PLACEHOLDER: &str = "ssdph-placeholder-of-the-bench";

/// A proxy that runs.
#[derive(Debug)]
pub struct Peer {
    /// How the table names it.
    pub name: &'static str,
    child: Child,
    /// Where it listens.
    pub proxy: String,
    /// The file with its authority.
    pub authorities: String,
    /// What stands for the value.
    pub placeholder: String,
}

impl Peer {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Those that run; they are ended when this is dropped.
pub struct Peers {
    /// In the order of the table.
    pub running: Vec<Peer>,
}

/// How a proxy is started: its program, its arguments, its port, and the file with its authority.
struct Start {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    port: String,
    authority: PathBuf,
}

impl Peers {
    /// Starts those that are installed. The others are named on the standard error.
    pub fn start(env: &Env, origin: &Origin, value: &str) -> Self {
        let mut peers = Self { running: Vec::new() };
        let port = || nobody().port().to_string();
        let starts = [
            bare(env, origin, port()),
            hudsucker(env, port()),
            mitmproxy(env, origin, port()),
            varlock(env, port(), value),
        ];
        for start in starts {
            if !start.program.exists() {
                eprintln!("not measured beside secretsd-broker: {} is not installed", start.name);
                continue;
            }
            let words: Vec<&str> = std::iter::once(start.program.to_str().unwrap())
                .chain(start.arguments.iter().map(String::as_str))
                .collect();
            let mut command = command_with_names(env, &origin.authority, &[HOST, UNSEEN], &words);
            command.env("PLACEHOLDER", PLACEHOLDER).env("VALUE", value);
            command.env("NODE_EXTRA_CA_CERTS", &origin.authority).env("VARLOCK_TELEMETRY_DISABLED", "1");
            match run(&mut command, &start) {
                Some(peer) => peers.running.push(peer),
                None => eprintln!("not measured beside secretsd-broker: {} does not start", start.name),
            }
        }
        peers
    }
}

fn run(command: &mut Command, start: &Start) -> Option<Peer> {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let peer = Peer {
        name: start.name,
        child,
        proxy: format!("127.0.0.1:{}", start.port),
        authorities: start.authority.display().to_string(),
        placeholder: PLACEHOLDER.to_owned(),
    };
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(&peer.proxy).is_err() || !start.authority.exists() {
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(peer)
}

fn installed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("peers").join(name)
}

fn bare(env: &Env, origin: &Origin, port: String) -> Start {
    let directory = env.private_dir("bare");
    let path = |path: &Path| path.display().to_string();
    Start {
        name: "bare proxy",
        program: std::env::current_exe().unwrap(),
        arguments: vec![BARE.to_owned(), port.clone(), path(&directory), path(&origin.authority)],
        port,
        authority: directory.join("test-ca.pem"),
    }
}

fn hudsucker(env: &Env, port: String) -> Start {
    let authority = env.path("hudsucker.pem");
    Start {
        name: "hudsucker",
        program: installed("hudsucker"),
        arguments: vec![port.clone(), authority.display().to_string()],
        port,
        authority,
    }
}

fn mitmproxy(env: &Env, origin: &Origin, port: String) -> Start {
    let directory = env.private_dir("mitmproxy");
    let addon = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/peers/mitmproxy.py");
    let arguments = [
        "--quiet".to_owned(),
        format!("--listen-port={port}"),
        format!("--set=confdir={}", directory.display()),
        format!("--set=ssl_verify_upstream_trusted_ca={}", origin.authority.display()),
        format!("--scripts={addon}"),
    ];
    Start {
        name: "mitmproxy",
        program: installed("mitmproxy/bin/mitmdump"),
        arguments: arguments.into(),
        port,
        authority: directory.join("mitmproxy-ca-cert.pem"),
    }
}

fn varlock(env: &Env, port: String, value: &str) -> Start {
    let directory = env.private_dir("varlock");
    let item = format!(
        "# @defaultSensitive=true\n# ---\n# @sensitive @placeholder=\"{PLACEHOLDER}\" @proxy(domain=\"{HOST}\")\nKEY={value}\n"
    );
    let schema = env.private_file("varlock/.env.schema", item);
    let arguments = [
        "proxy",
        "run",
        "--new",
        "--port",
        &port,
        "--cert-dir",
        directory.to_str().unwrap(),
        "--path",
        schema.to_str().unwrap(),
        "--",
        // It serves until this ends, which ends with it.
        "sh",
        "-c",
        "exec tail --pid=$PPID -f /dev/null",
    ];
    Start {
        name: "varlock",
        program: installed("varlock/node_modules/.bin/varlock"),
        arguments: arguments.map(str::to_owned).into(),
        port,
        authority: directory.join("ca-cert.pem"),
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for peer in &mut self.running {
            peer.child.kill().ok();
            peer.child.wait().ok();
        }
    }
}
