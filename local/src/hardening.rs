//! What a process does to itself before it touches a secret. Each is one call and inherited by what it starts, so that
//! a program that runs others does what it can give back.

use std::io::{self, Write};

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

/// Has panics say where they are in the source and nothing else, under this program's name: their message can hold anything.
pub fn quiet_panics(program: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
        // Written directly: it must come out even if logging is what failed.
        let _ = writeln!(io::stderr(), "{program}: internal error at {file}:{line}; please report it");
    }));
}
