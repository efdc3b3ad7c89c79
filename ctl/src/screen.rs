//! What fills the terminal is a program of its own, `secretctl-ui`: its library is larger than this client, which starts
//! fast because it has none.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use secrets_client::{Paths, TokenSource};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{environment, project, spawn};

/// How the picker ends that a person has left without an answer.
const CANCELLED: i32 = 130;

/// Whether there is a person who can pick something: what comes from a pipe or goes on without a terminal is not asked.
pub(crate) fn may_pick() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The names that a person picks, one or more. `title` says what for.
pub(crate) fn pick(session: &Session, title: &str) -> Result<Vec<String>, Failure> {
    session.open_vault()?;
    let mut command = program("pick", session.paths())?;
    command.args(["--title", title]).stdin(Stdio::inherit()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| failed(&error))?;
    let names = String::from_utf8(output.stdout).unwrap_or_default();
    match output.status.code() {
        Some(0) => Ok(names.lines().map(str::to_owned).collect()),
        Some(CANCELLED) => Err(Failure::new(Exit::Other, "nothing was selected")),
        // It has said why.
        Some(_) | None => {
            Err(Failure::new(Exit::Other, "nothing could be selected; name it on the command line"))
        }
    }
}

/// Becomes the browser. Returns only if it can't.
pub(crate) fn browse(session: &Session) -> Failure {
    let command = session.open_vault().and_then(|()| program("browse", session.paths()));
    match command {
        Ok(mut command) => failed(&command.exec()),
        Err(failure) => failure,
    }
}

fn program(what: &str, paths: &Paths) -> Result<Command, Failure> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent());
    let found = spawn::find("secretctl-ui", beside, &environment::program_dirs());
    let found = found.ok_or_else(|| {
        Failure::new(Exit::Other, "secretctl-ui is neither beside secretctl nor in PATH; install it")
    })?;
    let mut command = Command::new(found);
    command.arg(what).arg("--socket").arg(&paths.socket);
    if let TokenSource::File(file) = &paths.token {
        command.arg("--token-file").arg(file);
    }
    if let Some(own) = own {
        command.arg("--client").arg(own);
    }
    for record in project::known() {
        command.arg("--project").arg(format!("{}={}", record.prefix, record.project));
    }
    Ok(command)
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot start secretctl-ui: {error}"))
}
