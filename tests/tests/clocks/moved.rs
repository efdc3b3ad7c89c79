//! A daemon whose clocks the test moves.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use secretsd_tests::harness::skip;
use secretsd_tests::{Env, programs};

/// How far the clocks of the daemon are ahead, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ahead {
    pub(crate) wall: i64,
    /// The clock since boot, which counts sleep.
    pub(crate) boot: i64,
    /// The one that does not.
    pub(crate) awake: i64,
}

impl Ahead {
    /// After sleep of so many seconds.
    pub(crate) fn slept(seconds: i64) -> Self {
        Self { wall: seconds, boot: seconds, awake: 0 }
    }

    /// After so many seconds for which the machine ran.
    pub(crate) fn ran(seconds: i64) -> Self {
        Self { wall: seconds, boot: seconds, awake: seconds }
    }

    /// After only the wall clock was moved.
    pub(crate) fn wall(seconds: i64) -> Self {
        Self { wall: seconds, ..Self::default() }
    }
}

/// The library that moves clocks, compiled once.
fn library() -> Option<&'static PathBuf> {
    static LIBRARY: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let compiled = || {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("clock.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        cc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clocks/clock.c")).arg("-ldl");
        cc.status().is_ok_and(|status| status.success()).then_some((directory, library))
    };
    LIBRARY.get_or_init(compiled).as_ref().map(|(_, library)| library)
}

/// An environment in which daemons see moved clocks; `None`, said aloud, if no library can be made.
pub(crate) fn env(test: &str) -> Option<Env> {
    if library().is_none() {
        skip(test, "there is no C compiler");
        return None;
    }
    let env = Env::new(programs!());
    move_to(&env, Ahead::default());
    Some(env)
}

/// Moves the clocks, also of the daemon that runs.
pub(crate) fn move_to(env: &Env, ahead: Ahead) {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(env.path("ahead"));
    let content = [ahead.wall, ahead.boot, ahead.awake].map(i64::to_ne_bytes).concat();
    file.unwrap().write_all_at(&content, 0).unwrap();
}

/// A program that sees them.
pub(crate) fn seeing(env: &Env, mut command: Command) -> Command {
    command.env("LD_PRELOAD", library().unwrap()).env("CLOCK_FILE", env.path("ahead"));
    command
}

/// Starts a daemon that sees them.
pub(crate) fn start(env: &mut Env) {
    let command = seeing(env, env.daemon_command());
    env.start_as(command);
}
