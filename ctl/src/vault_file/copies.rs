//! How a vault's file is recognised, whether it is whole, and which copies lie beside the vault.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use secrets_local::places;

use crate::failure::{Exit, Failure};
use crate::input;

/// What a vault's file begins with, and its application id further on.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION: (usize, &[u8; 4]) = (68, b"SecD");

/// The size of a vault's pages.
const PAGE: u16 = 4_096;

/// What stands between the vault's name and the time in the name of one that a restore has put aside.
pub(super) const KEPT: &str = ".before-restore-";

/// The length of the header of SQLite's log (<https://sqlite.org/fileformat2.html#walformat>).
const LOG_HEADER: usize = 32;

/// Whether a file that begins like this is a vault.
pub(crate) fn is_vault(beginning: &[u8]) -> bool {
    let (at, id) = APPLICATION;
    beginning.starts_with(MAGIC) && beginning.get(at..at + id.len()) == Some(id)
}

/// How many bytes a vault has that begins like this, by SQLite's header (<https://sqlite.org/fileformat2.html>): pages
/// times their size. The number of pages counts only where two counters agree; what has changed it last has set both.
fn length(beginning: &[u8]) -> Option<u64> {
    let number = |at: usize| {
        let bytes = beginning.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    let is_ours = beginning.get(16..18)? == PAGE.to_be_bytes() && number(24)? == number(92)?;
    let pages = number(28).filter(|pages| is_ours && *pages > 0)?;
    Some(u64::from(pages) * u64::from(PAGE))
}

/// A backup that is to be restored.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(super) file: File,
    /// How many bytes of it are the vault.
    pub(super) length: u64,
}

/// Opens a backup: a regular file that is a vault as a whole and no more, with nothing beside it that belongs to it.
pub(crate) fn open_backup(path: &Path) -> Result<Backup, Failure> {
    let name = input::shown(path).unwrap_or_else(|| "the file".to_owned());
    let unreadable = |error: io::Error| {
        let absent = error.kind() == io::ErrorKind::NotFound;
        let exit = if absent { Exit::NotFound } else { Exit::Other };
        Failure::new(exit, format!("cannot read the backup, {name}: {error}"))
    };
    let no_backup = |why: &str| Err(Failure::new(Exit::Invalid, format!("{name} is not a backup: {why}")));
    // NONBLOCK: a FIFO must be recognised, not waited for.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return no_backup("not a regular file");
    }
    let mut beginning = Vec::new();
    (&file).take(100).read_to_end(&mut beginning).map_err(unreadable)?;
    if !is_vault(&beginning) {
        return no_backup("not a vault of secretsd; name a file written by `secretctl backup`");
    }
    let Some(length) = length(&beginning) else {
        return no_backup("its pages are not those of a vault; another program wrote to it");
    };
    let there = file.metadata().map_err(unreadable)?.len();
    if there != length {
        let what = if there > length { "longer" } else { "shorter" };
        return no_backup(&format!(
            "it is {what} than it should be, {there} bytes instead of {length}; use another copy"
        ));
    }
    if has_log(path) {
        return no_backup("there is a -wal file next to it: it is an incomplete copy of a vault in use");
    }
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    Ok(Backup { file, length })
}

/// The file whose name is this one and that.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Whether the log beside the vault at `path` holds writes that the vault itself does not. One that begins with zeros is
/// only laid out for writes to come; one that cannot be read may hold some.
pub(crate) fn has_log(path: &Path) -> bool {
    let log = with_suffix(path, "-wal");
    if !fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
        return false;
    }
    let mut header = Vec::with_capacity(LOG_HEADER);
    let read = File::open(&log).and_then(|file| file.take(LOG_HEADER as u64).read_to_end(&mut header));
    read.is_err() || header.iter().any(|byte| *byte != 0)
}

/// The files of vaults that restores have put aside in this directory, in their order.
pub(crate) fn kept(data_dir: &Path) -> Vec<PathBuf> {
    let begin = format!("{}{KEPT}", places::VAULT);
    let is_kept = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(begin.as_bytes()))
    };
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let mut kept: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_kept).collect();
    kept.sort();
    kept
}

/// The vault that an interrupted restore has put aside and nothing taken the place of, if that is how it is here.
pub(crate) fn put_aside(data_dir: &Path) -> Option<PathBuf> {
    let is_absent = fs::symlink_metadata(data_dir.join(places::VAULT)).is_err();
    let vault = |path: &PathBuf| !path.as_os_str().as_encoded_bytes().ends_with(b"-wal");
    kept(data_dir).into_iter().rfind(vault).filter(|_| is_absent)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of two pages.
    pub(in crate::vault_file) fn vault(content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * usize::from(PAGE)];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..18].copy_from_slice(&PAGE.to_be_bytes());
        bytes[28..32].copy_from_slice(&2_u32.to_be_bytes());
        bytes[68..72].copy_from_slice(b"SecD");
        bytes[100..100 + content.len()].copy_from_slice(content);
        bytes
    }

    #[test]
    fn only_a_whole_vault_is_a_backup() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("file");
        assert_eq!(open_backup(&path).unwrap_err().exit(), Exit::NotFound);
        assert_eq!(open_backup(base.path()).unwrap_err().exit(), Exit::Invalid);
        let mut other = vault(b"");
        other[70] = b'x';
        let with = |at: usize, byte: u8| {
            let mut bytes = vault(b"");
            bytes[at] = byte;
            bytes
        };
        let longer = [vault(b""), vec![0; 4_096]].concat();
        let (small_pages, large_pages, fewer, more) = (with(16, 2), with(17, 1), with(31, 1), with(31, 3));
        let (no_pages, not_counted) = (with(31, 0), with(27, 1));
        for bad in [
            &b""[..],
            MAGIC,
            &other,
            &vault(b"")[..71],
            &vault(b"")[..8_191],
            &longer,
            &small_pages,
            &large_pages,
            &fewer,
            &more,
            &no_pages,
            &not_counted,
        ] {
            fs::write(&path, bad).unwrap();
            assert_eq!(open_backup(&path).unwrap_err().exit(), Exit::Invalid);
        }
        fs::write(&path, vault(b"x")).unwrap();
        open_backup(&path).unwrap();
        fs::write(base.path().join("file-wal"), "frames").unwrap();
        assert_eq!(open_backup(&path).unwrap_err().exit(), Exit::Invalid);
    }
}
