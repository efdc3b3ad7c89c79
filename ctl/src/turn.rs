//! Whose turn it is at our terminal. Commands of one pipeline, of `make -j` or of `xargs -P` share a terminal; if two of
//! them asked at once, each would get some of the keys, and one would give back the modes that the other has set. So
//! there is a lock, which the kernel releases when its holder ends. It knows no question and no modes.
//!
//! The lock is on the terminal itself: that is one file for every program on it, whichever user, socket or container
//! it belongs to, and nothing is left behind. After `su` the terminal's file is another user's and cannot be opened;
//! then a file in our runtime directory stands for it. `/dev/tty` would not do: it is one file for all terminals.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock, major, minor};
use rustix::io::Errno;

use crate::environment;
use crate::job::Job;

/// How often a process that waits tries again.
const STEP: Duration = Duration::from_millis(50);

/// How often a process that asks, or waits to ask, looks whether it still has to.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// The turn of this process, shared with the thread that watches for signals (`ending`).
static OWN: Mutex<Own> = Mutex::new(Own { depth: 0, lock: None });

struct Own {
    /// How many parts of the program want it; they are inside one another.
    depth: usize,
    lock: Option<Lock>,
}

/// Held until dropped; without a file where there is none to be had.
struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] Option<File>);

/// Our turn, until dropped. One may be taken inside another.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Takes the turn if nobody else has it.
    pub(crate) fn now() -> Option<Self> {
        let mut own = own();
        if own.lock.is_none() {
            own.lock = lock(file());
        }
        own.lock.is_some().then(|| {
            own.depth += 1;
            Self(())
        })
    }

    /// Waits for the turn; none if there is nothing to ask any more. Outside of the terminal's foreground nobody waits:
    /// there a question fails.
    pub(crate) fn wait(needless: &dyn Fn() -> bool) -> Option<Self> {
        let mut looked = Instant::now();
        let mut has_waited = false;
        loop {
            let is_foreground = Job::own().is_some_and(Job::is_in_foreground);
            if let Some(turn) = Self::now() {
                if has_waited {
                    // If Ctrl-C has ended who asked before, the shell takes the foreground back now.
                    thread::sleep(STEP);
                }
                return Some(turn);
            }
            if !is_foreground {
                own().depth += 1;
                return Some(Self(()));
            }
            if looked.elapsed() >= LOOK {
                if needless() {
                    return None;
                }
                looked = Instant::now();
            }
            has_waited = true;
            thread::sleep(STEP);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut own = own();
        own.depth = own.depth.saturating_sub(1);
        if own.depth == 0 {
            own.lock = None;
        }
    }
}

/// Lets others ask, because we are being stopped.
pub(crate) fn let_go() {
    own().lock = None;
}

/// Whether we have the turn, and nobody else.
pub(crate) fn is_ours() -> bool {
    own().lock.is_some()
}

/// Whether we have the turn, or get it back now after [`let_go`].
pub(crate) fn regain() -> bool {
    let mut own = own();
    if own.depth > 0 && own.lock.is_none() && Job::own().is_some_and(Job::is_in_foreground) {
        own.lock = lock(file());
    }
    own.lock.is_some()
}

fn own() -> MutexGuard<'static, Own> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(file: Option<File>) -> Option<Lock> {
    let locked = file.as_ref().map(|file| flock(file, FlockOperation::NonBlockingLockExclusive));
    // Without a file, or locks: better to ask than not to.
    if locked == Some(Err(Errno::WOULDBLOCK)) { None } else { Some(Lock(file)) }
}

/// What is locked for our terminal.
fn file() -> Option<File> {
    let (major, minor) = Job::own()?.terminal()?;
    // Those that we were given are there also where the terminal has no name, as in some containers.
    let given = (0..3).map(|number| format!("/proc/self/fd/{number}"));
    let named = [format!("/dev/pts/{minor}"), format!("/dev/tty{minor}")];
    let terminal = given.chain(named).find_map(|path| open_terminal(Path::new(&path), (major, minor)));
    terminal.or_else(|| stand_in(&environment::runtime_dir()?.join(format!("terminal-{major}-{minor}.lock"))))
}

/// The terminal, if the path leads to it. Nothing else is opened: a FIFO would notice.
fn open_terminal(path: &Path, number: (u32, u32)) -> Option<File> {
    let metadata = fs::metadata(path).ok()?;
    let is_it =
        metadata.file_type().is_char_device() && (major(metadata.rdev()), minor(metadata.rdev())) == number;
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
    is_it.then(|| OpenOptions::new().read(true).custom_flags(flags).open(path).ok())?
}

fn stand_in(path: &Path) -> Option<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
        .ok()
}
