//! Starting the daemon under another program: one that watches it, fails its system calls, or takes something
//! away from it. And saying aloud that a test could not be run.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::env::Env;

/// The daemon's command behind these words. The other program must exec it, or let it be the direct child, so that the
/// process id is the daemon's.
pub fn behind(env: &Env, words: &[&str]) -> Command {
    let daemon = env.daemon_command();
    let mut command = env.command(words[0]);
    command.args(&words[1..]).arg(daemon.get_program()).args(daemon.get_args());
    command
}

/// The words for strace: the daemon stays the direct child (`-D`), and only the calls in question stop it.
pub fn strace<'a>(output: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["strace", "-D", "-f", "-q", "--seccomp-bpf", "-o", output];
    words.extend(options);
    words
}

/// Why strace cannot be used here, if so. The daemon is not dumpable, so that only root can look into it.
pub fn no_strace() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("tracing a process that is not dumpable needs root");
    }
    let runs = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs(&["strace", "-V"]) {
        return Some("strace is not installed");
    }
    (!runs(&["strace", "-D", "-f", "-q", "--seccomp-bpf", "-o", "/dev/null", "true"]))
        .then_some("strace may not trace here")
}

/// Says on the standard error that a test did nothing: past the test harness, which would keep it for itself.
pub fn skip(test: &str, reason: &str) {
    let line = format!("\n!!! SKIPPED {test}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// Whether none of the directories of `PATH` has one of these programs, said aloud.
pub fn lacks(test: &str, needed: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let missing = needed.iter().find(|name| !dirs.iter().any(|dir| dir.join(name).exists()));
    if let Some(name) = missing {
        skip(test, &format!("{name} is not installed"));
    }
    missing.is_some()
}

/// Whether the long form of the tests is asked for.
pub fn soak() -> bool {
    std::env::var_os("SOAK").is_some_and(|value| !value.is_empty() && value != "0")
}
