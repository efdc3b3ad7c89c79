//! The vault's file: SQLite tables of bytes. What the bytes mean, and whether they are authentic, is not
//! known here; nothing outside this module knows SQLite.
//!
//! - [`schema`]: the tables, and opening a file only if it has exactly these
//! - [`in_place`]: whether the open files are still at their paths, and as we left them
//! - [`laid_out`]: a log that was filled with zeros, and the first commit into it
//! - [`rows`]: what rows are, and reading them; [`writing`]: transactions that write them

mod in_place;
mod laid_out;
mod rows;
mod schema;
mod writing;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use secrets_local::files;

pub(crate) use rusqlite::InterruptHandle;

pub(crate) use in_place::Stamp;
pub(crate) use rows::{
    AuditRow, HeaderRow, MOST_SLOTS, ManifestRow, RecordKey, RecordKind, RecordRow, SlotRow,
};
pub(crate) use schema::{Extent, FORMAT};
pub(crate) use writing::Writing;

use in_place::InPlace;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// No descriptor left to open a file with.
    #[error("there are no file descriptors left")]
    NoDescriptors,
    /// Not a file of ours.
    #[error("the file is not a vault")]
    NotAVault,
    /// Written by a newer program.
    #[error("the vault has format {0}")]
    NewerFormat(u32),
    /// Damaged, or changed by something else: what was found.
    #[error("{0}")]
    Damaged(&'static str),
    /// The system failed to read or write.
    #[error("{0}")]
    Io(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // SQLite does not say why it cannot open a file. It opens three at most at a time: the vault's, its log, and the
            // directory that they are in.
            Some(ErrorCode::CannotOpen) if files::has_fewer_descriptors_than(3) => Self::NoDescriptors,
            Some(ErrorCode::NotADatabase) => Self::NotAVault,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged("the database file is damaged"),
            // A column of another type than the schema promises, or a row that must be there and is not.
            None => Self::Damaged("a row is not of its form"),
            Some(_) => Self::Io(reason(&error)),
        }
    }
}

/// SQLite's reason without the statement's text or any value.
fn reason(error: &rusqlite::Error) -> String {
    error.sqlite_error().map_or_else(|| "unexpected".to_owned(), ToString::to_string)
}

/// An open vault file. The connection holds SQLite's exclusive lock until it is dropped.
pub(crate) struct Store {
    connection: Connection,
    in_place: InPlace,
    /// Whether the log was not there before.
    made_log: bool,
    /// The log, if it holds nothing but zeros, which are on the disk.
    laid_out: Cell<Option<File>>,
    /// Whether commits stay in the log.
    holds_log: Cell<bool>,
    /// How many commits there were since the log was renewed.
    commits: Cell<usize>,
}

impl Store {
    fn of(connection: Connection, path: &Path, made_log: bool) -> Self {
        let in_place = InPlace::at(path);
        Self {
            connection,
            in_place,
            made_log,
            laid_out: Cell::default(),
            holds_log: Cell::default(),
            commits: Cell::default(),
        }
    }

    /// Makes a new file with the tables and these first rows, durable when this returns. The file must exist, empty
    /// and private.
    pub(crate) fn create(
        path: &Path,
        header: &HeaderRow,
        slots: &[SlotRow],
        manifest: &ManifestRow,
    ) -> Result<(), Error> {
        let connection = schema::create(path)?;
        let store = Self::of(connection, path, true);
        let writing = store.begin()?;
        writing.insert_header(header)?;
        for slot in slots {
            writing.insert_slot(slot)?;
        }
        writing.insert_manifest(manifest)?;
        writing.commit()?;
        store.close().map(drop)
    }

    /// Opens a file for reading, provided that it is a sound database with exactly our tables.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let store = Self::open_for_key(path)?;
        store.check_soundness(Extent::All)?;
        Ok(store)
    }

    /// Opens a file for reading, provided that it has exactly our tables, of which those are sound that tell what keys open
    /// it. The rest is to be [checked](Self::check_soundness) before it is read.
    pub(crate) fn open_for_key(path: &Path) -> Result<Self, Error> {
        let made_log = !log_of(path).exists();
        let connection = schema::open_for_key(path)?;
        Ok(Self::of(connection, path, made_log))
    }

    /// Refuses a file that is not a sound database, as far as that.
    pub(crate) fn check_soundness(&self, extent: Extent) -> Result<(), Error> {
        schema::check_soundness(&self.connection, extent)
    }

    /// What the file is, if nobody but us has written to it since it was opened.
    pub(crate) fn untouched(&self) -> Option<Stamp> {
        self.in_place.untouched()
    }

    /// Opens a file that this process has made, checked and closed a moment ago, without checking again that it is sound.
    pub(crate) fn open_again(path: &Path) -> Result<Self, Error> {
        let store = Self::of(schema::open_again(path)?, path, true);
        store.allow_writing()?;
        Ok(store)
    }

    /// The main file of an open vault once more, to be read while commits stay in the log: what it holds now, and no more.
    /// Nothing is looked at before [`check`](Self::check). That one must [hold its log](Self::hold_log) until this one is gone.
    pub(crate) fn beside(path: &Path) -> Result<Self, Error> {
        let connection = schema::open_beside(path)?;
        Ok(Self::of(connection, path, false))
    }

    /// Refuses a file that is not a sound database with exactly our tables, and one with pages of another size than ours: from
    /// a connection that only reads, SQLite gives them to a copy too.
    pub(crate) fn check(&self) -> Result<(), Error> {
        schema::check(&self.connection)?;
        match self.connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))? {
            schema::PAGE => Ok(()),
            _ => Err(Error::Io("its pages have another size".to_owned())),
        }
    }

    /// Whether commits stay in the log, so that the main file does not change.
    pub(crate) fn hold_log(&self, hold: bool) -> Result<(), Error> {
        schema::hold_log(&self.connection, hold)?;
        self.holds_log.set(hold);
        Ok(())
    }

    /// The length of the log in bytes.
    pub(crate) fn log_length(&self) -> u64 {
        std::fs::metadata(self.in_place.log()).map_or(0, |metadata| metadata.len())
    }

    /// What ends a statement that runs, from another thread.
    pub(crate) fn interrupter(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Lets it be written to as well, once it is known that this may be done.
    pub(crate) fn allow_writing(&self) -> Result<(), Error> {
        self.in_place.look();
        schema::use_log(&self.connection)?;
        self.in_place.measure_grown();
        self.in_place.note_log();
        Ok(())
    }

    /// Whether the open files are still the ones at their paths. If not, what is committed now is lost.
    pub(crate) fn is_in_place(&self) -> bool {
        self.in_place.holds()
    }

    /// Closes a file that was only read, and leaves no trace: SQLite has made an empty log beside it.
    pub(crate) fn leave(self) {
        let Self { connection, in_place, made_log, .. } = self;
        let log = in_place.log();
        drop(connection);
        if made_log
            && std::fs::symlink_metadata(&log).is_ok_and(|log| log.is_file() && log.len() == 0)
            && let Err(error) = files::remove_if_there(&log)
        {
            tracing::warn!(%error, "an empty log is left beside the vault");
        }
    }

    /// Moves everything into the main file and cuts the log to nothing, so that old content leaves the disk.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        self.in_place.look();
        self.checkpoint_after(self.is_in_place())
    }

    /// What others had cut before must not pass for what SQLite did: only a file that `was_in_place` may be shorter now.
    fn checkpoint_after(&self, was_in_place: bool) -> Result<(), Error> {
        self.laid_out.take();
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err(Error::Io("the log could not be truncated".to_owned()));
        }
        if was_in_place {
            self.in_place.measure();
        }
        Ok(())
    }

    /// Empties a log that is written to again soon: its first blocks are taken and written over with zeros, so that
    /// the next commits are written in place. A commit that makes the log longer waits for the file system to note the new
    /// length, which takes about as long again. Where there were many commits since the last time, room is made for as many.
    /// That there is no room, or no log, is no error here.
    ///
    /// To SQLite a log that begins with zeros is an empty one (<https://sqlite.org/fileformat2.html#walformat>), and it holds
    /// no lock on this file that closing it a second time would lose: those are on the main file.
    pub(crate) fn renew_log(&self) -> Result<(), Error> {
        self.checkpoint()?;
        if self.is_padded()? {
            tracing::warn!("the vault's file is longer than its content; rewriting it without the rest");
            self.rebuild()?;
        }
        match laid_out::lay_out(&self.in_place.log(), laid_out::length_for(self.commits.take())) {
            Ok(log) => self.laid_out.set(log),
            Err(error) => tracing::debug!(%error, "the log is not laid out"),
        }
        Ok(())
    }

    /// Whether something was added behind the file's last page. SQLite keeps it, and takes no notice of it.
    fn is_padded(&self) -> Result<bool, Error> {
        let number = |pragma| self.connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
        let expected = u64::from(number("PRAGMA page_count")?) * u64::from(number("PRAGMA page_size")?);
        let metadata = self.connection.path().and_then(|path| std::fs::metadata(path).ok());
        Ok(metadata.is_some_and(|metadata| metadata.len() > expected))
    }

    /// Rebuilds the file without the free space in it, so that nothing old is left there, and cuts the log.
    pub(crate) fn rebuild(&self) -> Result<(), Error> {
        self.in_place.look();
        let was_in_place = self.is_in_place();
        // As long as it is, SQLite moves it into the file at once, which gets shorter.
        self.connection.execute_batch("VACUUM")?;
        self.checkpoint_after(was_in_place)
    }

    /// Writes a copy of the vault to `path`, an empty file: one consistent state, without free space or log.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| Error::Io("the path is not UTF-8".to_owned()))?;
        // A restore takes no other.
        self.connection.pragma_update(None, "page_size", schema::PAGE)?;
        self.connection.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Checkpoints and closes, leaving one file, and says what that is if nobody else has written to it while it was open. To
    /// drop it instead leaves the files as they are.
    pub(crate) fn close(self) -> Result<Option<Stamp>, Error> {
        self.checkpoint()?;
        let left = self.untouched();
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(left)
    }
}

/// Where SQLite keeps the log of the file at `path`.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Where SQLite would keep a rollback journal of it, which a vault never has.
pub(crate) fn journal_of(path: &Path) -> PathBuf {
    with_suffix(path, "-journal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn only_the_log_that_was_cut_is_laid_out() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("vault.db"), dir.path().join("aside"));
        files::open_private(&path).unwrap();
        let connection = schema::create(&path).unwrap();
        let store = Store::of(connection, &path, true);
        store.renew_log().unwrap();
        assert_eq!(fs::read(store.in_place.log()).unwrap(), [0; laid_out::LENGTH]);

        fs::rename(store.in_place.log(), &aside).unwrap();
        store.renew_log().unwrap();
        assert!(!store.in_place.log().exists(), "a log was made that SQLite does not have open");

        files::replace_private(&store.in_place.log(), b"another vault's").unwrap();
        store.renew_log().unwrap();
        assert_eq!(fs::read(store.in_place.log()).unwrap(), b"another vault's");
    }

    #[test]
    fn a_file_that_gets_shorter_when_it_is_rebuilt_is_still_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        files::open_private(&path).unwrap();
        let connection = schema::create(&path).unwrap();
        let store = Store::of(connection, &path, true);
        let length = || fs::metadata(&path).unwrap().len();
        // Longer than what SQLite leaves in the log.
        store.connection.execute_batch("CREATE TABLE filler (bytes BLOB)").unwrap();
        for _ in 0..20 {
            store.connection.execute("INSERT INTO filler VALUES (zeroblob(1000000))", []).unwrap();
        }
        store.checkpoint().unwrap();
        let before = length();
        store.connection.execute_batch("DELETE FROM filler WHERE rowid > 10").unwrap();
        store.rebuild().unwrap();
        assert!(length() < before && store.is_in_place());
        File::options().write(true).open(&path).unwrap().set_len(length() / 2).unwrap();
        assert!(!store.is_in_place());
        assert!(
            store.rebuild().is_err() || !store.is_in_place(),
            "what others had cut passes for what SQLite did"
        );
    }

    #[test]
    fn what_others_write_is_told_from_what_sqlite_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        let open = || {
            let store = Store::of(schema::create(&path).unwrap(), &path, true);
            store.in_place.note_log();
            store
        };
        let entry = |sequence| AuditRow { sequence, sealed: vec![7; 2 << 20], mac: [0; 32] };
        for foreign in [false, true] {
            files::remove_if_there(&path).unwrap();
            files::open_private(&path).unwrap();
            let store = open();
            store.renew_log().unwrap();
            for sequence in [1, 2] {
                // Longer than what stays in the log: the commit moves it into the file.
                let writing = store.begin().unwrap();
                writing.append_audit(&entry(sequence)).unwrap();
                writing.commit().unwrap();
                assert!(store.untouched().is_some());
            }
            let writing = store.begin().unwrap();
            writing.delete_audit(2).unwrap();
            writing.commit().unwrap();
            if foreign {
                let file = File::options().write(true).open(&path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"SQLite", 0).unwrap();
            }
            store.rebuild().unwrap();
            store.renew_log().unwrap();
            assert_eq!(store.close().unwrap().is_some(), !foreign);
        }
    }

    #[test]
    fn without_the_audit_log_everything_else_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        files::open_private(&path).unwrap();
        let connection = schema::create(&path).unwrap();
        let fill = "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 100)";
        for insert in [
            "INSERT INTO audit SELECT n, zeroblob(400), zeroblob(32) FROM n",
            "INSERT INTO record SELECT 1, randomblob(16), n, zeroblob(400) FROM n",
            "INSERT INTO slot SELECT randomblob(16), 1, 0, 0, 0, x'', x'', zeroblob(400) FROM n",
        ] {
            connection.execute(&format!("{fill} {insert}"), []).unwrap();
        }
        let root = |table: &str| -> u32 {
            let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
            connection.query_row(sql, [table], |row| row.get(0)).unwrap()
        };
        let page = |number: u32| ((number - 1) * schema::PAGE) as usize;
        let roots = ["audit", "record", "slot"].map(|table| (table, page(root(table))));
        Store::of(connection, &path, true).close().unwrap();
        let whole = fs::read(&path).unwrap();
        for (table, root) in roots {
            // The number of cells on its first page.
            let mut damaged = whole.clone();
            damaged[root + 3..root + 5].copy_from_slice(&[0xff; 2]);
            fs::write(&path, &damaged).unwrap();
            assert!(Store::open(&path).is_err(), "{table}");
            let checked = Store::open_for_key(&path);
            assert_eq!(checked.is_err(), table == "slot");
            let Ok(store) = checked else { continue };
            assert_eq!(store.check_soundness(Extent::AllButAudit).is_err(), table == "record");
        }
    }

    #[test]
    fn a_statement_that_runs_often_is_prepared_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        files::open_private(&path).unwrap();
        let store = Store::of(schema::create(&path).unwrap(), &path, true);
        for number in 1..=3 {
            store.records_of(RecordKind::Value, &[number; 16]).unwrap();
        }
        let statement = store.connection.prepare_cached(rows::RECORDS_OF).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 3);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    /// What `.cargo/config.toml` asks for.
    #[test]
    fn sqlite_is_built_without_what_nothing_here_uses() {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare("PRAGMA compile_options").unwrap();
        let options = statement.query_map([], |row| row.get(0)).unwrap();
        let options: Vec<String> = options.map(Result::unwrap).collect();
        assert!(options.iter().any(|option| option == "OMIT_LOAD_EXTENSION"), "{options:?}");
        let modules = ["FTS", "RTREE", "DBSTAT", "STAT4", "SOUNDEX"];
        let surplus = options.iter().find(|option| modules.iter().any(|module| option.contains(module)));
        assert_eq!(surplus, None);
    }
}
