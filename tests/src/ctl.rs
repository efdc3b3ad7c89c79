//! Running `secretctl`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::env::Env;
use crate::process;

/// A run of `secretctl` that is being put together.
#[must_use]
pub struct Ctl {
    command: Command,
    input: Vec<u8>,
}

impl Env {
    /// `secretctl` with these arguments, without a terminal.
    pub fn ctl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ctl {
        // setsid takes the terminal away, and it execs, so that the process id is secretctl's.
        let mut command = self.command("setsid");
        command.arg(self.programs().client).args(arguments);
        Ctl { command, input: Vec::new() }
    }
}

impl Ctl {
    /// What comes on its standard input.
    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_vec();
        self
    }

    /// One more variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its working directory.
    pub fn dir(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> CtlOutput {
        let shown = format!("{:?}", self.command.get_args().skip(1).collect::<Vec<_>>());
        let (pid, output) = process::run(&mut self.command, &self.input);
        CtlOutput { shown, ..CtlOutput::of(pid, output) }
    }

    /// Runs it, expects this exit code, and gives its standard output as text.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        let output = self.run();
        output.assert_code(code);
        output.out()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct CtlOutput {
    shown: String,
    /// The process's id.
    pub pid: u32,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl CtlOutput {
    /// What came of a process.
    pub fn of(pid: u32, output: std::process::Output) -> Self {
        Self {
            shown: String::new(),
            pid,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8(self.stderr.clone()).unwrap()
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{}: {error}", self.shown))
    }

    /// Checks the exit code. A failure says why on standard error, and nothing on standard output.
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "secretctl {}: {}{}", self.shown, self.out(), self.err());
        if code != 0 && code < 100 {
            assert!(!self.stderr.is_empty(), "secretctl {} fails without a word", self.shown);
            assert!(self.stdout.is_empty(), "secretctl {} fails and prints {}", self.shown, self.out());
        }
    }
}
