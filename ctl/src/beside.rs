//! Becoming a program of ours that is larger than this client: it lies beside it, and asks the same daemon.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{environment, spawn};

/// Becomes the program of this name. Returns only if it can't.
pub(crate) fn become_program(name: &str, context: &Context) -> Failure {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent());
    let Some(program) = spawn::find(name, beside, &environment::program_dirs()) else {
        let text = format!("{name} is neither beside secretctl nor in PATH; install it");
        return Failure::new(Exit::Other, text);
    };
    // A daemon is started if none runs. If that fails, the program says so itself, where its own user sees it.
    let _ = context.session().and_then(|session| session.status());
    let mut command = Command::new(program);
    for (flag, path) in [("--socket", &context.globals.socket), ("--token-file", &context.globals.token_file)]
    {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    Failure::new(Exit::Other, format!("cannot start {name}: {}", command.exec()))
}
