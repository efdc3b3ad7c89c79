//! What a command is given beside its own arguments.

use std::time::Duration;

use rustix::fs::Mode;

use crate::environment;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::Output;
use crate::session::Session;

/// What a command is given beside its own arguments.
pub(crate) struct Context {
    /// The flags of every command.
    pub(crate) globals: Globals,
    /// How to answer.
    pub(crate) output: Output,
    /// What our children are to inherit.
    pub(crate) inherited_umask: Mode,
    /// Describes the whole command line.
    pub(crate) describe: fn() -> clap::Command,
}

impl Context {
    /// A session with the daemon, which is started if it does not run.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        let session = Session::new(environment::paths(&self.globals)?, !self.globals.no_spawn)?;
        Ok(session.waiting(self.wait()))
    }

    /// A session for programs that ask on the way to something else: no daemon is started, and nobody waits long.
    pub(crate) fn quick_session(&self) -> Result<Session, Failure> {
        Ok(Session::quick(environment::paths(&self.globals)?)?.waiting(self.wait()))
    }

    fn wait(&self) -> Option<Duration> {
        self.globals.wait.map(Duration::from_secs)
    }
}
