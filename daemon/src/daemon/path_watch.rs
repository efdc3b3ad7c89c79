//! Hears when a path may lead elsewhere than it did: when it, or a directory or link on the way to it, is removed, moved,
//! changed, or hidden by a mount. Nothing looks from time to time. What another machine does in a network file system
//! goes unheard.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::Notify;

/// Links on the way to one path, as many as the kernel follows.
const LINKS: usize = 40;

/// What the thread needs, which only waits.
const STACK: usize = 128 << 10;

/// What is watched, by inotify(7), and the mounts (`/proc/PID/mountinfo` of proc(5)): a directory that is unmounted while
/// it is in use, or mounted over, tells nobody.
#[derive(Debug)]
pub(super) struct PathWatch {
    events: Arc<OwnedFd>,
    numbers: BTreeSet<i32>,
    news: Arc<Notify>,
    /// Ends with the process.
    thread: JoinHandle<()>,
}

impl PathWatch {
    /// Watches nothing yet but the mounts.
    pub(super) fn new() -> io::Result<Self> {
        let events = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        let mounts = File::open("/proc/self/mountinfo")?;
        let news = Arc::new(Notify::new());
        let (heard, told) = (Arc::clone(&events), Arc::clone(&news));
        let wait = move || {
            while wait(&heard, &mounts).is_ok() {
                told.notify_one();
            }
        };
        let thread = thread::Builder::new().name("paths".to_owned()).stack_size(STACK).spawn(wait)?;
        Ok(Self { events, numbers: BTreeSet::new(), news, thread })
    }

    /// From now on watches these paths, all that is on the way to them, and nothing else. An error if some of it is not
    /// there or cannot be watched; the rest is watched then.
    pub(super) fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) -> io::Result<()> {
        let steps: BTreeSet<PathBuf> = paths.flat_map(way_to).collect();
        let (mut numbers, mut outcome) = (BTreeSet::new(), Ok(()));
        for step in &steps {
            match self.add(step) {
                Ok(number) => drop(numbers.insert(number)),
                Err(error) => outcome = Err(error),
            }
        }
        for stale in self.numbers.difference(&numbers) {
            // One whose file is gone has ended by itself.
            let _ = inotify::remove_watch(&self.events, *stale);
        }
        self.numbers = numbers;
        if self.thread.is_finished() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        outcome
    }

    /// The number of its watch, which is the same as before if it is watched already.
    fn add(&self, path: &Path) -> io::Result<i32> {
        let metadata = fs::symlink_metadata(path)?;
        let mut wanted = WatchFlags::DONT_FOLLOW | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        if !metadata.is_dir() {
            // A file in use is not deleted when its name is: it has a link less.
            wanted |= WatchFlags::MODIFY | WatchFlags::ATTRIB;
        } else if metadata.mode() & 0o002 == 0 {
            // It tells of what is in the directory, too: too much of that where everybody writes.
            wanted |= WatchFlags::ATTRIB;
        }
        Ok(inotify::add_watch(&self.events, path, wanted)?)
    }

    /// Waits until something has happened since it was asked the last time.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }
}

/// Waits for something to happen. What it was does not matter: all of it is looked at.
fn wait(events: &OwnedFd, mounts: &File) -> io::Result<()> {
    let polled = &mut [PollFd::new(events, PollFlags::IN), PollFd::new(mounts, PollFlags::PRI)];
    match poll(polled, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    while rustix::io::read(events, &mut [0; 4096]).is_ok() {}
    Ok(())
}

/// All names on the way to a path, itself included, and where links lead on this way.
fn way_to(path: &Path) -> Vec<PathBuf> {
    let backwards = |path: &Path| -> Vec<OsString> {
        path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
    };
    let (mut at, mut left, mut way, mut links) = (PathBuf::new(), backwards(path), Vec::new(), 0);
    while let Some(part) = left.pop() {
        if part == Component::ParentDir.as_os_str() {
            at.pop();
            continue;
        }
        at.push(part);
        way.push(at.clone());
        if let Ok(target) = fs::read_link(&at)
            && links < LINKS
        {
            links += 1;
            at.pop();
            left.extend(backwards(&target));
        }
    }
    way
}
