//! Whether the files that SQLite has open are still those at their paths. SQLite goes on with a file that was removed,
//! renamed or replaced, and what it commits there is gone once it is closed.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::log_of;

/// The vault's file and its log, as they were when they were opened.
pub(super) struct InPlace {
    main: PathBuf,
    /// What the main file was, and how long at least: only [`measure`](Self::measure) may find it shorter.
    opened: Cell<Option<(FileId, u64)>>,
    /// `None` while there is no log to lose.
    logged: Cell<Option<FileId>>,
}

/// Device and inode: no other file has the same pair while this one is open.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl InPlace {
    /// Notes which file is at this path. Whoever is to be noticed comes later: SQLite holds its lock on the file by now.
    pub(super) fn at(main: &Path) -> Self {
        let noted = Self { main: main.to_owned(), opened: Cell::new(None), logged: Cell::new(None) };
        noted.opened.set(seen(main));
        noted
    }

    /// Where the log is.
    pub(super) fn log(&self) -> PathBuf {
        log_of(&self.main)
    }

    /// Notes the log, once SQLite writes to it.
    pub(super) fn note_log(&self) {
        self.logged.set(seen(&self.log()).map(|(id, _)| id));
    }

    /// Whether this file is the log that was noted.
    pub(super) fn is_log(&self, file: &File) -> bool {
        let id = file.metadata().ok().map(|found| FileId { device: found.dev(), inode: found.ino() });
        id.is_some() && self.logged.get() == id
    }

    /// Notes the length of the main file again after SQLite has moved the log into it, which may make it shorter.
    pub(super) fn measure(&self) {
        let before = self.opened.get().map(|(id, _)| id);
        if let Some(now) = seen(&self.main).filter(|(id, _)| before == Some(*id)) {
            self.opened.set(Some(now));
        }
    }

    /// Whether both are where they were, and the main file is no shorter.
    pub(super) fn holds(&self) -> bool {
        let main = self.opened.get().is_some_and(|(id, length)| {
            seen(&self.main).is_some_and(|(now, found)| now == id && found >= length)
        });
        main && self.logged.get().is_none_or(|id| seen(&self.log()).is_some_and(|(now, _)| now == id))
    }
}

fn seen(path: &Path) -> Option<(FileId, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((FileId { device: metadata.dev(), inode: metadata.ino() }, metadata.len()))
}
