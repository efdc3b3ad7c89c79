//! The operations that read the file without changing it: what is too much or too confidential to be kept
//! in memory.

use std::sync::Arc;

use secrets_proto::Uuid;
use secrets_proto::fleet::Conflict;
use secrets_proto::item::ItemVersion;
use secrets_proto::secret::SecretVersion;
use secrets_proto::vault::{KeyInfo, VerifyReply};

use crate::caller::Caller;
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, Store};
use crate::vault::Error;
use crate::vault::format::approval_rule::ApprovalRule;
use crate::vault::format::item::StoredItemValue;
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::{Record, StoredValue, record_context};
use crate::vault::format::slots;

use super::audit_walk::{AuditLog, Forward};
use super::catalog::Catalog;
use super::interrupts::Interrupts;

/// An open vault, for reading.
pub(in crate::vault) struct Reading<'a> {
    pub(in crate::vault) store: &'a Store,
    pub(in crate::vault) keys: &'a Keys,
    pub(in crate::vault) catalog: &'a Catalog,
    pub(in crate::vault) manifest: &'a Manifest,
}

impl Reading<'_> {
    /// Refuses a caller whose token was revoked, or has expired, while its request was waiting.
    pub(in crate::vault) fn admit(&self, caller: &Caller) -> Result<(), Error> {
        caller.rights().map_or(Ok(()), |rights| self.catalog.tokens.check(rights))
    }

    /// The vault's audit log.
    pub(in crate::vault) const fn audit_log(&self) -> AuditLog<'_> {
        AuditLog { store: self.store, keys: self.keys, manifest: self.manifest }
    }

    /// The kept versions of a secret's value, newest first.
    pub(in crate::vault) fn versions(&self, caller: &Caller, id: Uuid) -> Result<Vec<SecretVersion>, Error> {
        let current = self.catalog.of(caller).by_id(id).ok_or(Error::NotFound)?.meta.value_version;
        let rows = self.store.records_of(RecordKind::Value, id.as_bytes())?;
        let from = self.catalog.fleet.as_ref().map(|fleet| fleet.versions_of(id)).unwrap_or_default();
        let describe = |row| {
            let version = StoredValue::describe(self.keys, row, current)?;
            let (from, beside) = from.get(&row.version).cloned().unzip();
            Ok(SecretVersion { from, beside: beside.unwrap_or(false), ..version })
        };
        rows.iter().rev().map(describe).collect()
    }

    /// The secrets that the caller sees and that have values of several machines, with these values.
    pub(in crate::vault) fn conflicts(&self, caller: &Caller) -> Result<Vec<Conflict>, Error> {
        let secrets = self.catalog.of(caller).live().filter(|record| record.has_conflict());
        let conflict = |record: &Arc<Record>| {
            let mut values = self.versions(caller, record.id)?;
            values.retain(|version| version.current || version.beside);
            Ok(Conflict { id: record.id, name: record.meta.name.clone(), values })
        };
        secrets.map(conflict).collect()
    }

    /// The kept versions of an item's value, newest first.
    pub(in crate::vault) fn item_versions(&self, id: Uuid) -> Result<Vec<ItemVersion>, Error> {
        let current = self.catalog.items.by_id(id).ok_or(Error::NotFound)?.meta.value_version;
        let rows = self.store.records_of(RecordKind::ItemValue, id.as_bytes())?;
        rows.iter().rev().map(|row| StoredItemValue::describe(self.keys, row, current)).collect()
    }

    /// The key slots, oldest first.
    pub(in crate::vault) fn key_slots(&self) -> Result<Vec<KeyInfo>, Error> {
        let slots = self.store.slots()?;
        let mut keys =
            slots.iter().map(|slot| slots::describe(self.keys, slot)).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| (key.created_at, key.id));
        Ok(keys)
    }

    /// Opens every value and follows the audit log from its head to its first entry. What unlocking verifies (rows,
    /// counts, metadata) is taken as verified. Given up for what is urgent.
    pub(in crate::vault) fn verify_contents(&self, interrupts: &Interrupts) -> Result<VerifyReply, Error> {
        let audit_entries = self.manifest.audit_count.saturating_sub(self.manifest.archived.entries);
        let mut counts = VerifyReply { audit_entries, ..VerifyReply::default() };
        self.store.for_each_record(|row| -> Result<(), Error> {
            interrupts.give_way()?;
            match row.kind {
                RecordKind::Secret => counts.secrets += 1,
                RecordKind::Value => {
                    StoredValue::open(self.keys, &row)?;
                    counts.values += 1;
                }
                RecordKind::Token => counts.tokens += 1,
                RecordKind::Credential => counts.credentials += 1,
                RecordKind::ApprovalRule => drop(ApprovalRule::open(self.keys, &row)?),
                // Opened along with the rest when the file was verified.
                RecordKind::Item => counts.items += 1,
                RecordKind::ItemValue => drop(StoredItemValue::open(self.keys, &row)?),
                RecordKind::Collection => {}
                RecordKind::Fleet | RecordKind::Object | RecordKind::Origin | RecordKind::Unknown(_) => {
                    seal::open(self.keys, record_context(row.kind, &row.id, row.version), &row.sealed)
                        .map_err(|_| {
                            Error::Corrupt("a record of the fleet or of an unknown kind is not authentic")
                        })?;
                }
            }
            Ok(())
        })?;
        counts.trashed = self.catalog.all().with_trash().filter(|record| record.is_deleted()).count() as u64;
        counts.secrets -= counts.trashed;
        let mut walk = Forward::default();
        while walk.step(&self.audit_log())? {
            interrupts.give_way()?;
        }
        Ok(counts)
    }
}
