//! The terminal's modes while something is asked or an answer is awaited: nothing that is typed is shown, and
//! whatever ends or stops the process meanwhile, the terminal is given back first. It knows no question.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGCONT, SIGINT};
use signal_hook::low_level::emulate_default_handler;

use crate::job::Job;
use crate::{ending, environment};

/// Asks the terminal to mark what is pasted, and no longer.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

/// The one terminal that is held, shared with the thread that watches for signals (`ending`).
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// Whether the process was stopped and goes on since somebody asked.
static CONTINUED: AtomicBool = AtomicBool::new(false);

/// The terminal, if we are in its foreground: in the background, reading would stop us instead of asking.
pub(crate) fn open() -> Option<File> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    Job::own()?.is_in_foreground().then_some(tty)
}

/// What was typed before a question was not meant as its answer.
pub(crate) fn forget_typed(tty: &File) {
    let _ = tcflush(tty, QueueSelector::IFlush);
}

/// A terminal that shows nothing of what is typed, until dropped. One may be held inside another.
#[derive(Debug)]
pub(crate) struct Quiet {
    outer: Option<(Termios, Option<String>)>,
}

impl Quiet {
    /// Shows nothing; keys that mean signals still do.
    pub(crate) fn hold(tty: &File) -> io::Result<Self> {
        Self::enter(tty, None)
    }

    /// Shows the question and passes each key on; the question is shown again when the process was stopped.
    pub(crate) fn ask(tty: &File, question: &str) -> io::Result<Self> {
        Self::enter(tty, Some(question.to_owned()))
    }

    fn enter(tty: &File, question: Option<String>) -> io::Result<Self> {
        // First, so that no signal finds the terminal quiet and nobody to give it back.
        ending::before(react)?;
        let mut held = held();
        let before = match held.as_ref() {
            Some(outer) => outer.before.clone(),
            None => tcgetattr(tty)?,
        };
        let now = quiet(&before, question.is_some());
        let inner = Held { tty: tty.try_clone()?, before, now, question };
        inner.take()?;
        let outer = held.replace(inner);
        Ok(Self { outer: outer.map(|outer| (outer.now, outer.question)) })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut held = held();
        let Some(inner) = held.as_mut() else { return };
        inner.unmark();
        let Some((now, question)) = self.outer.take() else {
            inner.set(&inner.before);
            *held = None;
            return;
        };
        inner.set(&now);
        inner.now = now;
        inner.question = question;
    }
}

/// Whether the process was stopped since this was asked last: what was typed before is forgotten then.
pub(crate) fn continued() -> bool {
    CONTINUED.swap(false, Ordering::Relaxed)
}

/// Gives the terminal back and ends as Ctrl-C ends a program. Returns only if that fails.
pub(crate) fn interrupt() {
    give_back();
    let _ = emulate_default_handler(SIGINT);
}

/// Does what Ctrl-Z means, if there is a shell that could let us go on.
pub(crate) fn suspend() {
    if Job::own().is_some_and(Job::is_kept_by_a_shell) {
        let _ = kill_current_process_group(Signal::TSTP);
    }
}

#[derive(Debug)]
struct Held {
    tty: File,
    before: Termios,
    now: Termios,
    question: Option<String>,
}

impl Held {
    fn take(&self) -> io::Result<()> {
        tcsetattr(&self.tty, OptionalActions::Now, &self.now)?;
        forget_typed(&self.tty);
        let Some(question) = &self.question else { return Ok(()) };
        if !environment::plain_terminal() {
            (&self.tty).write_all(MARK_PASTES)?;
        }
        (&self.tty).write_all(question.as_bytes())
    }

    fn set(&self, modes: &Termios) {
        // What was typed and not asked for goes nowhere, least of all to the shell.
        forget_typed(&self.tty);
        let _ = tcsetattr(&self.tty, OptionalActions::Now, modes);
    }

    fn unmark(&self) {
        if self.question.is_some() && !environment::plain_terminal() {
            let _ = (&self.tty).write_all(MARK_NO_PASTES);
        }
    }
}

fn quiet(before: &Termios, keys: bool) -> Termios {
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
    if keys {
        quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
    }
    quiet
}

fn held() -> MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal is given back before a signal ends or stops us, and taken again after.
fn react(signal: i32) {
    if signal != SIGCONT {
        return give_back();
    }
    CONTINUED.store(true, Ordering::Relaxed);
    if let Some(held) = held().as_ref() {
        let _ = held.take();
    }
}

fn give_back() {
    if let Some(held) = held().as_ref() {
        held.unmark();
        held.set(&held.before);
        if held.question.is_some() {
            let _ = (&held.tty).write_all(b"\n");
        }
    }
}
