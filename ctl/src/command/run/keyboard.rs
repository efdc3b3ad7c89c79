//! Our terminal while a command writes to another one that we have made: the keys that are typed here go there, and the
//! size follows. It knows no value.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{fstat, major, minor};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};
use zeroize::Zeroizing;

use crate::job::Job;
use crate::supervise::Terminal;
use crate::terminal;
use crate::turn::Turn;

/// Our terminal beside the command's. Dropping it gives our terminal back.
pub(super) struct Keyboard {
    tty: File,
    master: OwnedFd,
    /// Whether the command has its terminal in place of ours, and so all keys.
    has_all: bool,
    /// What our terminal was set to, if we have changed it.
    before: Option<Termios>,
    /// What the command's terminal was set to at the start, or when we looked last.
    theirs: Option<Termios>,
    /// Commands beside us on our terminal ask nothing meanwhile.
    turn: Option<Turn>,
    keys: Arc<Keys>,
}

impl Keyboard {
    /// For a command whose terminal stands for `ours`; none if that is not our controlling terminal. If it does not
    /// have all keys, because its input is from elsewhere, it gets them while it reads single keys, as editors and
    /// pagers do: they read from the terminal of their output then. Lines are for others in the pipeline.
    pub(super) fn new(master: &OwnedFd, ours: impl AsFd, has_all: bool) -> io::Result<Option<Self>> {
        let number = fstat(ours)?.st_rdev;
        if Job::own().and_then(Job::terminal) != Some((major(number), minor(number))) {
            return Ok(None);
        }
        let Ok(tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
        let keys = Arc::new(Keys::default());
        let (from, to, gate) = (tty.try_clone()?, master.try_clone()?, Arc::clone(&keys));
        thread::Builder::new().spawn(move || gate.pass_on(from, File::from(to)))?;
        let theirs = tcgetattr(master).ok();
        let master = master.try_clone()?;
        Ok(Some(Self { tty, master, has_all, before: None, theirs, turn: None, keys }))
    }

    fn take_all(&mut self) {
        let Some(before) = self.before.take().or_else(|| self.enter()) else { return };
        // What we have copied were the modes of the shell's line editor, if it has started us in the background.
        if let Some(theirs) = self.theirs.take()
            && tcgetattr(&self.master).is_ok_and(|now| is_same(&now, &theirs))
        {
            let _ = tcsetattr(&self.master, OptionalActions::Now, &before);
        }
        let mut raw = before.clone();
        raw.make_raw();
        self.set(before, &raw);
    }

    fn take_single_keys(&mut self) {
        let Ok(theirs) = tcgetattr(&self.master) else { return };
        if theirs.local_modes.contains(LocalModes::ICANON) {
            return self.give_back();
        }
        if self.before.is_some() && self.theirs.as_ref().is_some_and(|last| is_same(last, &theirs)) {
            return;
        }
        let Some(before) = self.before.take().or_else(|| self.enter()) else { return };
        self.set(before.clone(), &single_keys(&before, &theirs));
        self.theirs = Some(theirs);
    }

    /// Our terminal's modes, if we may change them now: while somebody asks, they are theirs.
    fn enter(&mut self) -> Option<Termios> {
        self.turn = Some(terminal::turn_now()?);
        tcgetattr(&self.tty).ok()
    }

    fn set(&mut self, before: Termios, modes: &Termios) {
        if tcsetattr(&self.tty, OptionalActions::Now, modes).is_ok() {
            self.keys.open(true);
        }
        self.before = Some(before);
    }
}

impl Terminal for Keyboard {
    fn take(&mut self) {
        // From the background, this would stop us.
        if !Job::own().is_some_and(Job::is_in_foreground) {
            return;
        }
        if self.has_all { self.take_all() } else { self.take_single_keys() }
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
        !self.has_all || self.before.is_none()
    }

    fn resize(&mut self) {
        copy_size(&self.tty, &self.master);
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A terminal that is ours and not the one that controls us: only its size follows.
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

fn is_same(one: &Termios, other: &Termios) -> bool {
    let modes = |modes: &Termios| (modes.input_modes, modes.output_modes, modes.local_modes);
    modes(one) == modes(other)
}

/// The modes of our terminal while a command reads single keys from its own: keys come as they are, except those that
/// are signals, which our terminal sends to the command's group.
fn single_keys(ours: &Termios, theirs: &Termios) -> Termios {
    let mut modes = ours.clone();
    let as_they_are = InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::ISTRIP;
    modes.input_modes = theirs.input_modes - as_they_are;
    modes.local_modes = theirs.local_modes - LocalModes::ECHO;
    modes.special_codes = theirs.special_codes.clone();
    // What is written goes through both terminals; one of them is to end lines, or none.
    let is_raw = !theirs.local_modes.contains(LocalModes::ISIG);
    if is_raw || theirs.output_modes.contains(OutputModes::OPOST) {
        modes.output_modes.remove(OutputModes::OPOST);
    }
    modes.output_modes.set(OutputModes::ONLCR, theirs.output_modes.contains(OutputModes::ONLCR));
    modes
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
