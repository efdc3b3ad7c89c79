//! `backup`: a copy of the vault in a file. It has its name only once it is whole, read back and durable.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Buf;
use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use rustix::io::Errno;

use crate::call::Call;
use crate::cli::BackupArgs;
use crate::failure::{Exit, Failure};
use crate::output::Waiting;
use crate::session::{Download, Session};
use crate::{environment, output, private_file, vault_file};

/// The most bytes that the daemon hands out.
const LIMIT: u64 = 1 << 30;

/// How much is written, read and compared at once.
const BLOCK: usize = 64 << 10;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &BackupArgs) -> Result<(), Failure> {
    if args.file == Path::new("-") {
        return Err(Failure::new(Exit::Usage, "a backup is checked after it is written; name a file"));
    }
    let path = environment::absolute(&args.file)?;
    // The daemon has files of its own there: renaming over one would cut it off from it.
    let own = [Some(environment::data_dir(None)?), environment::state_dir()];
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let is_own = |directory: PathBuf| {
        parent.as_ref().zip(fs::metadata(directory).ok()).is_some_and(|(a, b)| same(a, &b))
    };
    if own.into_iter().flatten().any(is_own) {
        return Err(Failure::new(
            Exit::Invalid,
            "this is a directory of the vault's own files; put the backup elsewhere",
        ));
    }
    // Before a copy is made for nothing; what counts is the check at the end.
    if !args.force && fs::symlink_metadata(&path).is_ok() {
        return Err(exists());
    }
    private_file::check_replaceable(&path).map_err(failed)?;
    let session = open()?;
    let mut draft = Draft::beside(&path)?;
    let download = session.download(&Call::get("/vault/backup").noted("copying the vault…"), LIMIT)?;
    let waiting = Waiting::start("writing and checking the copy…");
    let length = draft.fill(download)?;
    draft.publish(&path, args.force)?;
    drop(waiting);
    output::say(&format!(
        "the backup is written and checked, {length} bytes; the vault's present keys open it"
    ));
    Ok(())
}

fn exists() -> Failure {
    Failure::new(Exit::Conflict, "the file exists already; choose another name, or say --force to replace it")
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot write the backup: {error}"))
}

/// A file without its name yet; removed when dropped.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn beside(path: &Path) -> Result<Self, Failure> {
        let name = path.file_name().ok_or_else(|| Failure::new(Exit::Invalid, "this is no file's name"))?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}", std::process::id()));
        let path = path.with_file_name(draft);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        Ok(Self { file: file.map_err(failed)?, path })
    }

    /// Writes all of it, makes it durable, reads it again from the disk and compares. Returns its length.
    fn fill(&mut self, mut from: Download<'_>) -> Result<u64, Failure> {
        let digests = RandomState::new();
        let mut written = Blocks::new(digests.build_hasher());
        while let Some(mut piece) = from.next()? {
            while !piece.is_empty() {
                let taken = written.take(&piece);
                piece.advance(taken);
                if written.is_full() {
                    written.end_block(|block| self.file.write_all(block)).map_err(failed)?;
                }
            }
        }
        written.end_block(|block| self.file.write_all(block)).map_err(failed)?;
        if !vault_file::is_vault(&written.beginning) {
            return Err(Failure::new(Exit::DaemonFailed, "what secretsd sent is no vault; nothing was kept"));
        }
        self.file.sync_all().map_err(failed)?;
        if self.read_again(digests.build_hasher()).map_err(failed)? != written.sum() {
            let text = "the file does not hold what was written to it; check the disk, nothing was kept";
            return Err(Failure::new(Exit::Other, text));
        }
        Ok(written.length)
    }

    fn read_again(&mut self, digest: DefaultHasher) -> io::Result<(u64, u64)> {
        // From the disk, if the system follows the advice, not from memory.
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        self.file.seek(SeekFrom::Start(0))?;
        let mut read = Blocks::new(digest);
        loop {
            (&self.file).take(BLOCK as u64).read_to_end(&mut read.block)?;
            let full = read.is_full();
            read.end_block(|_| Ok(()))?;
            if !full {
                return Ok(read.sum());
            }
        }
    }

    fn publish(self, path: &Path, force: bool) -> Result<(), Failure> {
        let named = if force { fs::rename(&self.path, path) } else { rename_to_free(&self.path, path) };
        match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
            outcome => outcome.map_err(failed)?,
        }
        vault_file::sync_parent(path).map_err(failed)
    }
}

/// A file's bytes in blocks of one size, so that they are cut alike when written and when read, and their digest
/// under a random key.
struct Blocks {
    digest: DefaultHasher,
    block: Vec<u8>,
    beginning: Vec<u8>,
    length: u64,
}

impl Blocks {
    fn new(digest: DefaultHasher) -> Self {
        Self { digest, block: Vec::with_capacity(BLOCK), beginning: Vec::new(), length: 0 }
    }

    /// Takes what fits, and says how much that is.
    fn take(&mut self, piece: &[u8]) -> usize {
        let fitting = piece.iter().take(BLOCK - self.block.len());
        let before = self.block.len();
        self.block.extend(fitting);
        self.block.len() - before
    }

    fn is_full(&self) -> bool {
        self.block.len() == BLOCK
    }

    fn end_block(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        write(&self.block)?;
        if self.length == 0 {
            self.beginning.extend(self.block.iter().take(100));
        }
        self.digest.write(&self.block);
        self.length += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn sum(&self) -> (u64, u64) {
        (self.digest.finish(), self.length)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After the renaming there is nothing of that name.
        let _ = fs::remove_file(&self.path);
    }
}

fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows it; a link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(from, to),
        outcome => outcome.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn draft(path: &Path) -> Draft {
        let mut draft = Draft::beside(path).unwrap();
        draft.file.write_all(b"copy").unwrap();
        draft
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        fs::write(&path, "other").unwrap();
        assert_eq!(draft(&path).publish(&path, false).unwrap_err().exit(), Exit::Conflict);
        assert_eq!(fs::read(&path).unwrap(), b"other");
        draft(&path).publish(&path, true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"copy");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left");
    }

    #[test]
    fn what_was_written_is_read_again_and_compared() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
            let content = vec![7; length];
            let digests = RandomState::new();
            let mut written = Blocks::new(digests.build_hasher());
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                let taken = written.take(rest.get(..rest.len().min(1_000)).unwrap());
                rest = rest.get(taken..).unwrap();
                if written.is_full() {
                    written.end_block(|_| Ok(())).unwrap();
                }
            }
            written.end_block(|_| Ok(())).unwrap();
            let mut draft = Draft::beside(&dir.path().join("backup")).unwrap();
            draft.file.write_all(&content).unwrap();
            assert_eq!(draft.read_again(digests.build_hasher()).unwrap(), written.sum(), "{length}");
            let mut changed = content;
            changed.push(0);
            draft.file.set_len(0).unwrap();
            draft.file.seek(SeekFrom::Start(0)).unwrap();
            draft.file.write_all(&changed).unwrap();
            assert_ne!(draft.read_again(digests.build_hasher()).unwrap(), written.sum(), "{length}");
        }
    }
}
