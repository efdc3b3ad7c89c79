//! What a person sees while something takes long: one line on a terminal, which counts the seconds and is gone
//! when the wait is. A log or a pipe gets none of it.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use secrets_local::wrapping;
use secrets_proto::printable::{printable, without_numbers};

use super::stream::write_all;
use crate::environment;

/// How long a person is left without a word.
const QUIET: Duration = Duration::from_millis(300);

/// How often the line changes.
const STEP: Duration = Duration::from_secs(1);

/// Takes the line away: to its beginning, then all of it.
const ERASE: &str = "\r\x1b[K";

/// The one line of the terminal, shared with the threads that write it.
static LINE: Mutex<Line> = Mutex::new(Line { is_taken: false, is_shown: false, is_hidden: false });

#[derive(Debug)]
struct Line {
    /// Whether something is waited for already; what is waited for meanwhile is a part of it.
    is_taken: bool,
    /// Whether the line is on the terminal.
    is_shown: bool,
    /// Whether somebody else has the terminal.
    is_hidden: bool,
}

impl Line {
    fn lock() -> MutexGuard<'static, Self> {
        LINE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&mut self, text: &str) {
        if !self.is_hidden {
            show(text);
            self.is_shown = true;
        }
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            show(ERASE);
        }
    }
}

/// Shows what is waited for until dropped, if that takes a while.
#[derive(Debug)]
pub(crate) struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// From now on this is waited for.
    pub(crate) fn start(note: &str) -> Self {
        if !io::stderr().is_terminal() || std::mem::replace(&mut Line::lock().is_taken, true) {
            return Self(None);
        }
        let (end, ended) = mpsc::channel();
        let is_plain = environment::no_colour();
        let note = printable(note).into_owned();
        let watcher = thread::Builder::new().spawn(move || watch(&note, is_plain, &ended));
        if watcher.is_err() {
            Line::lock().is_taken = false;
        }
        Self(watcher.ok().map(|watcher| (end, watcher)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some((end, watcher)) = self.0.take() else { return };
        drop(end);
        // The line is gone before anything else is written.
        let _ = watcher.join();
        Line::lock().is_taken = false;
    }
}

/// Keeps the line away until dropped, because somebody is asked something.
#[derive(Debug)]
pub(crate) struct Hidden(());

impl Hidden {
    /// From now on.
    pub(crate) fn start() -> Self {
        let mut line = Line::lock();
        line.erase();
        line.is_hidden = true;
        Self(())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        Line::lock().is_hidden = false;
    }
}

/// Tells the user something, in one line; on a terminal that is narrower, in as many as its words take. Nobody is left to
/// hear that this failed.
pub(crate) fn say(message: &str) {
    let line = format!("secretctl: {}", printable(&without_numbers(message)));
    Line::lock().erase();
    show(&format!("{}\n", wrapping::message(&line, wrapping::columns(io::stderr()))));
}

/// Tells more of what was said last, in a line of its own without our name: so that it can be copied as it is.
pub(crate) fn say_more(text: &str) {
    say_below(&printable(&without_numbers(text)));
}

/// Tells more of what was said last, in a line of its own, which is printable already.
pub(super) fn say_below(text: &str) {
    Line::lock().erase();
    show(&format!("{text}\n"));
}

fn watch(note: &str, is_plain: bool, ended: &Receiver<()>) {
    let start = Instant::now();
    if !matches!(ended.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout)) {
        return;
    }
    if is_plain {
        // A line that changes needs sequences that such a terminal does not know, or its user does not want.
        return say(note);
    }
    loop {
        Line::lock().show(&line(note, start.elapsed()));
        if !matches!(ended.recv_timeout(STEP), Err(RecvTimeoutError::Timeout)) {
            return Line::lock().erase();
        }
    }
}

fn line(note: &str, elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0 => format!("{ERASE}{note}"),
        seconds => format!("{ERASE}{note} {seconds} s"),
    }
}

fn show(text: &str) {
    let _ = write_all(io::stderr().as_fd(), text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_seconds_once_there_are_any() {
        assert_eq!(line("checking…", Duration::from_millis(300)), "\r\x1b[Kchecking…");
        assert_eq!(line("checking…", Duration::from_millis(2_300)), "\r\x1b[Kchecking… 2 s");
    }
}
