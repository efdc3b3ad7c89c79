//! The terminal that we make for a command, and the two helpers between us and the command. A command that is to have job control needs a session on its terminal and in it a parent in another
//! group, as a shell is; that parent is `secretctl` again, and so is what waits for the foreground before it becomes
//! the command. It knows no value.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr, tcsetpgrp, tcsetwinsize,
};

use crate::failure::{Exit, Failure};
use crate::job::Job;
use crate::supervise::{End, Place, Supervisor};

/// The hidden command that leads the session of a terminal of ours.
pub(crate) const ON_TERMINAL: &str = "__on-terminal";

/// The hidden command that becomes the command when it is in the foreground.
pub(crate) const IN_FOREGROUND: &str = "__in-foreground";

/// How long the foreground may take to come.
const FOREGROUND_DEADLINE: Duration = Duration::from_secs(10);

/// Ourselves, even if the file is gone.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// A terminal that we have made: what we read from and write to, and the command's side.
#[derive(Debug)]
pub(super) struct Pty {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

impl Pty {
    /// Makes a terminal as large as this one, with its modes, except, if `as_is`, that what is written is not changed.
    pub(super) fn like(tty: impl AsFd, as_is: bool) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        let mut modes = tcgetattr(&tty)?;
        if as_is {
            modes.output_modes.remove(OutputModes::OPOST);
            modes.local_modes.remove(LocalModes::ECHO);
        }
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        tcsetwinsize(&slave, tcgetwinsize(&tty)?)?;
        Ok(Self { master, slave })
    }
}

/// The words that run a command on the terminal of its standard output.
pub(super) fn on_its_terminal(program: &OsStr) -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("secretctl").args([ON_TERMINAL, "--"]).arg(program);
    command
}

/// The helper's life: leads the session, has the command in the foreground, and ends as it does.
pub(crate) fn on_terminal(command: &[OsString], inherited_umask: Mode) -> Result<End, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::RunFailed, format!("cannot use a terminal: {error}"));
    let tty = io::stdout();
    setsid().map_err(|errno| failed(errno.into()))?;
    ioctl_tiocsctty(&tty).map_err(|errno| failed(errno.into()))?;
    let supervisor = Supervisor::new().map_err(failed)?;
    let mut own = Command::new(OWN_PROGRAM);
    own.arg0("secretctl").args([IN_FOREGROUND, "--"]).args(command).process_group(0);
    rustix::process::umask(inherited_umask);
    let watched = supervisor.start(&mut own, Place::Below).map_err(failed)?;
    if let Some(pid) = watched.pid() {
        tcsetpgrp(&tty, pid).map_err(|errno| failed(errno.into()))?;
    }
    Ok(supervisor.wait(&watched, &mut (), 0, || {}))
}

/// Waits for the foreground: reading from the terminal before would stop the command.
pub(super) fn wait_for_foreground() -> Result<(), Failure> {
    let end = Instant::now() + FOREGROUND_DEADLINE;
    while !Job::own().is_some_and(Job::is_in_foreground) {
        if Instant::now() > end {
            return Err(Failure::new(Exit::RunFailed, "the terminal was not handed over"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
