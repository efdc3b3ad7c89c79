//! The vault's file: SQLite tables of bytes. What the bytes mean, and whether they are authentic, is not
//! known here; nothing outside this module knows SQLite.
//!
//! - [`schema`]: the tables, and opening a file only if it has exactly these
//! - [`rows`]: reading and writing rows

mod rows;
mod schema;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

pub(crate) use rows::{AuditRow, HeaderRow, ManifestRow, RecordKind, RecordRow, SlotRow, Writing};
pub(crate) use schema::FORMAT;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
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
}

impl Store {
    /// Makes a new file with the tables and these first rows, durable when this returns. The file must exist, empty
    /// and private.
    pub(crate) fn create(
        path: &Path,
        header: &HeaderRow,
        slots: &[SlotRow],
        manifest: &ManifestRow,
    ) -> Result<(), Error> {
        let store = Self { connection: schema::create(path)? };
        let writing = store.begin()?;
        writing.insert_header(header)?;
        for slot in slots {
            writing.insert_slot(slot)?;
        }
        writing.insert_manifest(manifest)?;
        writing.commit()?;
        store.close()
    }

    /// Opens a file, provided that it is a sound database with exactly our tables.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { connection: schema::open(path)? })
    }

    /// Moves everything into the main file and cuts the log to nothing, so that old content leaves the disk.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(Error::Io("the log could not be truncated".to_owned())) }
    }

    /// Rebuilds the file without the free space in it, so that nothing old is left there, and cuts the log.
    pub(crate) fn rebuild(&self) -> Result<(), Error> {
        self.connection.execute_batch("VACUUM")?;
        self.checkpoint()
    }

    /// Writes a copy of the vault to `path`, an empty file: one consistent state, without free space or log.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| Error::Io("the path is not UTF-8".to_owned()))?;
        self.connection.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Checkpoints and closes, leaving one file. To drop it instead leaves the files as they are.
    pub(crate) fn close(self) -> Result<(), Error> {
        self.checkpoint()?;
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
