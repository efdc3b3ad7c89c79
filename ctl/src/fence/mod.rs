//! A fence around a command: namespaces of its own, a file system in which it writes to few places, and no socket but those
//! of its own loopback. bubblewrap (bwrap(1)) builds it, without rights; nothing of ours has any.
//!
//! ```text
//! secretctl ── bwrap ── (bwrap, the first process) ── secretctl __fence ── the command
//!   watches              takes what loses its parent    listens, starts,
//!                                                       tells how it ends
//! ```
//!
//! bubblewrap alone would let the command see what is mounted outside later, and write to it. So `secretctl __apart` comes
//! before it, in whose namespace nothing is mounted any more, and becomes it.
//!
//! # Layout
//!
//! - `running`: building it and watching over it from outside
//! - `inside`: our helper in it
//! - `terminal`: who has the keys of our terminal meanwhile
//! - `messages`: what the two say to each other
//! - `bubblewrap`: the program
//! - `mounts`: what the command sees of the file system; `git`: what it must not write though it writes around it, `nested`:
//!   where that is; `reserve`: what it must not create
//! - `syscalls`: what the kernel refuses it
//! - `variables`: what its environment must not name

mod bubblewrap;
mod git;
mod inside;
mod messages;
mod mounts;
mod nested;
mod reserve;
mod running;
mod syscalls;
mod terminal;
mod variables;

use std::path::PathBuf;

use secrets_client::Paths;

use crate::environment;
use crate::failure::{Exit, Failure};

pub(crate) use bubblewrap::{OLDEST, Unfit, find, version};
pub(crate) use inside::inside;

use mounts::Mounts;

/// The hidden command that is our helper in a fence.
pub(crate) const FENCE: &str = "__fence";

/// The hidden command that becomes bubblewrap, in a mount namespace that gets nothing of what is mounted later.
pub(crate) const APART: &str = "__apart";

/// A fence that can be built.
#[derive(Debug)]
pub(crate) struct Fence {
    program: PathBuf,
    mounts: Mounts,
}

impl Fence {
    /// Around the working directory and these directories, which the command may write to.
    ///
    /// # Errors
    /// With the exit status of a `run` that failed before its command, and why there can be no fence.
    pub(crate) fn plan(write: &[PathBuf], paths: &Paths) -> Result<Self, Failure> {
        let mounts = Mounts::plan(write, &environment::surroundings(paths))?;
        let program = find(&environment::program_dirs(), &mounts.writable)
            .map_err(|unfit| failed(&unfit.to_string()))?;
        Ok(Self { program, mounts })
    }
}

/// A failure to build the fence.
fn failed(reason: &str) -> Failure {
    Failure::new(Exit::RunFailed, format!("cannot build the fence: {reason}"))
}
