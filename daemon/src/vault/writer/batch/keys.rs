//! Changes of the key slots and of the vault's history, inside a batch.

use secrets_proto::Uuid;
use secrets_proto::audit::AuditAction;
use secrets_proto::vault::KeyInfo;

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::crypto::slot::SlotKind;
use crate::store::{HeaderRow, MOST_SLOTS, SlotRow};
use crate::vault::Error;
use crate::vault::format::slots::{self, NewSlot};

use super::Batch;

impl Batch<'_> {
    /// Adds a key slot, in the place of another if `replaced` says so. Returns what its owner may know of it.
    pub(in crate::vault) fn add_key(
        &mut self,
        caller: &Caller,
        new: &NewSlot,
        replaced: Option<Uuid>,
    ) -> Result<KeyInfo, Error> {
        if self.catalog.has_guarded() && !caller.is_proven() {
            // With a key of its own a program would have all from a backup.
            return Err(Error::Unproven);
        }
        if let Some(id) = replaced {
            self.find_slot(id)?;
            self.writing.delete_slot(id.as_bytes())?;
        } else if self.writing.slots()?.len() >= MOST_SLOTS {
            return Err(Error::TooManyKeys);
        }
        let row = new.to_row(self.keys)?;
        self.writing.insert_slot(&row)?;
        self.renew_header(self.lineage)?;
        let action = if replaced.is_some() { AuditAction::KeyReplace } else { AuditAction::KeyAdd };
        self.audit(caller, Event::done(action, Vec::new()))?;
        slots::describe(self.keys, &row)
    }

    /// Notes that the key of a slot was shown, if that was to be confirmed.
    pub(in crate::vault) fn confirm_key(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let slot = self.find_slot(id)?;
        let Some(confirmed) = slots::confirmed(self.keys, &slot)? else { return Ok(()) };
        self.writing.delete_slot(&slot.id)?;
        self.writing.insert_slot(&confirmed)?;
        self.renew_header(self.lineage)?;
        self.audit(caller, Event::done(AuditAction::KeyConfirm, Vec::new()))
    }

    /// Removes a key slot; never the last.
    pub(in crate::vault) fn remove_key(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let kind = SlotKind::from_number(self.find_slot(id)?.kind);
        let is_proof = matches!(kind, Some(SlotKind::Passphrase | SlotKind::Recovery) | None);
        if is_proof && self.catalog.has_guarded() && !caller.is_proven() {
            return Err(Error::Unproven);
        }
        if self.writing.slots()?.len() < 2 {
            return Err(Error::LastKey);
        }
        self.writing.delete_slot(id.as_bytes())?;
        self.renew_header(self.lineage)?;
        self.audit(caller, Event::done(AuditAction::KeyRemove, Vec::new()))
    }

    /// Starts a new history: whatever copy of the vault has the old one is foreign from now on.
    pub(in crate::vault) fn renew_lineage(&mut self, caller: &Caller) -> Result<(), Error> {
        self.renew_header(crypto::random()?)?;
        self.audit(caller, Event::done(AuditAction::AcceptRestore, Vec::new()))
    }

    fn find_slot(&self, id: Uuid) -> Result<SlotRow, Error> {
        self.writing.slots()?.into_iter().find(|slot| slot.id == *id.as_bytes()).ok_or(Error::NotFound)
    }

    fn renew_header(&mut self, lineage: [u8; 16]) -> Result<(), Error> {
        let slots = self.writing.slots()?;
        let mut header = HeaderRow { lineage, ..self.writing.header()? };
        header.mac = slots::header_mac(self.keys, &header, &slots);
        self.writing.update_header(&header)?;
        (self.lineage, self.manifest.header_mac) = (lineage, header.mac);
        // A slot that is gone must not be left in the log for one who knows its passphrase.
        (self.done.slots, self.done.purged) = (Some(slots.len()), true);
        Ok(())
    }
}
