//! Room kept in reserve on the vault's disk: a full disk must not keep its owner from deleting and locking.

use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use secrets_local::files;

/// Enough to move the log into the file when it is at its longest, 1.5 MiB, and for hundreds of small transactions.
const SIZE: u64 = 2 * 1024 * 1024;

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
                // Blocks, not only a length: a sparse file would hold no room.
                .and_then(|file| {
                    fallocate(&file, FallocateFlags::empty(), 0, SIZE).map_err(|errno| errno.to_string())
                });
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
