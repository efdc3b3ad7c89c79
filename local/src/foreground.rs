//! Which process group has the keys of a terminal.
//!
//! One of the few modules of this crate where `unsafe` is allowed: a thread's mask of signals has no safe form.
#![allow(unsafe_code, reason = "a mask of signals; the block says why it is sound")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;

use rustix::process::Pid;
use rustix::termios::tcsetpgrp;

/// Puts a process group of this session in the foreground of the terminal, from the background too: who asks from there
/// is stopped by SIGTTOU, unless that is blocked (tcsetpgrp(3)).
///
/// # Errors
/// What the system says, such as of a group that has ended.
pub fn put_in_foreground(terminal: impl AsFd, group: Pid) -> io::Result<()> {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets live through the calls, which fill them before they are read; only this thread's mask changes.
    unsafe {
        libc::sigemptyset(blocked.as_mut_ptr());
        libc::sigaddset(blocked.as_mut_ptr(), libc::SIGTTOU);
        if libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr()) != 0 {
            return Err(io::ErrorKind::Other.into());
        }
    }
    let outcome = tcsetpgrp(terminal, group);
    // SAFETY: the call before has filled `before`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    outcome.map_err(io::Error::from)
}
