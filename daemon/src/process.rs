//! Hardening of the process, before anything else runs: what it makes is private, nobody can read its memory or
//! have it dumped, and it holds no descriptor that it was not meant to have.
//!
//! Beside `memory` the one module of this crate with `unsafe` code: closing and adopting inherited descriptors has no
//! safe form, and is sound only at the start, before anything in the process owns them.
#![allow(
    unsafe_code,
    reason = "descriptors from before this image, and a signal's disposition; each block says why"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use secrets_local::hardening;

use crate::inherited;

/// Why the process could not be made safe; the daemon must not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The memory of the daemon would stay readable for other processes of the user.
    #[error("cannot make the process undumpable: {0}")]
    Dumpable(#[source] Errno),
    /// A crash would write secrets to a file.
    #[error("cannot turn core dumps off: {0}")]
    CoreLimit(#[source] Errno),
    /// A descriptor of the parent would stay open.
    #[error("cannot close inherited descriptors: {0}")]
    Descriptors(#[source] io::Error),
}

/// The first thing in `main`, again after every exec. Must run before any thread, file or socket exists.
pub(crate) fn harden() -> Result<(), Error> {
    hardening::make_files_private();
    hardening::make_unreadable().map_err(Error::Dumpable)?;
    hardening::forbid_cores().map_err(Error::CoreLimit)?;
    // After a relaunch the file that was executed is called "exe".
    let _ = rustix::thread::set_name(c"secretsd");
    let own = std::process::id();
    let from_systemd = handed_over(
        std::env::var("LISTEN_PID").ok().as_deref(),
        std::env::var("LISTEN_FDS").ok().as_deref(),
        own,
    );
    ignore_file_size_signal();
    let kept = inherited::kept(std::env::var(inherited::VARIABLE).ok().as_deref(), own);
    close_all_but(FIRST_FD.saturating_add(from_systemd), &kept).map_err(Error::Descriptors)?;
    hardening::quiet_panics("secretsd");
    Ok(())
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

/// Closes every descriptor from `first` on but these, which must ascend.
fn close_all_but(first: u32, kept: &[RawFd]) -> io::Result<()> {
    let mut first = first;
    for kept in
        kept.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= first).collect::<Vec<_>>()
    {
        if kept > first {
            close_range(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_range(first, libc::c_uint::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: nothing in this process has opened a descriptor yet, so that none that is closed has an owner. The
    // system call takes three unsigned numbers and touches no memory of ours.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Takes a descriptor over that the image before left open for this one. `None` if it is not open. Each number at most
/// once, before anything else in this process opens descriptors.
pub(crate) fn adopt(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl with F_SETFD takes and touches no memory; on a number that is not open it fails.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and `harden` has left it open because the image before named it; nothing here owns it yet.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ignores the signal of a limit on the size of files: a write beyond it then fails as one to a full disk does.
fn ignore_file_size_signal() {
    // SAFETY: SIG_IGN is a valid disposition, and nothing here handles the signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Ignores the signal that asks to lock, also in the image that comes next, until that handles it.
pub(crate) fn ignore_lock_signal() {
    // SAFETY: SIG_IGN is a valid disposition, and this process is about to replace its image.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
}

/// Lets the signals that ask to stop end the process, as if nobody handled them.
pub(crate) fn unhandle_stop_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: SIG_DFL is a valid disposition for both.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
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
