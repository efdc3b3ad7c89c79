//! A log whose first blocks were filled with zeros, and the first commit into it.
//!
//! By itself SQLite waits for the disk twice at the first commit into an empty log: for the log's new header, and for the
//! commit. The first keeps the order of the two where an older log lies in the same place
//! (<https://sqlite.org/src/info/ff5be73dee>). Here there are zeros, which are on the disk: with a header or a commit of
//! which only a part is there, the log is read as an empty one, whatever came first. So SQLite waits for nothing, and we
//! wait once for both.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use secrets_local::files;

use super::{Error, Store, schema};

/// How much is filled with zeros at least: some commits of a single write each.
pub(super) const LENGTH: usize = 64 * 1024;

/// About how long a commit of a single write is in the log.
const COMMIT: usize = 28 * 1024;

/// How much is filled with zeros where there were so many commits in the last second: in a stream of them each would make the
/// log longer until it is moved into the file. From there on it is written from its beginning.
pub(super) fn length_for(commits: usize) -> usize {
    commits.saturating_mul(COMMIT).clamp(LENGTH, schema::LONGEST_LOG)
}

/// Fills the log with zeros, if it is there and empty, as it is when it was just cut. A path is no handle: somebody who has
/// put another vault in this one's place while the daemon runs has the newest writes of that one here.
pub(super) fn lay_out(log: &Path, length: usize) -> Result<Option<File>, files::Error> {
    let at = |error: io::Error| files::Error::Io(log.to_owned(), error);
    if !files::check_private_file(log)? {
        return Ok(None);
    }
    let file = files::open_private(log)?;
    if file.metadata().map_err(at)?.len() != 0 {
        return Ok(None);
    }
    file.write_all_at(&vec![0; length], 0).and_then(|()| file.sync_data()).map_err(at)?;
    Ok(Some(file))
}

/// A log into which nothing was committed yet. Until this is dropped SQLite neither waits for the disk nor moves anything
/// into the main file.
pub(super) struct First<'a> {
    store: &'a Store,
    log: Option<File>,
}

impl<'a> First<'a> {
    /// The next commit's log, if it is one of zeros.
    pub(super) fn of(store: &'a Store) -> Result<Option<Self>, Error> {
        let log = store.laid_out.take().filter(|log| store.in_place.is_log(log));
        let Some(log) = log else { return Ok(None) };
        let first = Self { store, log: Some(log) };
        schema::hold_log(&store.connection, true)?;
        schema::wait_for_disk(&store.connection, false)?;
        Ok(Some(first))
    }

    /// Makes durable what was committed.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        // Opened before the commit, so that it hears of every error in writing it.
        let synced = self.log.take().map_or(Ok(()), |log| log.sync_data());
        // The caller drops the store, which does not know any more what is in the file.
        synced.map_err(|error| Error::Io(error.to_string()))?;
        self.end()?;
        if self.store.holds_log.get() {
            return Ok(());
        }
        schema::move_long_log(&self.store.connection, self.store.log_length())
    }

    fn end(&self) -> Result<(), Error> {
        schema::wait_for_disk(&self.store.connection, true)?;
        schema::hold_log(&self.store.connection, self.store.holds_log.get())
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        // Nothing was committed: it is still the first.
        if self.log.is_some() && self.end().is_ok() {
            self.store.laid_out.set(self.log.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::AuditRow;

    fn number(store: &Store, pragma: &str) -> u32 {
        store.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
    }

    /// Whether SQLite waits for the disk by itself, and moves a long log into the file.
    fn is_as_ever(store: &Store) -> bool {
        (number(store, "synchronous"), number(store, "wal_autocheckpoint") > 0) == (2, true)
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        files::open_private(&path).unwrap();
        let store = Store::of(schema::create(&path).unwrap(), &path, true);
        store.in_place.note_log();
        (dir, store)
    }

    fn insert(store: &Store, bytes: u32) {
        let sql = "INSERT INTO slot VALUES (randomblob(16), 0, 0, 0, 0, x'', x'', zeroblob(?1))";
        store.connection.execute(sql, [bytes]).unwrap();
    }

    fn slots(store: &Store) -> u32 {
        store.connection.query_row("SELECT count(*) FROM slot", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn only_the_first_commit_into_zeros_leaves_the_disk_to_us() {
        let (_dir, store) = store();
        store.renew_log().unwrap();
        for _ in 0..2 {
            let refused = store.begin().unwrap();
            assert!(!is_as_ever(&store));
            insert(&store, 10);
            drop(refused);
            assert!(is_as_ever(&store));
        }
        let first = store.begin().unwrap();
        assert!(!is_as_ever(&store));
        insert(&store, 10);
        first.commit().unwrap();
        assert!(is_as_ever(&store));
        let second = store.begin().unwrap();
        assert!(is_as_ever(&store));
        insert(&store, 10);
        second.commit().unwrap();
        assert_eq!(slots(&store), 2);
        // A log that is cut but not laid out is left to SQLite.
        store.renew_log().unwrap();
        store.checkpoint().unwrap();
        let third = store.begin().unwrap();
        assert!(is_as_ever(&store));
        drop(third);
    }

    #[test]
    fn where_many_commits_were_there_is_room_for_as_many() {
        let (_dir, store) = store();
        let length = || fs::metadata(store.in_place.log()).unwrap().len();
        let commit = |sequence| {
            let writing = store.begin().unwrap();
            let entry = AuditRow { sequence, sealed: vec![7; 2 << 12], mac: [0; 32] };
            writing.append_audit(&entry).unwrap();
            writing.commit().unwrap();
        };
        (1..=100).for_each(commit);
        store.renew_log().unwrap();
        let laid_out = length();
        assert_eq!(laid_out, schema::LONGEST_LOG as u64);
        (101..=150).for_each(commit);
        assert_eq!(length(), laid_out, "a commit has made the log longer");
        store.renew_log().unwrap();
        commit(151);
        store.renew_log().unwrap();
        assert_eq!(length(), LENGTH as u64, "it takes room that nobody needs any more");
    }

    #[test]
    fn another_log_at_its_path_is_left_to_sqlite() {
        let (dir, store) = store();
        store.renew_log().unwrap();
        store.in_place.note_log();
        fs::rename(store.in_place.log(), dir.path().join("aside")).unwrap();
        files::replace_private(&store.in_place.log(), b"another vault's").unwrap();
        store.in_place.note_log();
        let writing = store.begin().unwrap();
        assert!(is_as_ever(&store));
        drop(writing);
    }

    #[test]
    fn a_long_first_commit_is_moved_into_the_file_unless_the_log_is_held() {
        let (_dir, store) = store();
        for (held, moved) in [(true, false), (false, true)] {
            store.hold_log(false).unwrap();
            store.renew_log().unwrap();
            store.hold_log(held).unwrap();
            let before = fs::metadata(store.connection.path().unwrap()).unwrap().len();
            let first = store.begin().unwrap();
            assert!(!is_as_ever(&store));
            insert(&store, 2 << 20);
            first.commit().unwrap();
            let after = fs::metadata(store.connection.path().unwrap()).unwrap().len();
            assert_eq!(after > before + (2 << 20), moved, "{before} {after}");
            assert_eq!(is_as_ever(&store), !held);
        }
        assert_eq!(slots(&store), 2);
    }
}
