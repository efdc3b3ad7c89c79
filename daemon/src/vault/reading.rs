//! The operations that read the file without changing it: what is too much or too confidential to be kept
//! in memory.

use secrets_proto::audit::AuditEntry;
use secrets_proto::secret::SecretVersion;
use secrets_proto::vault::{KeyInfo, VerifyReply};
use secrets_proto::{SecretName, Uuid};

use crate::audit;
use crate::caller::Caller;
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{AuditRow, RecordKind, Store};

use super::batch::{audit_mac, audit_place};
use super::catalog::Catalog;
use super::manifest::Manifest;
use super::record::StoredValue;
use super::slots;
use super::{AuditQuery, Error};

/// An open vault, for reading.
pub(super) struct Reading<'a> {
    pub(super) store: &'a Store,
    pub(super) keys: &'a Keys,
    pub(super) catalog: &'a Catalog,
    pub(super) manifest: &'a Manifest,
}

impl Reading<'_> {
    /// The kept versions of a secret's value, newest first.
    pub(super) fn versions(&self, caller: &Caller, id: Uuid) -> Result<Vec<SecretVersion>, Error> {
        let found = self.catalog.by_id(id).filter(|record| caller.sees(&record.meta.name));
        let current = found.ok_or(Error::NotFound)?.meta.value_version;
        let rows = self.store.records_of(RecordKind::Value, id.as_bytes())?;
        rows.iter().rev().map(|row| StoredValue::describe(self.keys, row, current)).collect()
    }

    /// The key slots, oldest first.
    pub(super) fn key_slots(&self) -> Result<Vec<KeyInfo>, Error> {
        let slots = self.store.slots()?;
        let mut keys =
            slots.iter().map(|slot| slots::describe(self.keys, slot)).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| (key.created_at, key.id));
        Ok(keys)
    }

    /// The newest audit entries that match, oldest first; for a caller that does not see all names, those about names that it
    /// sees, without the others. The chain is followed as far back as entries are looked at.
    pub(super) fn audit_entries(
        &self,
        caller: &Caller,
        query: &AuditQuery,
    ) -> Result<Vec<AuditEntry>, Error> {
        let mut entries = Vec::new();
        self.follow_audit(|mut entry| {
            if query.since.is_some_and(|since| entry.time < since) {
                return false;
            }
            if !caller.sees_all() {
                entry.names.retain(|name| caller.sees(name));
                if entry.names.is_empty() {
                    return true;
                }
            }
            if query.name.as_ref().is_none_or(|name: &SecretName| entry.names.contains(name)) {
                entries.push(entry);
            }
            query.limit.is_none_or(|limit| entries.len() < limit)
        })?;
        entries.reverse();
        Ok(entries)
    }

    /// Opens every value and follows the audit log from its head to its first entry. What unlocking verifies (rows,
    /// counts, metadata) is taken as verified.
    pub(super) fn verify_contents(&self) -> Result<VerifyReply, Error> {
        let mut counts = VerifyReply { audit_entries: self.manifest.audit_count, ..VerifyReply::default() };
        self.store.for_each_record(|row| -> Result<(), Error> {
            match row.kind {
                RecordKind::Secret => counts.secrets += 1,
                RecordKind::Value => {
                    StoredValue::open(self.keys, &row)?;
                    counts.values += 1;
                }
                RecordKind::Token => counts.tokens += 1,
                RecordKind::Credential => counts.credentials += 1,
            }
            Ok(())
        })?;
        counts.trashed = self.catalog.all().filter(|record| record.is_deleted()).count() as u64;
        counts.secrets -= counts.trashed;
        self.follow_audit(|_| true)?;
        Ok(counts)
    }

    /// Hands over the audit entries from the head back, each once its link to the later one is checked, until `visit` says
    /// false. The first entry's link to nothing is checked too.
    fn follow_audit(&self, mut visit: impl FnMut(AuditEntry) -> bool) -> Result<(), Error> {
        let mut later: Option<AuditRow> = None;
        let mut stopped = false;
        self.store.for_each_audit_entry_back(|row| -> Result<bool, Error> {
            match &later {
                None if row.mac == self.manifest.audit_head && row.sequence == self.manifest.audit_count => {}
                None => return Err(Error::AuditBroken(row.sequence)),
                Some(later) => self.check_link(&row.mac, row.sequence, later)?,
            }
            stopped = !visit(self.open_entry(&row)?);
            later = Some(row);
            Ok(!stopped)
        })?;
        match &later {
            _ if stopped => Ok(()),
            Some(first) => self.check_link(&[0; 32], 0, first),
            None if self.manifest.audit_count == 0 => Ok(()),
            None => Err(Error::AuditBroken(1)),
        }
    }

    fn check_link(&self, before: &[u8; 32], sequence: u64, later: &AuditRow) -> Result<(), Error> {
        let expected = audit_mac(self.keys, before, later.sequence, &later.sealed);
        if later.sequence == sequence + 1 && later.mac == expected {
            Ok(())
        } else {
            Err(Error::AuditBroken(later.sequence))
        }
    }

    fn open_entry(&self, row: &AuditRow) -> Result<AuditEntry, Error> {
        let sequence = row.sequence.to_be_bytes();
        seal::open(self.keys, audit_place(&sequence, row.sequence), &row.sealed)
            .ok()
            .and_then(|plaintext| audit::decode(row.sequence, &plaintext))
            .ok_or(Error::AuditBroken(row.sequence))
    }
}
