//! Our helper in a fence: it makes the listener there, starts the command and tells how it ends. What it can do the command
//! can do, too; it has nothing of ours but the socket on which it tells.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::Mode;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use secrets_local::{descriptors, passing};

use super::messages::{self, Report};
use crate::failure::{Exit, Failure};
use crate::start;
use crate::supervise::{End, Place, Supervisor, Terminal};

/// The helper's life. `in_foreground` begins the words of a program of ours that becomes a command when it has the
/// terminal.
///
/// # Errors
/// If it was not started by us, or the command cannot be.
pub(crate) fn inside(in_foreground: &[&str], inherited_umask: Mode) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(Exit::RunFailed, format!("not in a fence of secretctl: {error}"));
    let control = control().map_err(failed)?;
    match serve(&control, in_foreground, inherited_umask).map_err(failed)? {
        Ok(End::Exit(status)) => messages::report(&control, Report::Exited(status), &[]).map_err(failed),
        Ok(End::Signal(signal)) => messages::report(&control, Report::Killed(signal), &[]).map_err(failed),
        Err(failure) => {
            crate::output::say(failure.message());
            messages::report(&control, Report::Exited(failure.exit() as u8), &[]).map_err(failed)
        }
    }
}

/// What we have as our standard input.
fn control() -> io::Result<UnixStream> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    if rustix::net::sockopt::socket_domain(&input) != Ok(rustix::net::AddressFamily::UNIX) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(UnixStream::from(input))
}

fn serve(
    control: &UnixStream,
    in_foreground: &[&str],
    inherited_umask: Mode,
) -> io::Result<Result<End, Failure>> {
    descriptors::pass_none_on()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    passing::send(control, b"", &[listener.as_fd(), own.as_fd()])?;
    drop(listener);
    let supervisor = Supervisor::new()?;
    let (has_terminal, streams) = passing::receive(control)?;
    let [input, errors] = <[OwnedFd; 2]>::try_from(streams).map_err(|_| io::ErrorKind::InvalidData)?;
    rustix::stdio::dup2_stdin(&input)?;
    rustix::stdio::dup2_stderr(&errors)?;
    drop((input, errors));
    let words = parts(&passing::receive(control)?.0);
    let environment = parts(&passing::receive(control)?.0);
    files(control)?;

    let Some((program, arguments)) = words.split_first() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut command = match in_foreground {
        [own, first @ ..] if has_terminal.as_slice() == b"1" => {
            let mut command = Command::new(own);
            command.args(first).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.args(arguments).env_clear().process_group(0);
    for variable in &environment {
        let mut halves = variable.as_bytes().splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (halves.next(), halves.next()) {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    rustix::process::umask(inherited_umask);
    let mut watched = supervisor.start(&mut command, Place::Fenced);
    if watched.as_ref().is_err_and(start::is_script) {
        let mut shell = start::by_shell(&command);
        watched = supervisor.start(shell.process_group(0), Place::Fenced);
    }
    let watched = match watched {
        Ok(watched) => watched,
        Err(error) => return Ok(Err(start::not_started(program, &error, false))),
    };
    let Some(process) = watched.pid() else { return Err(io::ErrorKind::NotFound.into()) };
    let handle = pidfd_open(process, PidfdFlags::empty());
    // One that has ended already needs no terminal.
    let with: Vec<BorrowedFd<'_>> = handle.iter().map(OwnedFd::as_fd).collect();
    messages::report(control, Report::Started, &with)?;
    Ok(Ok(supervisor.wait(&watched, &mut Tells(control), 0, || {})))
}

/// Puts files where the command looks for them.
fn files(control: &UnixStream) -> io::Result<()> {
    loop {
        let (message, _) = passing::receive(control)?;
        let Some(end) = message.iter().position(|byte| *byte == 0) else { return Ok(()) };
        let (path, content) = message.split_at(end);
        let path = Path::new(OsStr::from_bytes(path));
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content.get(1..).unwrap_or_default())?;
    }
}

fn parts(message: &[u8]) -> Vec<OsString> {
    let parts = message.strip_suffix(&[0]).map(|message| message.split(|byte| *byte == 0));
    parts.into_iter().flatten().map(|part| OsString::from_vec(part.to_vec())).collect()
}

/// Tells those outside, who have the terminal, when the command has stopped.
struct Tells<'a>(&'a UnixStream);

impl Terminal for Tells<'_> {
    fn lend(&mut self, signal: i32) -> bool {
        let _ = messages::report(self.0, Report::Stopped(signal), &[]);
        false
    }
}
