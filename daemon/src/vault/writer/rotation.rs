//! Replacing the data key. A new file is made beside the vault's, with every row opened with the old epoch's keys and
//! sealed with the new one's, while the vault goes on; what has changed meanwhile follows in steps; and then the new file
//! takes the place of the old one. A crash leaves one of them, never a mix.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrets_local::files;

use crate::crypto::keys::{DataKey, Identity, Keys};
use crate::crypto::seal;
use crate::memory::Pinned;
use crate::store::{AuditRow, HeaderRow, RecordKey, RecordRow, Store, Writing, journal_of, log_of};
use crate::vault::Error;
use crate::vault::format::audit_chain::{audit_context, audit_mac};
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::record_context;
use crate::vault::format::slots::{self, NewSlot};

use super::interrupts::Interrupts;

/// How long the first step of catching up may take. Each further one takes as much longer: they come to an end however
/// much is written between them.
const STEP: Duration = Duration::from_millis(10);

/// Which records were added, changed or removed since a moment. Nobody notes them once nobody wants to know.
#[derive(Default)]
pub(super) struct Changes(Mutex<BTreeSet<RecordKey>>);

/// An open vault's file, to be sealed again.
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    pub(super) keys: &'a Keys,
    pub(super) manifest: &'a Manifest,
}

/// The vault's file to come: whole and durable, and not in its place yet. Removed when dropped.
pub(in crate::vault) struct Draft {
    path: PathBuf,
    store: Option<Store>,
    keys: Arc<Pinned<Keys>>,
    /// What is in it, and the MAC of its header and slots.
    manifest: Manifest,
    /// The MAC of the last audit entry in it, in the old epoch.
    old_head: [u8; 32],
    changes: Arc<Changes>,
    steps: u32,
    slots: usize,
}

impl Changes {
    /// Notes these.
    pub(super) fn note(&self, keys: impl IntoIterator<Item = RecordKey>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    fn pop(&self) -> Option<RecordKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

impl Draft {
    /// Seals all that `old` has again, beside the vault at `path`, under a fresh data key, which these slots alone wrap.
    /// `changes` says what changes from here on. Given up for what is urgent.
    pub(super) fn make(
        path: &Path,
        old: &Source<'_>,
        slots: &[NewSlot],
        changes: Arc<Changes>,
        interrupts: &Interrupts,
    ) -> Result<Self, Error> {
        let identity = old.keys.identity();
        let epoch = identity.epoch.checked_add(1).ok_or(Error::Internal("the epochs are used up"))?;
        let keys = Arc::new(Pinned::new(Keys::derive(DataKey::generate()?, Identity { epoch, ..identity })?));
        let slots = slots.iter().map(|slot| slot.to_row(&keys)).collect::<Result<Vec<_>, _>>()?;
        let header = old.store.header()?;
        if slots::header_mac(old.keys, &header, &old.store.slots()?) != old.manifest.header_mac {
            return Err(Error::Corrupt("the header or a key slot was changed"));
        }
        let mut header = HeaderRow { epoch, ..header };
        header.mac = slots::header_mac(&keys, &header, &slots);

        let mut manifest = old.manifest.without_records();
        (manifest.header_mac, manifest.audit_count) = (header.mac, manifest.archived.entries);
        manifest.audit_head = manifest.archived.head;
        let (old_head, path) = (manifest.audit_head, path.with_extension("db.rotated"));
        remove(&path)?;
        let mut draft =
            Self { path, store: None, keys, manifest, old_head, changes, steps: 0, slots: slots.len() };
        files::open_private(&draft.path)?;
        let sealed = draft.manifest.seal(&draft.keys, &header.lineage)?;
        Store::create(&draft.path, &header, &slots, &sealed)?;
        let store = Store::open(&draft.path)?;
        store.allow_writing()?;
        draft.fill(&store, old, interrupts)?;
        store.checkpoint()?;
        store.check()?;
        draft.store = Some(store);
        Ok(draft)
    }

    fn fill(&mut self, store: &Store, old: &Source<'_>, interrupts: &Interrupts) -> Result<(), Error> {
        let writing = store.begin()?;
        let mut counted = old.manifest.without_records();
        old.store.for_each_record(|row| {
            interrupts.give_way()?;
            counted.add(old.keys, &row)?;
            self.put(&writing, old.keys, row)
        })?;
        // What was verified at unlock is checked again: rotation must not make a forgery authentic.
        if counted != *old.manifest {
            return Err(Error::Corrupt("rows were added, removed, changed or put back"));
        }
        self.follow_log(&writing, old, || interrupts.give_way().map(|()| true))?;
        Ok(writing.commit()?)
    }

    fn put(&mut self, writing: &Writing<'_>, old: &Keys, row: RecordRow) -> Result<(), Error> {
        let context = record_context(row.kind, &row.id, row.version);
        let resealed = RecordRow { sealed: reseal(old, &self.keys, context, &row.sealed)?, ..row };
        writing.insert_record(&resealed)?;
        self.manifest.add(&self.keys, &resealed)
    }

    /// Follows the audit log's chain from where it was left, and seals and chains it again, as long as `goes_on` says.
    /// Returns whether that was all of it.
    fn follow_log(
        &mut self,
        writing: &Writing<'_>,
        old: &Source<'_>,
        mut goes_on: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let broken = |sequence| Error::AuditBroken(sequence, "it is gone or was changed");
        let (count, head) = (old.manifest.audit_count, old.manifest.audit_head);
        while self.manifest.audit_count < count {
            if !goes_on()? {
                return Ok(false);
            }
            let sequence = self.manifest.audit_count + 1;
            let row = old.store.audit_entry(sequence)?.ok_or_else(|| broken(sequence))?;
            self.old_head = audit_mac(old.keys, &self.old_head, sequence, &row.sealed);
            if row.mac != self.old_head {
                return Err(broken(sequence));
            }
            let bytes = sequence.to_be_bytes();
            let sealed = reseal(old.keys, &self.keys, audit_context(&bytes, sequence), &row.sealed)?;
            let mac = audit_mac(&self.keys, &self.manifest.audit_head, sequence, &sealed);
            writing.append_audit(&AuditRow { sequence, sealed, mac })?;
            (self.manifest.audit_count, self.manifest.audit_head) = (sequence, mac);
        }
        if self.old_head == head { Ok(true) } else { Err(broken(count)) }
    }

    /// Whether it can follow the vault that is open: the vault notes what has changed for it, and no entry that it still has
    /// to follow was archived.
    pub(super) fn fits(&self, noted: Option<&Arc<Changes>>, manifest: &Manifest) -> bool {
        noted.is_some_and(|changes| Arc::ptr_eq(changes, &self.changes))
            && manifest.archived.entries <= self.manifest.audit_count
    }

    /// Takes out of its log what was archived in the vault meanwhile, as long as `goes_on` says. Returns whether that was all
    /// of it.
    fn follow_archive(
        &mut self,
        writing: &Writing<'_>,
        through: u64,
        goes_on: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        while self.manifest.archived.entries < through {
            if !goes_on() {
                return Ok(false);
            }
            let sequence = self.manifest.archived.entries + 1;
            let row = writing.audit_entry(sequence)?.ok_or(Error::Internal("a draft lacks an entry"))?;
            writing.delete_audit(sequence)?;
            self.manifest.archive_entry(row.mac);
        }
        Ok(true)
    }

    /// Takes over what has changed in the vault since. Returns whether that was all: then it accounts for all that is in it,
    /// as the manifest of the vault's next commit.
    pub(super) fn catch_up(&mut self, old: &Source<'_>) -> Result<bool, Error> {
        self.steps += 1;
        let (start, most) = (Instant::now(), STEP * self.steps);
        let in_time = || start.elapsed() < most;
        let store = self.store.take().ok_or(Error::Internal("a draft is not open"))?;
        let writing = store.begin()?;
        let mut is_all = true;
        while let Some(key) = self.changes.pop() {
            let (kind, id, version) = key;
            if let Some(row) = writing.record(kind, &id, version)? {
                writing.delete_record(&row)?;
                self.manifest.remove(&self.keys, &row)?;
            }
            if let Some(row) = old.store.record(kind, &id, version)? {
                self.put(&writing, old.keys, row)?;
            }
            if !in_time() {
                is_all = false;
                break;
            }
        }
        is_all = is_all && self.follow_archive(&writing, old.manifest.archived.entries, in_time)?;
        is_all = is_all && self.follow_log(&writing, old, || Ok(in_time()))?;
        if is_all {
            let mut next = old.manifest.without_records();
            next.add_all(&self.manifest)?;
            // Of the log that was sealed again; what it begins with has another MAC there.
            next.archived = self.manifest.archived;
            (next.header_mac, next.audit_head) = (self.manifest.header_mac, self.manifest.audit_head);
            next.generation += 1;
            writing.update_manifest(&next.seal(&self.keys, &writing.header()?.lineage)?)?;
            self.manifest = next;
        }
        writing.commit()?;
        self.store = Some(store);
        Ok(is_all)
    }

    /// The number of key slots.
    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    /// Puts it in the vault's place, whose file is closed and has no log. The name may not be durable yet. Returns the keys
    /// and the manifest of the new epoch.
    pub(super) fn take_place(mut self, path: &Path) -> Result<(Arc<Pinned<Keys>>, Manifest), Error> {
        let store = self.store.take().ok_or(Error::Internal("a draft is not open"))?;
        store.close()?;
        std::fs::rename(&self.path, path).map_err(|error| files::Error::Io(path.to_owned(), error))?;
        Ok((Arc::clone(&self.keys), self.manifest.clone()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.store = None;
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "a copy of the vault is left until the next start");
        }
    }
}

fn remove(path: &Path) -> Result<(), files::Error> {
    [log_of(path), journal_of(path), path.to_owned()].iter().try_for_each(|path| files::remove_if_there(path))
}

fn reseal(old: &Keys, new: &Keys, context: seal::AadContext<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let plaintext =
        seal::open(old, context.clone(), sealed).map_err(|_| Error::Corrupt("a row is not authentic"))?;
    Ok(seal::seal(new, context, &plaintext)?)
}
