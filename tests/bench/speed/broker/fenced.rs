//! What a fence takes: `proxy run --fence` beyond `run`, and bubblewrap by itself with the same arguments, in turns.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use secretsd_tests::Env;

use crate::report::{median, time};

/// So often everybody has a turn.
const ROUNDS: usize = 40;

/// A `bwrap` that writes down what it is told, and does it.
const NOTING: &str = "#!/bin/sh\ncat /proc/self/fd/$2 >\"$HOME/arguments\"\nexec /usr/bin/bwrap \"$@\"\n";

/// Seconds, the middle ones.
pub struct Fenced {
    /// `proxy run --fence -- true` beyond `run -- true`.
    pub ours: f64,
    /// `bwrap … true`.
    pub bubblewrap: f64,
}

/// Nothing where there can be no fence.
pub fn measure(env: &Env) -> Option<Fenced> {
    let project = env.private_dir("home/project");
    let arguments = arguments(env, &project)?;
    let timed = |mut command: Command| {
        command.current_dir(&project).stdin(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        assert!(command.status().unwrap().success(), "{command:?} fails");
        start.elapsed().as_secs_f64()
    };
    let ours = |words: &[&str]| {
        let mut command = env.command(env.programs().client);
        command.args(words).args(["-s", "KEY", "--", "/bin/true"]);
        command
    };
    let bubblewrap = || {
        let mut command = env.command("/usr/bin/bwrap");
        command.args(&arguments).arg("/bin/true");
        command
    };
    let rounds = (0..ROUNDS).map(|_| {
        let run = timed(ours(&["run"]));
        (timed(ours(&["proxy", "run", "--fence"])) - run, timed(bubblewrap()))
    });
    let (ours, bubblewrap) = rounds.unzip::<f64, f64, Vec<_>, Vec<_>>();
    Some(Fenced { ours: median(ours), bubblewrap: median(bubblewrap) })
}

impl Fenced {
    /// The cell of ours.
    pub fn cell(&self) -> String {
        format!("+ {} (bwrap alone: {})", time(self.ours), time(self.bubblewrap))
    }
}

/// What bubblewrap is told, without the filter of system calls, which comes by a descriptor.
fn arguments(env: &Env, project: &std::path::Path) -> Option<Vec<String>> {
    if !std::path::Path::new("/usr/bin/bwrap").exists() {
        return None;
    }
    let bin = env.private_dir("noting");
    let program = bin.join("bwrap");
    fs::write(&program, NOTING).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = env.command(env.programs().client);
    command.args(["proxy", "run", "--fence", "-s", "KEY", "--", "/bin/true"]).current_dir(project);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let works = command.env("PATH", path).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let text = fs::read_to_string(env.path("home/arguments")).ok().filter(|_| works)?;
    let mut words: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    let filter = words.iter().position(|word| word == "--seccomp")?;
    words.drain(filter..filter + 2);
    Some(words)
}
