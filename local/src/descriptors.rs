//! Descriptors of other programs: those that were left open for this process by accident.
//!
//! Beside `memory` and `peer::calls` the one module of this crate where `unsafe` is allowed: the call has no safe form.
#![allow(unsafe_code, reason = "close_range; the block says why it is sound")]

use std::io;

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
