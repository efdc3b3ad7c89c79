//! A vault without keys: its file, made or found, and the way to open it.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use secrets_local::{file_system, files};

use crate::crypto;
use crate::crypto::keys::{DataKey, Identity, Keys};
use crate::store::{HeaderRow, Store, journal_of, log_of};
use crate::vault::Error;
use crate::vault::format::file;
use crate::vault::format::manifest::Manifest;
use crate::vault::format::slots::{self, NewSlot};

use super::unlocked::Unlocked;

/// A vault without keys; the file may be open already, while a key is derived.
#[derive(Default)]
pub(in crate::vault) struct Locked {
    store: Option<Box<Store>>,
}

impl Locked {
    /// The file, opened and checked as far as possible without keys; again each time, since what was found for a key that
    /// turned out wrong may have been changed or replaced since.
    pub(in crate::vault) fn open(&mut self, path: &Path) -> Result<&Store, Error> {
        // Two handles would lock each other out.
        self.forget();
        self.opened(path)
    }

    fn opened(&mut self, path: &Path) -> Result<&Store, Error> {
        file::check(path)?;
        if self.store.is_none() {
            self.store = Some(Box::new(Store::open_for_key(path)?));
        }
        self.store.as_deref().ok_or(Error::Internal("the store is not open"))
    }

    /// Forgets the file: at a lock nothing stays open.
    pub(in crate::vault) fn forget(&mut self) {
        self.store = None;
    }

    /// Verifies the whole with this data key, as [`Unlocked::open`] does.
    pub(in crate::vault) fn unlock(
        mut self,
        path: PathBuf,
        data: DataKey,
        left: &Path,
    ) -> Result<Unlocked, Error> {
        // As it was opened for the key that has turned out right.
        self.opened(&path)?;
        let store = self.store.ok_or(Error::Internal("the store is not open"))?;
        Unlocked::open(path, *store, data, left)
    }
}

/// Makes the vault's file with these slots and returns its data key. It is made under another name, whole and durable,
/// and only then given its own: a crash leaves no half vault, and a file that has appeared meanwhile is not overwritten.
pub(in crate::vault) fn make(path: &Path, slots: &[NewSlot]) -> Result<DataKey, Error> {
    let identity = Identity { vault: crypto::random()?, epoch: 1 };
    let keys = Keys::derive(DataKey::generate()?, identity)?;
    let rows = slots.iter().map(|slot| slot.to_row(&keys)).collect::<Result<Vec<_>, _>>()?;
    let mut header =
        HeaderRow { vault: identity.vault, lineage: crypto::random()?, epoch: identity.epoch, mac: [0; 32] };
    header.mac = slots::header_mac(&keys, &header, &rows);
    let manifest = Manifest::empty(header.mac).seal(&keys, &header.lineage)?;

    let draft = path.with_extension("db.new");
    files::remove_if_there(&draft)?;
    files::remove_if_there(&log_of(&draft))?;
    let made = (|| {
        files::open_private(&draft)?;
        Store::create(&draft, &header, &rows, &manifest)?;
        match file_system::rename_new(CWD, &draft, path) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Error::AlreadyInitialized),
            Err(error) => Err(files::Error::Io(path.to_owned(), error.into()).into()),
        }
    })();
    if made.is_err() {
        for left in [journal_of(&draft), log_of(&draft), draft] {
            files::remove_if_there(&left)?;
        }
    }
    made.map(|()| keys.into_data())
}
