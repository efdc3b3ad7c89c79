//! What each test has: a vault with one secret, a host that may have its value, and another that must not.

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::origin::{Odd, Origin, TestAuthority, command_with_names, no_names};
use secretsd_tests::{Env, canary, process, programs};

/// The secret's value.
pub const VALUE: &str = "sk-proj-canary-0123456789-abcdefghijklmnop";

/// The host's name.
pub const HOST: &str = "api.host.test";

/// The other's.
pub const EVIL: &str = "evil.test";

/// A vault, two hosts, and names for them.
pub struct World {
    pub env: Env,
    pub authority: TestAuthority,
    pub origin: Origin,
    pub evil: Origin,
}

impl World {
    /// With a host that speaks both versions of HTTP; says aloud if there can be none.
    pub fn new(test: &str) -> Option<Self> {
        Self::with(test, &["h2", "http/1.1"])
    }

    /// With a host that speaks these.
    pub fn with(test: &str, protocols: &[&str]) -> Option<Self> {
        if let Some(reason) = no_names() {
            skip(test, reason);
            return None;
        }
        let env = Env::unlocked(programs!());
        let authority = TestAuthority::new(&env.path(""));
        let origin = Origin::with(&authority, &[HOST], Odd::Not, protocols);
        let evil = Origin::start(&authority, &[EVIL]);
        env.store("KEY", VALUE);
        Some(Self { env, authority, origin, evil })
    }

    /// The host with its port, as a rule names it.
    pub fn host(&self) -> String {
        format!("{HOST}:{}", self.origin.port)
    }

    /// A URL of the host.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// A URL of the other.
    pub fn evil_url(&self, path: &str) -> String {
        format!("https://{EVIL}:{}{path}", self.evil.port)
    }

    /// Sets a rule of the secret, for a host on the loopback.
    pub fn rule(&self, arguments: &[&str]) {
        let mut all = vec!["proxy", "rule", "set", "KEY", "--private"];
        all.extend(arguments);
        self.env.ctl(all).expect(0);
    }

    /// `secretctl proxy run` with this command.
    pub fn run(&self, command: &[&str]) -> CtlOutput {
        self.run_with(&["-s", "KEY"], command)
    }

    /// `secretctl proxy run` with these arguments and this command.
    pub fn run_with(&self, arguments: &[&str], command: &[&str]) -> CtlOutput {
        let mut run = self.command_with(arguments, command);
        let (pid, output) = process::run(&mut run, b"");
        CtlOutput::of(pid, output)
    }

    /// The same, not run yet.
    pub fn command_with(&self, arguments: &[&str], command: &[&str]) -> std::process::Command {
        let mut words = vec![self.env.programs().client, "proxy", "run"];
        words.extend(arguments);
        words.push("--");
        words.extend(command);
        let mut command = command_with_names(&self.env, &self.authority.pem, &[HOST, EVIL], &words);
        // All that can be logged is, and must not hold the value either.
        command.env("SECRETSD_LOG", "trace");
        command
    }

    /// `secretctl proxy` with these words, where the host's name is known.
    pub fn proxy(&self, words: &[&str]) -> CtlOutput {
        let all: Vec<&str> =
            [self.env.programs().client, "proxy"].into_iter().chain(words.iter().copied()).collect();
        self.with_names(&all)
    }

    /// A command where the host's name is known.
    pub fn with_names(&self, words: &[&str]) -> CtlOutput {
        let mut command = command_with_names(&self.env, &self.authority.pem, &[HOST, EVIL], words);
        command.env("SECRETSD_LOG", "trace");
        let (pid, output) = process::run(&mut command, b"");
        CtlOutput::of(pid, output)
    }

    /// That the value is nowhere: not in what the program wrote, in no file, and not at the other host.
    #[track_caller]
    pub fn assert_nowhere(&self, output: &CtlOutput) {
        for written in [&output.stdout, &output.stderr] {
            assert_eq!(canary::find(written, VALUE), None, "{}", String::from_utf8_lossy(written));
        }
        canary::assert_absent(&self.env.path(""), &[VALUE]);
        for seen in self.evil.seen() {
            assert_eq!(canary::find(seen.whole().as_bytes(), VALUE), None, "{}", seen.line);
        }
    }
}
