//! Hardening of the process, before anything else runs: what it makes is private, nobody can read its memory or
//! have it dumped, and it holds no descriptor that it was not meant to have.
//!
//! Beside `memory` the one module of this crate with `unsafe` code: closing and adopting inherited descriptors has no
//! safe form, and is sound only at the start, before anything in the process owns them. Asking a socket for its peer's
//! pidfd has no safe form yet, and the one for the time since boot does not work under valgrind.
#![allow(
    unsafe_code,
    reason = "descriptors from before this image or from the kernel, and a signal's disposition; each block says why"
)]

use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::inherited;

/// Why the process could not be made safe; the daemon must not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its memory would stay readable for other processes of the user.
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
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Error::Dumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(Error::CoreLimit)?;
    // After a relaunch the file that was executed is called "exe".
    let _ = rustix::thread::set_name(c"secretsd");
    let own = std::process::id();
    let from_systemd = handed_over(
        std::env::var("LISTEN_PID").ok().as_deref(),
        std::env::var("LISTEN_FDS").ok().as_deref(),
        own,
    );
    let kept = inherited::kept(std::env::var(inherited::VARIABLE).ok().as_deref(), own);
    close_all_but(FIRST_FD.saturating_add(from_systemd), &kept).map_err(Error::Descriptors)?;
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

/// A handle on the process that connected this socket, which no later process with its id can be mistaken for. Fails with
/// `NOPROTOOPT` on kernels before 6.5.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut fd: libc::c_int = -1;
    let mut length: libc::socklen_t = libc::c_uint::BITS / 8;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `fd`; both live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut length,
        )
    };
    if result != 0 || fd < 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::BADF));
    }
    // SAFETY: the kernel has just made this descriptor, close-on-exec, for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How long ago the system was started, its sleep included; zero if it does not tell. By the C library, since rustix finds
/// the kernel's own clock in a way that valgrind does not know.
pub(crate) fn since_boot() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let (seconds, rest) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), rest.unwrap_or(0))
}

/// Ignores the signal that asks to lock, also in the image that comes next, until that handles it.
pub(crate) fn ignore_lock_signal() {
    // SAFETY: SIG_IGN is a valid disposition, and this process is about to replace its image.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
}

/// A panic's message can hold anything; its place in the source cannot.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
        // Written directly: it must come out even if logging is what failed.
        let _ = writeln!(io::stderr(), "secretsd: internal error at {file}:{line}; please report it");
    }));
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
