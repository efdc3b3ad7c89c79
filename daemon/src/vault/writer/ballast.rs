//! Room kept in reserve on the vault's disk: a full disk must not keep its owner from deleting and locking.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use secrets_local::files;

use crate::crypto;

/// Enough to move the log into the file when it is at its longest, 1.5 MiB, and for hundreds of small transactions.
const SIZE: u64 = 2 * 1024 * 1024;

/// What is written at once.
const BLOCK: usize = 16 * 1024;

/// A file that takes up room until the room is needed.
#[derive(Debug)]
pub(in crate::vault) struct Ballast {
    path: PathBuf,
    aboard: bool,
}

impl Ballast {
    /// Ballast beside the vault at `vault`; not aboard yet.
    pub(in crate::vault) fn new(vault: &Path) -> Self {
        Self { path: vault.with_file_name("ballast"), aboard: false }
    }

    /// Takes it aboard if there is room, and says whether it is.
    pub(in crate::vault) fn take(&mut self) -> bool {
        if !self.aboard {
            let taken = files::open_private(&self.path)
                .map_err(|error| error.to_string())
                .and_then(|file| fill(&file).map_err(|error| error.to_string()));
            match taken {
                Ok(()) => self.aboard = true,
                Err(error) => {
                    tracing::debug!(error, "cannot reserve space");
                    self.drop_file();
                }
            }
        }
        self.aboard
    }

    /// Gives its room to what comes next.
    pub(in crate::vault) fn release(&mut self) {
        if std::mem::take(&mut self.aboard) {
            tracing::warn!(
                "the disk is full: releasing the reserve, so that deleting and locking still work"
            );
            self.drop_file();
        }
    }

    fn drop_file(&self) {
        if let Err(error) = files::remove_if_there(&self.path) {
            tracing::warn!(%error, "cannot release the reserve");
        }
    }
}

/// Gives the file blocks, not only a length: a sparse file would hold no room. Where none can be reserved it is written,
/// with bytes that no file system makes smaller.
fn fill(file: &File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, SIZE) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        outcome => return Ok(outcome?),
    }
    for at in (0..SIZE).step_by(BLOCK) {
        let block: [u8; BLOCK] = crypto::random().map_err(io::Error::other)?;
        file.write_all_at(&block, at)?;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_takes_real_room_and_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::new(&directory.path().join("vault.db"));
        assert!(ballast.take() && ballast.take());
        let metadata = std::fs::metadata(directory.path().join("ballast")).unwrap();
        assert!(metadata.blocks() * 512 >= SIZE);
        ballast.release();
        assert!(!directory.path().join("ballast").exists());
        assert!(ballast.take());
    }
}
