//! The credential helpers, asked by the programs that they are for, against servers on the loopback interface that demand
//! what they ask for.

mod ansible;
mod cargo;
mod docker;
mod keyring;
mod kube;
mod state;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};
use serde_json::json;

/// What must never be seen where it does not belong.
const TOKEN: &str = "canary-canary-canary";

/// The links under which other programs run the client.
const LINKS: [&str; 4] =
    ["docker-credential-secretctl", "cargo-credential-secretctl", "secretctl-vault-client", "keyring"];

/// A vault that is open, and the links first in PATH.
struct World {
    env: Env,
    bin: PathBuf,
}

impl World {
    fn new() -> Self {
        let env = Env::unlocked(programs!());
        let bin = env.private_dir("bin");
        for link in LINKS {
            symlink(env.programs().client, bin.join(link)).unwrap();
        }
        symlink(env.programs().client, bin.join("secretctl")).unwrap();
        Self { env, bin }
    }

    /// A command without a terminal that finds the links; it is ended where it takes minutes.
    fn command(&self, words: &[&str]) -> Command {
        let mut path = OsString::from(&self.bin);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = self.env.command("timeout");
        command.args(["120", "setsid", "--wait"]).args(words).env("PATH", path);
        command
    }

    /// Runs a program on this input.
    fn run(&self, words: &[&str], input: &str) -> CtlOutput {
        self.run_with(self.command(words), input)
    }

    fn run_with(&self, mut command: Command, input: &str) -> CtlOutput {
        let file = self.env.private_file("stdin", input);
        command.stdin(std::fs::File::open(file).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = child.id();
        CtlOutput::of(pid, child.wait_with_output().unwrap())
    }

    fn lock(&self) {
        self.env.post("/vault/lock", &json!({})).expect(200);
    }

    fn unlock(&self) {
        self.env.ctl(["unlock", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    }

    fn names(&self) -> Vec<String> {
        let list = self.env.get("/user/secrets").expect(200);
        list["secrets"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Stores a secret with a note.
    fn note(&self, name: &str, value: &str, note: &str) {
        self.env.ctl(["set", name, "--note", note, "--exact"]).stdin(value).expect(0);
    }

    /// Makes a secret one that has expired.
    fn expire(&self, name: &str) {
        let id = self.env.ctl(["show", name, "--json"]).run().json()["id"].as_str().unwrap().to_owned();
        let body = json!({"expires_at": "2020-01-01T00:00:00Z"});
        self.env.request("PATCH", &format!("/user/secrets/{id}")).json(&body).send().expect(200);
    }
}

/// Checks how it ended and that it shows no value.
#[track_caller]
fn assert_ends(output: &CtlOutput, succeeds: bool) {
    let (out, err) = (output.out(), output.err());
    assert_eq!(output.code == Some(0), succeeds, "{:?}\n{out}\n{err}", output.code);
    assert!(!out.contains("canary") && !err.contains("canary"), "{out}\n{err}");
}

/// A server that gives what it has to those who send this header. It ends with its test.
struct Server {
    child: Child,
    port: String,
}

impl Server {
    fn start(env: &Env, expected: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = env.command("python3");
        command.arg(repository().join("tests/tests/helpers/server.py"));
        command.env("EXPECTED", expected).envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().to_owned() }
    }

    /// For basic authentication.
    fn basic(env: &Env, user: &str, password: &str) -> Self {
        Self::start(env, &format!("Basic {}", base64(&format!("{user}:{password}"))), &[])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.as_bytes().chunks(3).flat_map(|bytes| {
        let bits =
            bytes.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        (0..4).map(move |at| {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            if at <= bytes.len() { char::from(digit) } else { '=' }
        })
    });
    digits.collect()
}

/// A program of the clients that `install.sh` fetches; says aloud if it is not there.
fn installed(test: &str, name: &str) -> Option<String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/helpers/bin").join(name);
    if program.exists() {
        return Some(program.to_str().unwrap().to_owned());
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not there: run tests/tests/clients/install.sh");
    skip(test, &format!("{name} is not there; run tests/tests/clients/install.sh"));
    None
}

/// Whether a program works; skips aloud if not.
fn has(test: &str, words: &[&str]) -> bool {
    let found = Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success());
    if !found {
        skip(test, &format!("{} does not work here", words.join(" ")));
    }
    found
}
