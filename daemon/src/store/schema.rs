//! The tables of format 1, the settings every connection gets, and the checks before a file is trusted to
//! be one of ours.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::Error;

/// The file format that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// "SecD" in SQLite's application id.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"SecD");

/// The size of a page, in every vault and backup that is made here. Another tool may have rebuilt a vault with others.
pub(super) const PAGE: u32 = 4_096;

/// The number of pages of 4 KiB in the log that are moved into the file by the commit that makes them full. What they may add to the
/// file must be less than the room that is kept in reserve for a full disk.
const LOG_PAGES: u32 = 384;

/// About how long the log gets by single writes before it is moved.
pub(super) const LONGEST_LOG: usize = (LOG_PAGES * PAGE) as usize;

/// The tables, by name, with the text that SQLite keeps of them. Anything more or less in a file is a sign that something else
/// wrote to it. All records share one table: their kind is part of their key and of what is authenticated.
const TABLES: [(&str, &str); 5] = [
    (
        "audit",
        "CREATE TABLE audit (sequence INTEGER PRIMARY KEY, sealed BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "header",
        "CREATE TABLE header (one INTEGER PRIMARY KEY CHECK (one = 1), vault BLOB NOT NULL, lineage BLOB NOT NULL, \
         epoch INTEGER NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "manifest",
        "CREATE TABLE manifest (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL, \
         sealed BLOB NOT NULL) STRICT",
    ),
    (
        "record",
        "CREATE TABLE record (kind INTEGER NOT NULL, id BLOB NOT NULL, version INTEGER NOT NULL, \
         sealed BLOB NOT NULL, PRIMARY KEY (kind, id, version)) STRICT, WITHOUT ROWID",
    ),
    (
        "slot",
        "CREATE TABLE slot (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, memory_kib INTEGER NOT NULL, \
         passes INTEGER NOT NULL, lanes INTEGER NOT NULL, salt BLOB NOT NULL, wrapped BLOB NOT NULL, \
         sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
];

/// What ANALYZE or `PRAGMA optimize` of another program adds, with the text that SQLite keeps of them
/// (<https://sqlite.org/fileformat2.html#stat1tab>). They hold counts, which choose between ways to the same rows: there is
/// one way to ours. They are let in, and dropped once the vault may be written to.
const STATISTICS: [(&str, &str); 2] = [
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];

/// How much of a file's structure is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, and that no page has two uses.
    All,
    /// Each table by itself but for the audit log, which is most of an old vault.
    AllButAudit,
}

/// Turns an empty file into a vault file without rows.
pub(super) fn create(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = NONE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
    ))?;
    use_log(&connection)?;
    for (_, sql) in TABLES {
        connection.execute(sql, [])?;
    }
    Ok(connection)
}

/// Opens a vault file after checking, in this order: that it is ours, its format, its schema, and the soundness of what tells
/// which keys open it. Nothing is written into it.
pub(super) fn open_for_key(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    check_identity(&connection)?;
    check_schema(&connection)?;
    ["header", "slot"].into_iter().try_for_each(|table| check_integrity(&connection, table))?;
    Ok(connection)
}

/// Opens a vault file whose soundness is known.
pub(super) fn open_again(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    check_identity(&connection)?;
    check_schema(&connection)?;
    Ok(connection)
}

/// A second connection to the main file of a vault that this process has open, for reading alone: without its log, and
/// without locks (<https://sqlite.org/uri.html#uriimmutable>). The file must not be written to meanwhile. SQLite knows that
/// the process has the file open twice, so that closing this one loses no lock of the other's. Nothing is checked yet.
pub(super) fn open_beside(path: &Path) -> Result<Connection, Error> {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    connect_as(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Whether it is ours, its format, its schema, its soundness, in this order.
pub(super) fn check(connection: &Connection) -> Result<(), Error> {
    check_identity(connection)?;
    check_schema(connection)?;
    check_soundness(connection, Extent::All)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    connect_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn connect_as(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let flags = flags
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    for (config, on) in [
        // A handle that is dropped because its file is not to be trusted must not write the log into it.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        // There is one plan for each statement: without this one is prepared again at each run, in case that a bound
        // value calls for another.
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        connection.set_db_config(config, on)?;
    }
    // Not 0: VACUUM INTO attaches its target.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    // A forged length must not take memory. The largest honest row is the audit entry of a reveal that names
    // every secret: 26 MB for 100,000 of the longest names.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 64 << 20)?;
    // Exclusive locking before the first read, so that the log's index stays in memory and no other
    // program can open the file meanwhile.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )?;
    hold_log(&connection, false)?;
    // All that a busy vault asks for, without creating any of it again.
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Whether what is committed stays in the log, however long that gets.
pub(super) fn hold_log(connection: &Connection, hold: bool) -> Result<(), Error> {
    Ok(connection.pragma_update(None, "wal_autocheckpoint", if hold { 0 } else { LOG_PAGES })?)
}

/// Whether a commit waits until it is on the disk, and what is moved into the file too.
pub(super) fn wait_for_disk(connection: &Connection, wait: bool) -> Result<(), Error> {
    Ok(connection.pragma_update(None, "synchronous", if wait { "FULL" } else { "OFF" })?)
}

/// Moves a log into the file that is as long as a commit that held it may not leave it.
pub(super) fn move_long_log(connection: &Connection, length: u64) -> Result<(), Error> {
    if length > u64::from(LOG_PAGES * PAGE) {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

fn check_identity(connection: &Connection) -> Result<(), Error> {
    let application: u32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(Error::NotAVault);
    }
    match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? {
        FORMAT => Ok(()),
        newer if newer > FORMAT => Err(Error::NewerFormat(newer)),
        _ => Err(Error::Damaged("the vault says it has a format that never existed")),
    }
}

/// Write-ahead logging, demanded only once the file is known to be ours to write: it is written into the file.
pub(super) fn use_log(connection: &Connection) -> Result<(), Error> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Io("the file system does not support a write-ahead log".to_owned()));
    }
    drop_statistics(connection)?;
    // A log that was begun just now is open for a checkpoint only after the next statement.
    check_identity(connection)
}

fn drop_statistics(connection: &Connection) -> Result<(), Error> {
    for (name, _) in STATISTICS {
        connection.execute(&format!("DROP TABLE IF EXISTS {name}"), [])?;
    }
    Ok(())
}

fn check_schema(connection: &Connection) -> Result<(), Error> {
    let mut statement = connection
        .prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name, type")?;
    let found = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<Vec<(String, String, String, String)>, _>>()?;
    let expected = TABLES
        .iter()
        .map(|(name, sql)| ("table".to_owned(), (*name).to_owned(), (*name).to_owned(), (*sql).to_owned()));
    let is_statistics = |(kind, name, table, sql): &(String, String, String, String)| {
        kind == "table" && name == table && STATISTICS.contains(&(name, sql))
    };
    if found.into_iter().filter(|one| !is_statistics(one)).eq(expected) {
        Ok(())
    } else {
        Err(Error::Damaged("the vault's tables are not those of its format"))
    }
}

/// The full check: `quick_check` does not compare an index with its table.
pub(super) fn check_soundness(connection: &Connection, extent: Extent) -> Result<(), Error> {
    match extent {
        Extent::All => check_integrity(connection, "1"),
        Extent::AllButAudit => {
            let tables = TABLES.map(|(table, _)| table).into_iter().filter(|table| *table != "audit");
            // With the schema goes the list of free pages.
            tables.chain(["sqlite_schema"]).try_for_each(|table| check_integrity(connection, table))
        }
    }
}

/// Of one table, or of all of them, where one fault is enough (<https://sqlite.org/pragma.html#pragma_integrity_check>).
fn check_integrity(connection: &Connection, what: &str) -> Result<(), Error> {
    let pragma = format!("PRAGMA integrity_check({what})");
    let verdict: String = connection.query_row(&pragma, [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::Damaged("the database fails its integrity check")) }
}
