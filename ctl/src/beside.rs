//! Becoming a program of ours that is larger than this client: it lies beside it, and asks the same daemon.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::failure::{Exit, Failure};
use crate::globals::Globals;
use crate::{environment, spawn};

/// Becomes the program of this name, with these arguments. Returns only if it can't.
pub(crate) fn become_program(name: &str, globals: &Globals, arguments: &[&str]) -> Failure {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent());
    let Some(program) = spawn::find(name, beside, &environment::program_dirs()) else {
        let text = format!("{name} is neither beside secretctl nor in PATH; install it");
        return Failure::new(Exit::Other, text);
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (flag, path) in [("--socket", &globals.socket), ("--token-file", &globals.token_file)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    Failure::new(Exit::Other, format!("cannot start {name}: {}", command.exec()))
}
