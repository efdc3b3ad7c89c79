//! The daemon as a process, as `/proc` shows it to everybody: it lets nobody look inside.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use secrets_local::lock::Noted;

use crate::environment;

/// How long another program may take to say something.
const PATIENCE: Duration = Duration::from_secs(2);

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) pid: u32,
}

impl Daemon {
    /// The one that has the vault, if it is a process that can be seen from here.
    pub(super) fn of(holder: &Noted) -> Option<Self> {
        Some(Self { pid: holder.pid()?.as_raw_nonzero().get().try_into().ok()? })
    }

    /// The program that it was started as, if by its path.
    pub(super) fn program(&self) -> Option<PathBuf> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let word = line.split(|byte| *byte == 0).next()?.to_vec();
        Some(PathBuf::from(OsString::from_vec(word))).filter(|path| path.is_absolute())
    }

    /// When it was started.
    pub(super) fn started(&self) -> Option<SystemTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // After the name, which may hold anything, comes the third field; the start is the 22nd, proc(5).
        let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        let hertz = rustix::param::clock_ticks_per_second();
        let since_boot = Duration::from_millis(ticks.saturating_mul(1_000) / hertz.max(1));
        let age = Duration::try_from_secs_f64(uptime).ok()?.saturating_sub(since_boot);
        SystemTime::now().checked_sub(age)
    }

    /// Whether a crash could write a core, by its limit.
    pub(super) fn may_dump(&self) -> Option<bool> {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.pid)).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"))?;
        Some(line.split_whitespace().next()? != "0")
    }

    /// Whether it is in another user namespace than we are.
    pub(super) fn is_confined(&self) -> bool {
        let map = |process: &str| fs::read_to_string(format!("/proc/{process}/uid_map")).ok();
        map(&self.pid.to_string()).is_some_and(|theirs| map("self") != Some(theirs))
    }

    /// Whether other processes of the user may look into its memory; unknown for root, who always may.
    pub(super) fn is_dumpable(&self) -> Option<bool> {
        let own = rustix::process::geteuid();
        // The kernel gives the files of a process that is not dumpable to root, though not their directory.
        let owner = fs::metadata(format!("/proc/{}/status", self.pid)).ok()?.uid();
        (!own.is_root()).then_some(owner == own.as_raw())
    }
}

/// What a program prints; none if it fails or takes too long.
pub(super) fn says(program: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment::for_child(false))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let end = Instant::now() + PATIENCE;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
    // The few lines that such a program says fit into the pipe.
    let output = child.wait_with_output().ok()?;
    let text = if output.status.success() { output.stdout } else { output.stderr };
    Some((output.status.success(), String::from_utf8_lossy(&text).trim().to_owned()))
}
