//! An open vault: verified as a whole, then read from memory and written in batches.

mod rotate;

pub(in crate::vault) use rotate::Step;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use secrets_local::files;
use secrets_local::leap::Sighting;

use secrets_proto::audit::AuditAction;
use secrets_proto::vault::VerifyReply;

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto::keys::{DataKey, Identity, Keys};
use crate::memory::Pinned;
use crate::store::{Extent, Store};
use crate::vault::Error;
use crate::vault::format::anchor::Progress;
use crate::vault::format::file;
use crate::vault::format::left;
use crate::vault::format::manifest::Manifest;
use crate::vault::format::token::Clocks;

use super::batch::{Batch, Committed};
use super::catalog::Catalog;
use super::ids::Ids;
use super::interrupts::Interrupts;
use super::reading::Reading;
use super::rotation::Changes;
use super::snapshot::{self, Running, Snapshot};
use super::verified::{Verified, verify};

/// The longest log that is held for somebody who reads a snapshot.
const HELD_LOG: u64 = 64 << 20;

/// The vault with its keys in memory. To lock it is to drop it.
pub(in crate::vault) struct Unlocked {
    path: PathBuf,
    keys: Arc<Pinned<Keys>>,
    lineage: [u8; 16],
    slots: usize,
    manifest: Manifest,
    catalog: Catalog,
    ids: Ids,
    /// `None` after a storage error: the file is opened and verified again before anything else is asked of it.
    store: Option<Store>,
    /// Who reads a snapshot of the file. Meanwhile nothing is moved from the log into it.
    snapshot: Option<Running>,
    /// Where changed records are noted for who has read a snapshot.
    changes: Weak<Changes>,
    /// The file has taken another's place, which is not durable yet.
    moved: bool,
    /// The open file is not the one at its path any more: it is kept, to be read, and not written to.
    replaced: bool,
    /// Older than its rollback guard: it may be read, not written.
    rolled_back: bool,
    /// The file was read again since the last report of it.
    renewed: bool,
}

impl Unlocked {
    /// Verifies the whole file with this data key. The audit log is left out but for its head if it is noted at `left` that
    /// the file was left as it is.
    pub(in crate::vault) fn open(
        path: PathBuf,
        store: Store,
        data: DataKey,
        left: &Path,
    ) -> Result<Self, Error> {
        let header = store.header()?;
        let identity = Identity { vault: header.vault, epoch: header.epoch };
        let keys = Arc::new(Pinned::new(Keys::derive(data, identity)?));
        let is_as_left = store.untouched().is_some_and(|stamp| left::is_as_left(left, &keys, stamp));
        let extent = if is_as_left { Extent::AllButAudit } else { Extent::All };
        let verified = store
            .check_soundness(extent)
            .map_err(Error::from)
            .and_then(|()| verify(&store, &keys, &header, extent));
        let Verified { manifest, catalog, slots } = match verified {
            Ok(verified) => verified,
            Err(error) => {
                store.leave();
                return Err(error);
            }
        };
        store.allow_writing()?;
        Ok(Self {
            path,
            keys,
            lineage: header.lineage,
            slots,
            manifest,
            catalog,
            ids: Ids::new(),
            store: Some(store),
            snapshot: None,
            changes: Weak::new(),
            moved: false,
            replaced: false,
            rolled_back: false,
            renewed: false,
        })
    }

    /// All secrets.
    pub(in crate::vault) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Notes what the clocks are worth as the vault is opened.
    pub(in crate::vault) fn open_at(&mut self, seen: Sighting) {
        let tokens = &mut self.catalog.tokens;
        tokens.open_at(seen.may_destroy().then(Clocks::now));
        if seen.leapt().is_some() {
            tokens.doubt_clock();
        }
    }

    /// The keys.
    pub(in crate::vault) fn keys(&self) -> &Pinned<Keys> {
        &self.keys
    }

    /// The number of key slots.
    pub(in crate::vault) const fn slots(&self) -> usize {
        self.slots
    }

    /// How far the vault has come.
    pub(in crate::vault) const fn progress(&self) -> Progress {
        Progress { lineage: self.lineage, generation: self.manifest.generation }
    }

    /// A text that is different for any two states of the vault's records.
    pub(in crate::vault) fn tag(&self) -> String {
        let [a, b, c, d, ..] = self.lineage;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}-{}", self.manifest.generation)
    }

    /// The file, opened and verified again if an earlier storage error made that necessary.
    pub(in crate::vault) fn store(&mut self) -> Result<&Store, Error> {
        if self.store.is_none() {
            if self.moved {
                self.path.parent().map_or(Ok(()), files::sync_dir)?;
                self.moved = false;
            }
            file::check(&self.path)?;
            let store = Store::open(&self.path)?;
            let header = store.header()?;
            let Verified { manifest, mut catalog, slots } = verify(&store, &self.keys, &header, Extent::All)?;
            store.allow_writing()?;
            // After an error at commit the file may be one step ahead of memory, never behind.
            if header.lineage != self.lineage || manifest.generation < self.manifest.generation {
                return Err(Error::Replaced);
            }
            catalog.tokens.keep_usage(&self.catalog.tokens);
            (self.manifest, self.catalog, self.slots) = (manifest, catalog, slots);
            (self.store, self.renewed, self.changes) = (Some(store), true, Weak::new());
        }
        self.store.as_ref().ok_or(Error::Internal("the store is not open"))
    }

    /// The open vault, for reading.
    pub(in crate::vault) fn reading(&mut self) -> Result<Reading<'_>, Error> {
        self.store()?;
        let store = self.store.as_ref().ok_or(Error::Internal("the store is not open"))?;
        Ok(Reading { store, keys: &self.keys, catalog: &self.catalog, manifest: &self.manifest })
    }

    /// Refuses a caller whose token was revoked, or has expired, while its request was waiting.
    pub(in crate::vault) fn admit(&self, caller: &Caller) -> Result<(), Error> {
        caller.rights().map_or(Ok(()), |rights| self.catalog.tokens.check(rights))
    }

    /// Forbids writing: the vault is older than its rollback guard.
    pub(in crate::vault) const fn set_rolled_back(&mut self) {
        self.rolled_back = true;
    }

    /// Refuses a file that was removed, replaced or cut since it was opened. It stays open: what is in it can be saved.
    pub(in crate::vault) fn check_in_place(&mut self) -> Result<(), Error> {
        if !self.replaced && self.store.as_ref().is_some_and(|store| !store.is_in_place()) {
            tracing::error!(
                "the vault's file was removed or replaced while it was in use; nothing more is stored"
            );
            self.replaced = true;
        }
        if self.replaced { Err(Error::Replaced) } else { Ok(()) }
    }

    /// Whether writing is forbidden because it is older than its rollback guard.
    pub(in crate::vault) const fn is_rolled_back(&self) -> bool {
        self.rolled_back
    }

    /// Runs `work` in one transaction and commits it. If anything but a refusal goes wrong, nothing of the batch counts, and
    /// the file is opened and verified again before the next.
    pub(in crate::vault) fn in_batch(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<(), Error>,
    ) -> Result<Committed, Error> {
        if self.rolled_back {
            return Err(Error::RolledBack);
        }
        self.write(work)
    }

    /// Accepts a vault that is older than its rollback guard: a new history begins, and writing is allowed again.
    pub(in crate::vault) fn accept_restore(&mut self, caller: &Caller) -> Result<(), Error> {
        self.write(|batch| batch.renew_lineage(caller))?;
        self.rolled_back = false;
        Ok(())
    }

    fn write(&mut self, work: impl FnOnce(&mut Batch<'_>) -> Result<(), Error>) -> Result<Committed, Error> {
        self.store()?;
        self.check_in_place()?;
        let outcome = self.try_batch(work);
        if outcome.is_ok() {
            // Before it is answered: what went into a file that has lost its name is not stored.
            self.check_in_place()?;
        }
        if outcome.is_err() {
            // Dropped without a checkpoint: what this handle believes is not to be trusted.
            self.end_snapshot();
            self.store = None;
        } else if self.snapshot.is_some()
            && self.store.as_ref().is_some_and(|store| store.log_length() > HELD_LOG)
        {
            self.end_snapshot();
        }
        outcome
    }

    /// Hands the file as it is now to `work` on another thread, while this one goes on; one at a time. `interrupts` end it,
    /// and so does whatever needs the file for itself.
    pub(in crate::vault) fn begin_snapshot(
        &mut self,
        interrupts: Arc<Interrupts>,
        work: impl FnOnce(&Snapshot) + Send + 'static,
    ) -> Result<(), Error> {
        if self.rolled_back {
            // It is not written to, and so its log stays.
            return Err(Error::RolledBack);
        }
        self.end_snapshot();
        file::check(&self.path)?;
        self.store()?;
        self.check_in_place()?;
        self.renew_log()?;
        self.store()?.hold_log(true)?;
        let changes = Arc::default();
        self.changes = Arc::downgrade(&changes);
        match Snapshot::hand_to(&self.path, &self.keys, &self.manifest, changes, interrupts, work) {
            Ok(running) => self.snapshot = Some(running),
            Err(error) => {
                self.store()?.hold_log(false)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether somebody is reading a snapshot.
    pub(in crate::vault) fn is_being_read(&mut self) -> bool {
        if self.snapshot.as_ref().is_some_and(Running::is_over) {
            self.end_snapshot();
        }
        self.snapshot.is_some()
    }

    fn end_snapshot(&mut self) {
        if self.snapshot.take().is_some()
            && let Some(store) = &self.store
            && let Err(error) = store.hold_log(false)
        {
            tracing::warn!(%error, "the log is emptied only from time to time");
        }
    }

    fn try_batch(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<(), Error>,
    ) -> Result<Committed, Error> {
        let Self { keys, lineage, manifest, catalog, ids, store, slots, changes, .. } = self;
        let store = store.as_ref().ok_or(Error::Internal("the store is not open"))?;
        let mut batch = Batch::begin(store, keys, catalog, ids, *lineage, manifest.clone())?;
        work(&mut batch)?;
        if batch.is_idle(manifest) {
            // Every write of it was refused: there is nothing to make durable.
            return Ok(batch.into_done());
        }
        batch.note_token_use()?;
        let committed;
        (committed, *lineage, *manifest) = batch.commit()?;
        if let Some(changes) = changes.upgrade() {
            changes.note(committed.rows.iter().copied());
        }
        *slots = committed.slots.unwrap_or(*slots);
        Ok(committed)
    }

    /// Empties the log, so that what was removed leaves the disk.
    pub(in crate::vault) fn renew_log(&mut self) -> Result<(), Error> {
        let outcome = self.store()?.renew_log();
        if outcome.is_err() {
            self.store = None;
        }
        outcome.map_err(Error::from)
    }

    /// Whether the file was left in doubt by an error and was not verified since.
    pub(in crate::vault) const fn is_in_doubt(&self) -> bool {
        self.store.is_none()
    }

    /// Whether the file was read again since the last call: what is published may then lack its last step.
    pub(in crate::vault) const fn take_renewed(&mut self) -> bool {
        std::mem::replace(&mut self.renewed, false)
    }

    /// Opens the file again and verifies all of it, down to the last value and audit entry.
    pub(in crate::vault) fn verify(&mut self, interrupts: &Interrupts) -> Result<VerifyReply, Error> {
        self.end_snapshot();
        self.check_in_place()?;
        if let Some(store) = self.store.take() {
            store.close()?;
        }
        self.reading()?.verify_contents(interrupts)
    }

    /// A verified copy of the vault: one consistent state, without log or free space.
    pub(in crate::vault) fn backup(
        &mut self,
        caller: &Caller,
        interrupts: &Interrupts,
    ) -> Result<Vec<u8>, Error> {
        self.end_snapshot();
        self.store()?;
        let store = self.store.as_ref().ok_or(Error::Internal("the store is not open"))?;
        let copy = snapshot::copy(store, &self.keys, &self.manifest, &self.path, interrupts)?;
        match self.in_batch(|batch| batch.audit(caller, Event::done(AuditAction::Backup, Vec::new()))) {
            // The last copy of it that can be had.
            Err(Error::Replaced) => tracing::warn!("the backup is missing in the audit log"),
            outcome => drop(outcome?),
        }
        Ok(copy)
    }

    /// Closes the file, and notes at `left` how; the keys are wiped when this returns.
    pub(in crate::vault) fn close(mut self, left: &Path) -> Result<(), Error> {
        self.end_snapshot();
        // To close one that was replaced would remove the log at its path, which may be another vault's.
        let Some(store) = self.store.take().filter(|_| !self.replaced) else { return Ok(()) };
        if let Some(stamp) = store.close()?
            && let Err(error) = left::note(left, &self.keys, stamp)
        {
            tracing::debug!(%error, "the next unlock walks through the audit log");
        }
        Ok(())
    }
}
