//! What a process does to itself before it touches a secret. Each is one call and inherited by what it starts, so that
//! a program that runs others does what it can give back.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// Makes every file private that this process makes from now on, whatever mode it asks for. Returns the umask that it was
/// started with.
pub fn make_files_private() -> Mode {
    umask(Mode::RWXG | Mode::RWXO)
}

/// Keeps other processes of the same user from reading this one's memory and from tracing it, and its memory out of
/// cores. A new program that it executes is readable again.
pub fn make_unreadable() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Forbids cores to this process and to all that it starts; nobody but root can allow them again.
pub fn forbid_cores() -> Result<(), Errno> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}
