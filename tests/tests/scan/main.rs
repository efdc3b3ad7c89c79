//! `secretctl scan`: values in files, in git's index and history, in a stream; the hook; and what is not told.

mod checkout;
mod files;
mod git;
mod guarded;
mod hook;
mod nowhere;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::ctl::{Ctl, CtlOutput};
use secretsd_tests::harness::skip;
use secretsd_tests::{Env, process, programs};

/// Characters that are escaped in URLs and JSON, and such as base64 writes in two ways.
const VALUE: &str = "sk-canary/4711+xyz?~\"Q";

/// A value with spaces.
const PHRASE: &str = "tortoise barbecue umbrella";

/// A vault with values, and a directory to look through.
struct Tree {
    env: Env,
    dir: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let env = Env::unlocked(programs!());
        env.store("API_KEY", VALUE);
        env.store("PHRASE", PHRASE);
        let dir = env.private_dir("tree");
        Self { env, dir }
    }

    /// The same, as a repository of git; nothing if there is no git.
    fn repository(test: &str) -> Option<Self> {
        if !Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success()) {
            skip(test, "git is not installed");
            return None;
        }
        let tree = Self::new();
        tree.git(&["init", "--quiet", "--initial-branch=main", "."]);
        tree.git(&["config", "user.name", "Somebody"]);
        tree.git(&["config", "user.email", "somebody@example.org"]);
        Some(tree)
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn git_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command("git");
        command.args(arguments).current_dir(&self.dir).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let (_, output) = process::run(&mut self.git_command(arguments), b"");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn ctl(&self, arguments: &[&str]) -> Ctl {
        self.env.ctl(arguments).dir(&self.dir)
    }

    /// What is found, sorted; with this exit code, and no value anywhere.
    #[track_caller]
    fn scan(&self, arguments: &[&str], code: i32) -> Vec<String> {
        let words: Vec<&str> = std::iter::once("scan").chain(arguments.iter().copied()).collect();
        told(&self.ctl(&words).run(), code)
    }
}

/// The lines of an answer, sorted.
#[track_caller]
fn told(output: &CtlOutput, code: i32) -> Vec<String> {
    assert_eq!(output.code, Some(code), "{}{}", output.out(), output.err());
    tells_nothing(output);
    let mut lines: Vec<String> = output.out().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// No piece of a value that is longer than chance is in what was said.
#[track_caller]
fn tells_nothing(output: &CtlOutput) {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    for value in [VALUE, PHRASE] {
        for piece in value.as_bytes().windows(5) {
            assert!(!said.windows(5).any(|said| said == piece), "{}", String::from_utf8_lossy(&said));
        }
    }
    let is_steering = |byte: &u8| *byte < b' ' && *byte != b'\n' || *byte == 0x7f;
    assert!(!said.iter().any(is_steering), "{}", String::from_utf8_lossy(&said).escape_debug());
}
