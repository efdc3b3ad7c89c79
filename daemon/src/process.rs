//! Hardening of the process, before anything else runs: what it makes is private, nobody can read its memory or
//! have it dumped, and it holds no descriptor that it was not meant to have.
//!
//! The one module of this crate with `unsafe` code: closing every inherited descriptor has no safe form, and it is
//! sound only here, before anything in the process owns one.
#![allow(unsafe_code, reason = "close_range(2) has no safe wrapper; called before any descriptor is owned")]

use std::io::{self, Write};

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Why the process could not be made safe; the daemon must not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its memory would stay readable for other processes of the user.
    #[error("cannot make the process undumpable: {0}")]
    Dumpable(#[source] rustix::io::Errno),
    /// A crash would write secrets to a file.
    #[error("cannot turn core dumps off: {0}")]
    CoreLimit(#[source] rustix::io::Errno),
    /// A descriptor of the parent would stay open.
    #[error("cannot close inherited descriptors: {0}")]
    Descriptors(#[source] io::Error),
}

/// The first thing in `main`, again after every exec. Must run before any thread, file or socket exists.
pub(crate) fn harden() -> Result<(), Error> {
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Error::Dumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(Error::CoreLimit)?;
    let kept = handed_over(
        std::env::var("LISTEN_PID").ok().as_deref(),
        std::env::var("LISTEN_FDS").ok().as_deref(),
        std::process::id(),
    );
    close_from(FIRST_FD.saturating_add(kept)).map_err(Error::Descriptors)?;
    quiet_panics();
    Ok(())
}

/// Raises the limit of open files as far as it may go, and returns it.
pub(crate) fn raise_file_limit() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Where descriptors begin that are not stdin, stdout or stderr; systemd's come first.
const FIRST_FD: u32 = 3;

/// How many descriptors systemd handed to this very process. Read here and not from `Config`, because it decides
/// what may be closed before anything else happens.
fn handed_over(pid: Option<&str>, count: Option<&str>, own: u32) -> u32 {
    let meant = pid.and_then(|pid| pid.parse::<u32>().ok()) == Some(own);
    if !meant {
        return 0;
    }
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn close_from(first: u32) -> io::Result<()> {
    let (last, flags) = (libc::c_uint::MAX, 0_u32);
    // SAFETY: nothing in this process has opened a descriptor yet, so that none that is closed has an owner. The
    // system call takes three unsigned numbers and touches no memory of ours.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// A panic's message can hold anything; its place in the source cannot.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
        // Written directly: it must come out even if logging is what failed.
        let _ = writeln!(io::stderr(), "secretsd: internal error at {file}:{line}; please report it");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descriptors_meant_for_this_process_are_kept() {
        assert_eq!(handed_over(Some("7"), Some("2"), 7), 2);
        assert_eq!(handed_over(Some("8"), Some("2"), 7), 0);
        assert_eq!(handed_over(None, Some("2"), 7), 0);
        assert_eq!(handed_over(Some("7"), Some("-1"), 7), 0);
        assert_eq!(handed_over(Some("7"), None, 7), 0);
    }
}
