//! What is put in order before a signal ends or stops the process: the terminal is given back, a draft is removed.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::getpid;
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU,
};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, raise};

use crate::{job, output};

/// All that can be caught, stops or ends a process that does nothing about it, and does not tell of a fault of its own. Not
/// SIGXFSZ: `output` makes a write that fails of it.
const SIGNALS: [i32; 12] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGTSTP,
    SIGCONT,
];

/// Who has something to put in order.
static FIRST: Mutex<Vec<fn(i32)>> = Mutex::new(Vec::new());

/// What is to be said to a signal that must wait, and which one came.
#[derive(Debug)]
struct Held {
    word: String,
    came: Option<i32>,
}

/// Whether signals must wait.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// The thread that watches for signals, if there is one.
static WATCHED: OnceLock<Handle> = OnceLock::new();

/// From now on `first` is called with each signal before that does what it means, and with SIGCONT. Starts the thread
/// that does so, once. A signal that was ignored when we started stays ignored.
pub(crate) fn before(first: fn(i32)) -> io::Result<()> {
    let mut all = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.iter().any(|other| std::ptr::fn_addr_eq(*other, first)) {
        all.push(first);
    }
    drop(all);
    watch()
}

/// From now on the first signal that would end us is noted, and answered with this word. The next one ends us.
pub(crate) fn hold(word: String) {
    *held() = Some(Held { word, came: None });
    // Where there can be no thread, signals do what they always do.
    let _ = watch();
}

/// Whether a signal that would end us has come while signals were held.
pub(crate) fn has_come() -> bool {
    held().as_ref().is_some_and(|held| held.came.is_some())
}

/// Does what the signal means that came while signals were held, if one came.
pub(crate) fn release() {
    let came = held().take().and_then(|held| held.came);
    if let Some(signal) = came {
        die_of(signal);
    }
}

/// Starts the thread, once.
fn watch() -> io::Result<()> {
    if WATCHED.get().is_some() {
        return Ok(());
    }
    let ignored = job::ignored_signals();
    let mut signals = Signals::new(SIGNALS.iter().filter(|number| ignored >> (**number - 1) & 1 == 0))?;
    let handle = signals.handle();
    std::thread::Builder::new().spawn(move || signals.forever().for_each(react))?;
    let _ = WATCHED.set(handle);
    Ok(())
}

/// Leaves signals to somebody else from here on.
pub(crate) fn leave_signals() {
    if let Some(handle) = WATCHED.get() {
        handle.close();
    }
}

/// Ends the process by this signal, so that its parent sees that. What is to be put in order was before.
pub(crate) fn die_of(signal: i32) -> ! {
    // The first process of a container cannot die of a signal of its own, and trying would be a crash.
    if !getpid().is_init() {
        let _ = emulate_default_handler(signal);
        // What that function does not know, such as a real-time signal, was never caught.
        let _ = raise(signal);
    }
    std::process::exit(128 + signal)
}

fn held() -> MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn react(signal: i32) {
    if signal != SIGCONT
        && signal != SIGTSTP
        && let Some(held) = held().as_mut().filter(|held| held.came.is_none())
    {
        held.came = Some(signal);
        return output::say(&held.word);
    }
    let first = FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    first.iter().for_each(|first| first(signal));
    if signal != SIGCONT {
        let _ = emulate_default_handler(signal);
    }
}
