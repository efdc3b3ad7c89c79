//! The commands that `secretctl` calls itself by. They ask nobody, and no help shows them.

use std::ffi::OsString;
use std::process::Command;

use clap::Args;
use rustix::fs::Mode;
use secrets_local::mounts;

use super::run;
use crate::failure::{Exit, Failure};
use crate::{broker, fence, spawn};

/// Used by secretctl itself
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Starts the daemon apart from this terminal.
pub(crate) fn launch(args: &ProgramArgs) -> Failure {
    spawn::nurse(&args.command)
}

/// Starts a broker that is no child of the command it serves.
pub(crate) fn launch_broker(args: &ProgramArgs) -> Result<(), Failure> {
    broker::launch(&args.command)
}

/// Used by secretctl itself
#[derive(Debug, Args)]
pub(crate) struct FenceArgs {}

/// Our helper in a fence, which starts its command.
pub(crate) fn in_fence(inherited_umask: Mode) -> Result<(), Failure> {
    fence::inside(&[run::OWN_PROGRAM, run::IN_FOREGROUND, "--"], inherited_umask)
}

/// Becomes a program that sees nothing of what is mounted later.
pub(crate) fn apart(args: &ProgramArgs, inherited_umask: Mode) -> Failure {
    let Some((program, arguments)) = args.command.split_first() else {
        return Failure::new(Exit::Usage, "no command; put it after --");
    };
    let mut command = Command::new(program);
    command.args(arguments);
    rustix::process::umask(inherited_umask);
    Failure::new(Exit::NotExecutable, mounts::become_apart(command).to_string())
}

/// Runs a command on a terminal of its own, and ends as it does.
pub(crate) fn on_terminal(args: &ProgramArgs, inherited_umask: Mode) -> Result<(), Failure> {
    run::on_terminal(&args.command, inherited_umask)?.follow()
}

/// Becomes a command once it has its terminal's foreground.
pub(crate) fn in_foreground(args: &ProgramArgs, inherited_umask: Mode) -> Failure {
    run::in_foreground(&args.command, inherited_umask)
}
