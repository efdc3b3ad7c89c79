//! Terminals: one that we make for a command, ours that is handed to it meanwhile, and the two helpers between us and
//! the command. A command that is to have job control needs a session on its terminal and in it a parent in another
//! group, as a shell is; that parent is `secretctl` again, and so is what waits for the foreground before it becomes
//! the command. It knows no value.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetpgrp, tcsetwinsize,
};
use zeroize::Zeroizing;

use super::supervise::{End, Place, Supervisor, Terminal};
use crate::failure::{Exit, Failure};
use crate::job::Job;
use crate::terminal;
use crate::turn::Turn;

/// The hidden command that leads the session of a terminal of ours.
pub(crate) const ON_TERMINAL: &str = "__on-terminal";

/// The hidden command that becomes the command when it is in the foreground.
pub(crate) const IN_FOREGROUND: &str = "__in-foreground";

/// How long the foreground may take to come.
const FOREGROUND_DEADLINE: Duration = Duration::from_secs(10);

/// Ourselves, even if the file is gone.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A terminal that we have made: what we read from and write to, and the command's side.
#[derive(Debug)]
pub(super) struct Pty {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

impl Pty {
    /// Makes a terminal as large as this one, with its modes, or with none that change what is written.
    pub(super) fn like(tty: impl AsFd, is_raw: bool) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        let mut modes = tcgetattr(&tty)?;
        if is_raw {
            modes.make_raw();
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
    tcsetpgrp(&tty, watched.pid()).map_err(|errno| failed(errno.into()))?;
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

/// Our terminal while a command has another one: keys go there as they are, and its size follows. Dropping it gives
/// our terminal back.
pub(super) struct Takeover {
    tty: File,
    master: OwnedFd,
    before: Option<Termios>,
    /// Commands beside us on our terminal ask nothing meanwhile: the keys are the command's.
    turn: Option<Turn>,
    keys: Arc<Keys>,
}

impl Takeover {
    /// Of our controlling terminal, if we have one.
    pub(super) fn new(master: &OwnedFd) -> io::Result<Option<Self>> {
        let Ok(tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
        let keys = Arc::new(Keys::default());
        let (from, to, gate) = (tty.try_clone()?, master.try_clone()?, Arc::clone(&keys));
        thread::Builder::new().spawn(move || gate.pass_on(from, File::from(to)))?;
        Ok(Some(Self { tty, master: master.try_clone()?, before: None, turn: None, keys }))
    }
}

impl Terminal for Takeover {
    fn take(&mut self) {
        // From the background, this would stop us.
        if !Job::own().is_some_and(Job::is_in_foreground) {
            return;
        }
        if self.turn.is_none() {
            // While somebody asks, the modes are theirs.
            let Some(turn) = terminal::turn_now() else { return };
            self.turn = Some(turn);
        }
        let Ok(before) = tcgetattr(&self.tty) else { return };
        let mut raw = before.clone();
        raw.make_raw();
        if tcsetattr(&self.tty, OptionalActions::Now, &raw).is_ok() {
            // What somebody else has set meanwhile is what they want back, unless it is ours.
            if self.before.is_none() {
                self.before = Some(before);
            }
            self.keys.open(true);
        }
    }

    fn give_back(&mut self) {
        self.keys.open(false);
        if let Some(before) = self.before.take()
            && Job::own().is_some_and(Job::is_in_foreground)
        {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &before);
        }
        self.turn = None;
    }

    fn is_waiting(&self) -> bool {
        self.before.is_none()
    }

    fn resize(&mut self) {
        copy_size(&self.tty, &self.master);
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A terminal beside ours, whose only use is that the command writes to one.
pub(super) struct Beside {
    pub(super) tty: OwnedFd,
    pub(super) master: OwnedFd,
}

impl Terminal for Beside {
    fn resize(&mut self) {
        copy_size(&self.tty, &self.master);
    }
}

fn copy_size(from: impl AsFd, to: impl AsFd) {
    if let Ok(size) = tcgetwinsize(from) {
        let _ = tcsetwinsize(to, size);
    }
}

/// What is typed, let through while the terminal is taken.
#[derive(Debug, Default)]
struct Keys {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Keys {
    fn open(&self, is_open: bool) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = is_open;
        self.changed.notify_all();
    }

    fn pass_on(&self, mut from: File, mut to: File) {
        let mut keys = Zeroizing::new([0; 1024]);
        loop {
            // Without the lock meanwhile: reading waits for somebody to type.
            let guard = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.changed.wait_while(guard, |is_open| !*is_open).unwrap_or_else(PoisonError::into_inner));
            if poll(&mut [PollFd::new(&from, PollFlags::IN)], None).is_err() {
                continue;
            }
            if !*self.is_open.lock().unwrap_or_else(PoisonError::into_inner) {
                continue;
            }
            let typed = match from.read(&mut *keys) {
                Ok(0) => return,
                Ok(count) => keys.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if to.write_all(typed).is_err() {
                return;
            }
        }
    }
}
