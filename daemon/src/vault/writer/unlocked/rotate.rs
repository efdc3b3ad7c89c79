//! The new data key's way into an open vault: a draft that was made of it follows what changes, and takes its file's place.

use std::sync::{Arc, Weak};

use secrets_local::files;
use secrets_proto::audit::AuditAction;

use crate::audit::Event;
use crate::caller::Caller;
use crate::store::Store;
use crate::vault::Error;
use crate::vault::format::slots::NewSlot;
use crate::vault::writer::interrupts::Interrupts;
use crate::vault::writer::reading::Reading;
use crate::vault::writer::rotation::{Draft, Source};

use super::Unlocked;

/// What a step of a rotation has come to.
pub(in crate::vault) enum Step {
    /// There is more to do.
    More(Box<Draft>),
    /// The rotation is done.
    Done,
    /// What has happened meanwhile cannot be followed; nothing was changed.
    Useless,
}

impl Unlocked {
    /// Replaces the data key: every row is sealed again under a new epoch's keys, in a new file. Only these slots open the
    /// vault afterwards. `header_mac` tells the slots that the caller's key was checked against: if they have changed since,
    /// nothing is done.
    pub(in crate::vault) fn rotate(
        &mut self,
        caller: &Caller,
        slots: &[NewSlot],
        header_mac: &[u8; 32],
        interrupts: &Interrupts,
    ) -> Result<(), Error> {
        self.check_rotation(header_mac)?;
        self.end_snapshot();
        let changes = Arc::default();
        self.changes = Arc::downgrade(&changes);
        let mut draft = Draft::make(&self.path.clone(), &self.source()?, slots, changes, interrupts)?;
        while !draft.catch_up(&self.source()?)? {}
        self.replace(caller, draft)
    }

    /// Goes a step further with a rotation whose draft was made from a snapshot: takes over what has changed since, and once
    /// that is all, lets the draft take the file's place.
    pub(in crate::vault) fn follow(
        &mut self,
        caller: &Caller,
        mut draft: Draft,
        header_mac: &[u8; 32],
    ) -> Result<Step, Error> {
        self.check_rotation(header_mac)?;
        // It has been read.
        self.end_snapshot();
        if !draft.fits(self.changes.upgrade().as_ref(), &self.manifest) {
            return Ok(Step::Useless);
        }
        if !draft.catch_up(&self.source()?)? {
            return Ok(Step::More(Box::new(draft)));
        }
        self.replace(caller, draft).map(|()| Step::Done)
    }

    fn source(&mut self) -> Result<Source<'_>, Error> {
        let Reading { store, keys, manifest, .. } = self.reading()?;
        Ok(Source { store, keys, manifest })
    }

    fn check_rotation(&mut self, header_mac: &[u8; 32]) -> Result<(), Error> {
        if self.rolled_back {
            return Err(Error::RolledBack);
        }
        self.store()?;
        if self.manifest.header_mac != *header_mac {
            return Err(Error::KeysChanged);
        }
        self.check_in_place()
    }

    /// Lets the draft, in which all that is here is sealed again, take the file's place.
    fn replace(&mut self, caller: &Caller, draft: Draft) -> Result<(), Error> {
        self.check_in_place()?;
        let store = self.store.take().ok_or(Error::Internal("the store is not open"))?;
        // Its log would be taken for the new file's.
        store.close()?;
        let slots = draft.slots();
        (self.keys, self.manifest) = draft.take_place(&self.path)?;
        (self.slots, self.changes, self.moved) = (slots, Weak::new(), true);
        // From here on the rotation is a fact, and its caller must get the new recovery key: what fails is logged.
        match self.path.parent().map_or(Ok(()), files::sync_dir) {
            Ok(()) => {
                self.moved = false;
                match Store::open_again(&self.path) {
                    Ok(store) => self.store = Some(store),
                    Err(error) => tracing::warn!(%error, "the vault that was rotated is verified as a whole"),
                }
            }
            // It is tried again before anything else is asked of the file, and until then nothing is stored.
            Err(error) => {
                tracing::error!(%error, "the vault was rotated, and a power cut now may bring back the one before");
            }
        }
        if let Err(error) =
            self.write(|batch| batch.audit(caller, Event::done(AuditAction::Rotate, Vec::new())))
        {
            tracing::warn!(%error, "the rotation is missing in the audit log");
        }
        Ok(())
    }
}
