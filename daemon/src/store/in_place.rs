//! Whether the files that SQLite has open are still those at their paths, and whether anybody else has written to the
//! main one. SQLite goes on with a file that was removed, renamed or replaced, and what it commits there is gone once it
//! is closed.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::log_of;

/// The vault's file and its log, as they were when they were opened.
pub(super) struct InPlace {
    main: PathBuf,
    /// What the main file was after our last write to it, and how long at least: only [`measure`](Self::measure) may find
    /// it shorter.
    known: Cell<Option<Stamp>>,
    /// Whether the main file was once another than that.
    touched: Cell<bool>,
    /// `None` while there is no log to lose.
    logged: Cell<Option<FileId>>,
}

/// Which file it is, how long, and when it was last changed. A write to a file changes this, and so does everything that
/// sets its times: the time of a change cannot be chosen without the system's clock. Before Linux 6.13 that time goes by
/// the timer's ticks of some milliseconds, and of two writes within one tick the second does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    id: FileId,
    length: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// Device and inode: no other file has the same pair while this one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl Stamp {
    /// How long its bytes are.
    pub(crate) const BYTES: usize = 40;

    /// Device, inode, length, seconds and nanoseconds, 8 bytes each, big-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let Self { id: FileId { device, inode }, length, changed: (seconds, nanoseconds) } = self;
        let mut bytes = [0; Self::BYTES];
        let numbers = [device, inode, length, seconds.cast_unsigned(), nanoseconds.cast_unsigned()];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}

impl InPlace {
    /// Notes which file is at this path. Anyone who is to be noticed comes later: SQLite holds its lock on the file by now.
    pub(super) fn at(main: &Path) -> Self {
        Self {
            main: main.to_owned(),
            known: Cell::new(seen(main)),
            touched: Cell::default(),
            logged: Cell::default(),
        }
    }

    /// Where the log is.
    pub(super) fn log(&self) -> PathBuf {
        log_of(&self.main)
    }

    /// Notes the log, once SQLite writes to it.
    pub(super) fn note_log(&self) {
        self.logged.set(seen(&self.log()).map(|stamp| stamp.id));
    }

    /// Whether this file is the log that was noted.
    pub(super) fn is_log(&self, file: &File) -> bool {
        let id = file.metadata().ok().map(|found| FileId { device: found.dev(), inode: found.ino() });
        id.is_some() && self.logged.get() == id
    }

    /// Notes whether somebody has written to the main file since our last write, before the next one.
    pub(super) fn look(&self) {
        self.touched.set(self.untouched().is_none());
    }

    /// Notes what the main file is after SQLite has written to it.
    pub(super) fn measure(&self) {
        let before = self.known.get().map(|known| known.id);
        if let Some(now) = seen(&self.main).filter(|now| before == Some(now.id)) {
            self.known.set(Some(now));
        }
    }

    /// The same after a commit, which makes no file shorter.
    pub(super) fn measure_grown(&self) {
        if self.holds() {
            self.measure();
        }
    }

    /// What the main file is, if nobody but us has written to it since it was opened.
    pub(super) fn untouched(&self) -> Option<Stamp> {
        seen(&self.main).filter(|now| !self.touched.get() && self.known.get() == Some(*now))
    }

    /// Whether both are where they were, and the main file is no shorter.
    pub(super) fn holds(&self) -> bool {
        let main = self.known.get().is_some_and(|known| {
            seen(&self.main).is_some_and(|now| now.id == known.id && now.length >= known.length)
        });
        main && self.logged.get().is_none_or(|id| seen(&self.log()).is_some_and(|log| log.id == id))
    }
}

fn seen(path: &Path) -> Option<Stamp> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some(Stamp {
        id: FileId { device: metadata.dev(), inode: metadata.ino() },
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
