//! The terminal's modes while something is asked or an answer is awaited: nothing that is typed is shown, and
//! whatever ends or stops the process meanwhile, the terminal is given back first. It knows no question.
//!
//! All of that is done by one process at a time (`turn`). What was there before is also written into the terminal, so
//! that the next process puts it back if this one is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGCONT, SIGINT};
use signal_hook::low_level::emulate_default_handler;

use crate::job::Job;
use crate::turn::{self, Turn};
use crate::{ending, environment};

/// Asks the terminal to mark what is pasted, and no longer.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

/// The one terminal that is held, shared with the thread that watches for signals (`ending`).
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// Whether the process was stopped and goes on since somebody asked.
static CONTINUED: AtomicBool = AtomicBool::new(false);

/// The terminal, if it is our turn and we are in its foreground: in the background, reading would stop us instead of
/// asking.
pub(crate) fn open() -> Option<File> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    (Job::own()?.is_in_foreground() && turn::is_ours()).then_some(tty)
}

/// Waits until nobody else asks on our terminal, for as long as there is a question.
pub(crate) fn turn(needless: &dyn Fn() -> bool) -> Option<Turn> {
    // First, so that nobody waits for us while we are stopped.
    let _ = ending::before(react);
    Turn::wait(needless).inspect(|_| repair())
}

/// Takes our terminal if nobody else has it.
pub(crate) fn turn_now() -> Option<Turn> {
    Turn::now().inspect(|_| repair())
}

/// Puts back what somebody could not who was killed while asking.
fn repair() {
    // Within a question of ours, the terminal is as we have set it.
    if held().is_none()
        && let Some(tty) = open()
        && let Some(before) = tcgetattr(&tty).ok().and_then(|modes| mark::before(&modes))
    {
        let _ = tcsetattr(&tty, OptionalActions::Now, &before);
    }
}

/// What was typed before a question was not meant as its answer.
pub(crate) fn forget_typed(tty: &File) {
    let _ = tcflush(tty, QueueSelector::IFlush);
}

/// A terminal that shows nothing of what is typed, until dropped. One may be held inside another.
#[derive(Debug)]
pub(crate) struct Quiet {
    outer: Option<(Termios, Option<String>)>,
    _turn: Turn,
}

impl Quiet {
    /// Shows nothing; keys that mean signals still do.
    pub(crate) fn hold(tty: &File, turn: Turn) -> io::Result<Self> {
        Self::enter(tty, turn, None)
    }

    /// Shows the question and passes each key on; the question is shown again when the process was stopped.
    pub(crate) fn ask(tty: &File, turn: Turn, question: &str) -> io::Result<Self> {
        Self::enter(tty, turn, Some(question.to_owned()))
    }

    fn enter(tty: &File, turn: Turn, question: Option<String>) -> io::Result<Self> {
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
        Ok(Self { outer: outer.map(|outer| (outer.now, outer.question)), _turn: turn })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut held = held();
        let Some(inner) = held.as_mut() else { return };
        let is_ours = turn::is_ours();
        if is_ours {
            inner.unmark();
        }
        let Some((now, question)) = self.outer.take() else {
            if is_ours {
                inner.set(&inner.before);
            }
            *held = None;
            return;
        };
        if is_ours {
            inner.set(&now);
        }
        inner.now = now;
        inner.question = question;
    }
}

/// Whether the process was stopped since this was asked last: what was typed before is forgotten then.
pub(crate) fn continued() -> bool {
    CONTINUED.swap(false, Ordering::Relaxed)
}

/// Gives the terminal back and ends as Ctrl-C ends programs: all that are in the foreground. Returns only if that fails.
pub(crate) fn interrupt() {
    give_back();
    let _ = kill_current_process_group(Signal::INT);
    let _ = emulate_default_handler(SIGINT);
}

/// Asks again after a stop, and gives whether there is still a question; none while somebody else asks. In the
/// background it stops us as reading would, and fails where nobody could continue us.
pub(crate) fn ask_again(tty: &File, needless: &dyn Fn() -> bool) -> io::Result<Option<bool>> {
    // The thread that watches for signals may be at it.
    let is_ours = {
        let _held = held();
        turn::is_ours()
    };
    if is_ours {
        return Ok(Some(true));
    }
    if !Job::own().is_some_and(Job::is_in_foreground) {
        tcflush(tty, QueueSelector::IFlush)?;
    }
    if !turn::regain() {
        return Ok(None);
    }
    let is_needed = !needless();
    if is_needed {
        take_again(&held());
    }
    Ok(Some(is_needed))
}

/// Hides again what is typed if another program shows it, and fails if the terminal is no longer ours to read from.
pub(crate) fn keep_quiet() -> io::Result<()> {
    if let Some(held) = held().as_ref().filter(|_| turn::is_ours()) {
        if tcgetattr(&held.tty)?.local_modes != held.now.local_modes {
            tcsetattr(&held.tty, OptionalActions::Now, &held.now)?;
        }
        if !Job::own().is_some_and(Job::is_in_foreground) {
            return Err(Errno::IO.into());
        }
    }
    Ok(())
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
    mark::set(&mut quiet);
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

/// The terminal is given back before a signal ends or stops us, and taken again after, if it is free.
fn react(signal: i32) {
    if signal != SIGCONT {
        give_back();
        return turn::let_go();
    }
    let held = held();
    // Who learns of it then waits for the rest.
    CONTINUED.store(true, Ordering::Relaxed);
    take_again(&held);
}

fn take_again(held: &Option<Held>) {
    if turn::regain()
        && let Some(held) = held
    {
        let _ = held.take();
    }
}

fn give_back() {
    if let Some(held) = held().as_ref().filter(|_| turn::is_ours()) {
        held.unmark();
        held.set(&held.before);
        if held.question.is_some() {
            let _ = (&held.tty).write_all(b"\n");
        }
    }
}

/// What was set before, in the terminal itself, in a place that nothing reads: the key VSWTC means nothing on Linux
/// (termios(3)).
mod mark {
    use super::{LocalModes, SpecialCodeIndex, Termios};

    /// Told apart from a key that somebody has set there.
    const MARK: u8 = 0xa0;

    const KEPT: [LocalModes; 4] =
        [LocalModes::ECHO, LocalModes::ECHONL, LocalModes::ICANON, LocalModes::ISIG];

    pub(super) fn set(modes: &mut Termios) {
        let bits = (0..).zip(KEPT).map(|(at, mode)| u8::from(modes.local_modes.contains(mode)) << at);
        modes.special_codes[SpecialCodeIndex::VSWTC] = MARK | bits.sum::<u8>();
    }

    /// What the modes were, if they are marked and nobody has changed them since.
    pub(super) fn before(modes: &Termios) -> Option<Termios> {
        let bits = modes.special_codes[SpecialCodeIndex::VSWTC];
        if bits & 0xf0 != MARK || modes.local_modes.contains(LocalModes::ECHO) {
            return None;
        }
        let mut before = modes.clone();
        for (at, mode) in (0..).zip(KEPT) {
            before.local_modes.set(mode, bits >> at & 1 == 1);
        }
        before.special_codes[SpecialCodeIndex::VSWTC] = 0;
        Some(before)
    }
}
