//! What the process does to itself before it touches a secret.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

/// Makes files private from the start and keeps other processes of the same user from reading our
/// memory; a crash leaves no core. Returns the umask that we were started with, which the command of
/// `run` gets back. Core limits are left alone, because that command would inherit them.
pub(crate) fn harden() -> Mode {
    // Fails only where the kernel does not know the call; then there is nothing to be done.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    umask(Mode::RWXG | Mode::RWXO)
}

/// Gives back what [`harden`] changed and a new program would inherit.
pub(crate) fn relax(inherited: Mode) {
    umask(inherited);
}
