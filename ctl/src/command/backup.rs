//! `backup`: a copy of the vault in a file. It has its name only once it is whole, read back and durable.

use std::fs::{self, File};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Buf;
use clap::Args;
use rustix::fs::{Advice, fadvise};
use secrets_client::Call;

use crate::failure::{Exit, Failure};
use crate::new_file::{self, NewFile};
use crate::output::Waiting;
use crate::session::{Download, LONG, Session};
use crate::{environment, input, output, vault_file};

/// Write a verified, encrypted copy of the vault to a file
#[derive(Debug, Args)]
#[command(after_help = "\
The vault's present keys open the copy. The file appears only when it is
complete.

Example:
  secretctl backup ~/backups/vault-2026-04-15.db")]
pub(crate) struct BackupArgs {
    /// Where to write the copy
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// The most bytes that the daemon hands out.
const LIMIT: u64 = 1 << 30;

/// How much is written, read and compared at once.
const BLOCK: usize = 64 << 10;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &BackupArgs) -> Result<(), Failure> {
    if args.file == Path::new("-") {
        return Err(Failure::new(
            Exit::Usage,
            "a backup cannot go to stdout, as it is read again to check it; name a file",
        ));
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
            "this directory is for the vault's own files; put the backup elsewhere",
        ));
    }
    // Before a copy is made for nothing; what counts is the check at the end.
    if !args.force && fs::symlink_metadata(&path).is_ok() {
        return Err(exists(&path));
    }
    new_file::check_replaceable(&path).map_err(failed(&path))?;
    let session = open()?;
    let mut draft = NewFile::sealed(&path).map_err(failed(&path))?;
    let download = session.download(&Call::get("/vault/backup").within(LONG), LIMIT, "copying the vault…")?;
    let waiting = Waiting::start("writing and checking the copy…");
    let length = fill(draft.file(), download, &path)?;
    draft.publish(args.force).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists { exists(&path) } else { failed(&path)(error) }
    })?;
    drop(waiting);
    output::say(&format!(
        "backup written to {} and verified, {length} bytes; the vault's present keys open it",
        name(&path)
    ));
    Ok(())
}

fn exists(path: &Path) -> Failure {
    let text = format!("{} already exists; choose another name, or use --force to replace it", name(path));
    Failure::new(Exit::Conflict, text)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(Exit::Other, format!("cannot write the backup, {}: {error}", name(path)))
}

/// The backup's path, if it may be shown.
fn name(path: &Path) -> String {
    input::shown(path).unwrap_or_else(|| "the file".to_owned())
}

/// Writes all of it, makes it durable, reads it again from the disk and compares. Returns its length.
fn fill(file: &mut File, mut from: Download<'_>, path: &Path) -> Result<u64, Failure> {
    let digests = RandomState::new();
    let mut written = Blocks::new(digests.build_hasher());
    while let Some(mut piece) = from.next()? {
        while !piece.is_empty() {
            let taken = written.take(&piece);
            piece.advance(taken);
            if written.is_full() {
                written.end_block(|block| file.write_all(block)).map_err(failed(path))?;
            }
        }
    }
    written.end_block(|block| file.write_all(block)).map_err(failed(path))?;
    if !vault_file::is_vault(&written.beginning) {
        return Err(Failure::new(Exit::DaemonFailed, "secretsd did not send a vault; nothing was kept"));
    }
    file.sync_all().map_err(failed(path))?;
    if read_again(file, digests.build_hasher()).map_err(failed(path))? != written.sum() {
        let text = "the file differs from what was written to it; check the disk, nothing was kept";
        return Err(Failure::new(Exit::Other, text));
    }
    Ok(written.length)
}

fn read_again(file: &mut File, digest: DefaultHasher) -> io::Result<(u64, u64)> {
    // From the disk, if the system follows the advice, not from memory.
    let _ = fadvise(&*file, 0, None, Advice::DontNeed);
    file.seek(SeekFrom::Start(0))?;
    let mut read = Blocks::new(digest);
    loop {
        (&*file).take(BLOCK as u64).read_to_end(&mut read.block)?;
        let full = read.is_full();
        read.end_block(|_| Ok(()))?;
        if !full {
            return Ok(read.sum());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_compared() {
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
            let mut draft = tempfile::tempfile().unwrap();
            draft.write_all(&content).unwrap();
            assert_eq!(read_again(&mut draft, digests.build_hasher()).unwrap(), written.sum(), "{length}");
            let mut changed = content;
            changed.push(0);
            draft.set_len(0).unwrap();
            draft.seek(SeekFrom::Start(0)).unwrap();
            draft.write_all(&changed).unwrap();
            assert_ne!(read_again(&mut draft, digests.build_hasher()).unwrap(), written.sum(), "{length}");
        }
    }
}
