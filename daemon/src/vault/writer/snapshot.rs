//! Reading the whole file while the vault's thread goes on: a second connection to the main file, on a thread of its own,
//! while what is committed meanwhile stays in the log. What is read there is the vault as it was when that began, and its
//! manifest says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use secrets_local::files;
use secrets_proto::vault::VerifyReply;

use crate::crypto::keys::Keys;
use crate::memory::Pinned;
use crate::store::{Extent, InterruptHandle, Store, journal_of, log_of};
use crate::vault::Error;
use crate::vault::format::manifest::Manifest;
use crate::vault::format::slots::NewSlot;

use super::interrupts::Interrupts;
use super::reading::Reading;
use super::rotation::{Changes, Draft, Source};
use super::verified::{Verified, verify};

/// The most bytes a backup may have: it is handed out in one answer.
const BACKUP_MAX: u64 = 1 << 30;

/// The vault's main file as it was at one moment, and what to verify it with.
pub(in crate::vault) struct Snapshot {
    store: Store,
    keys: Arc<Pinned<Keys>>,
    manifest: Manifest,
    path: PathBuf,
    /// What changes in the vault after it.
    changes: Arc<Changes>,
    interrupts: Arc<Interrupts>,
}

/// A thread that has a snapshot. To drop this is to end it, and to wait for that: then its keys are gone, and the main file
/// may change.
pub(super) struct Running {
    interrupts: Arc<Interrupts>,
    statement: InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

impl Snapshot {
    /// Hands the vault's main file, into which the whole log was moved, to `work` on a thread. `interrupts` end it.
    pub(super) fn hand_to(
        path: &Path,
        keys: &Arc<Pinned<Keys>>,
        manifest: &Manifest,
        changes: Arc<Changes>,
        interrupts: Arc<Interrupts>,
        work: impl FnOnce(&Self) + Send + 'static,
    ) -> Result<Running, Error> {
        let store = Store::beside(path)?;
        let statement = store.interrupter();
        let (keys, manifest, path) = (Arc::clone(keys), manifest.clone(), path.to_owned());
        let snapshot = Self { store, keys, manifest, path, changes, interrupts: Arc::clone(&interrupts) };
        let thread = thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || work(&snapshot))
            .map_err(|_| Error::Internal("no thread can be started"))?;
        Ok(Running { interrupts, statement, thread: Some(thread) })
    }

    /// Verifies the whole file as if it were to be unlocked, and all that is in it.
    pub(in crate::vault) fn verify(&self) -> Result<VerifyReply, Error> {
        self.store.check()?;
        verify_as(&self.store, &self.keys, &self.manifest, &self.interrupts)
    }

    /// A verified copy.
    pub(in crate::vault) fn copy(&self) -> Result<Vec<u8>, Error> {
        self.store.check()?;
        copy(&self.store, &self.keys, &self.manifest, &self.path, &self.interrupts)
    }

    /// All of it sealed again, under a fresh data key that these slots wrap.
    pub(in crate::vault) fn seal_again(&self, slots: &[NewSlot]) -> Result<Draft, Error> {
        self.store.check()?;
        let source = Source { store: &self.store, keys: &self.keys, manifest: &self.manifest };
        Draft::make(&self.path, &source, slots, Arc::clone(&self.changes), &self.interrupts)
    }
}

impl Running {
    /// Whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interrupts.add();
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            // Between two statements there is none to end.
            self.statement.interrupt();
            thread::sleep(Duration::from_millis(1));
        }
        let _ = thread.join();
    }
}

/// A copy of the vault in `store`, at `path`, whose manifest this is: one consistent state, without log or free space,
/// verified as if it were to be unlocked.
pub(super) fn copy(
    store: &Store,
    keys: &Keys,
    manifest: &Manifest,
    path: &Path,
    interrupts: &Interrupts,
) -> Result<Vec<u8>, Error> {
    let path = path.with_extension("db.copy");
    files::remove_if_there(&path)?;
    files::open_private(&path)?;
    let copied = copy_to(store, keys, manifest, &path, interrupts).and_then(|()| {
        let mut copy = files::read_private(&path, BACKUP_MAX)?;
        Ok(std::mem::take(&mut *copy))
    });
    for left in [log_of(&path), journal_of(&path), path] {
        files::remove_if_there(&left)?;
    }
    copied
}

fn copy_to(
    store: &Store,
    keys: &Keys,
    manifest: &Manifest,
    path: &Path,
    interrupts: &Interrupts,
) -> Result<(), Error> {
    store.copy_to(path)?;
    let copy = Store::open(path)?;
    verify_as(&copy, keys, manifest, interrupts)?;
    copy.allow_writing()?;
    copy.close()?;
    Ok(())
}

fn verify_as(
    store: &Store,
    keys: &Keys,
    expected: &Manifest,
    interrupts: &Interrupts,
) -> Result<VerifyReply, Error> {
    let Verified { manifest, catalog, .. } = verify(store, keys, &store.header()?, Extent::All)?;
    if manifest != *expected {
        return Err(Error::Corrupt("the copy is not the vault"));
    }
    Reading { store, keys, catalog: &catalog, manifest: &manifest }.verify_contents(interrupts)
}
