//! What the kernel tells of a peer and of time in calls that have no safe form: asking a socket for its peer's pidfd
//! or its network namespace has none yet, and the one for the time since boot does not work under valgrind.
//!
//! Beside `memory` the one module of this crate where `unsafe` is allowed.
#![allow(unsafe_code, reason = "a descriptor from the kernel and a time; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

/// A handle on the process that connected this socket, which no later process with its id can be mistaken for. Fails with
/// `NOPROTOOPT` on kernels before 6.5.
pub(super) fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
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

/// Which network namespace a socket is in, as a number that no other namespace gets until the next boot. Fails with
/// `NOPROTOOPT` on kernels before 5.14.
pub fn network_of(socket: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut cookie: u64 = 0;
    let mut length: libc::socklen_t = u64::BITS / 8;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `cookie`; both live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::BADF));
    }
    Ok(cookie)
}

/// How long ago the system was started, its sleep included; zero if it does not tell. By the C library, since rustix finds
/// the kernel's own clock in a way that valgrind does not know.
pub fn since_boot() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let (seconds, rest) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), rest.unwrap_or(0))
}
