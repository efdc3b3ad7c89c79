//! Descriptors of other programs: those that were left open for this process by accident, and what one stands for.
//!
//! Beside `memory` and `peer::calls` the one module of this crate where `unsafe` is allowed: the call has no safe form.
#![allow(unsafe_code, reason = "close_range; the block says why it is sound")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as it may go, and returns it.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}

/// `CLOSE_RANGE_CLOEXEC` of close_range(2), since Linux 5.11.
const CLOSE_ON_EXEC: u32 = 1 << 2;

/// Keeps every descriptor but the standard three from programs that this process executes from now on: one that a shell has
/// left open would stay open as long as the program lives.
///
/// # Errors
/// Where the kernel does not know the call.
pub fn pass_none_on() -> io::Result<()> {
    // SAFETY: the call takes three unsigned numbers and touches no memory; no descriptor is closed by it.
    if unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, CLOSE_ON_EXEC) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
/// Whether a descriptor stands for a process (pidfd_open(2)): `/proc/self/fdinfo` has its number (proc(5)), which is 0 for one
/// of a namespace that is none of ours, and -1 for one that has ended.
pub fn is_pidfd(descriptor: &OwnedFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()));
    info.is_ok_and(|info| info.lines().any(|line| line.starts_with("Pid:")))
}
