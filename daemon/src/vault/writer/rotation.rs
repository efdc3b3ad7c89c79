//! Replacing the data key: every row is opened with the old epoch's keys and sealed with the new one's, in one
//! transaction. A crash leaves the old epoch or the new one, never a mix.

use crate::crypto::keys::{DataKey, Identity, Keys};
use crate::crypto::seal;
use crate::store::{AuditRow, HeaderRow, RecordRow, Store, Writing};
use crate::vault::Error;
use crate::vault::format::audit_chain::{audit_context, audit_mac};
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::record_context;
use crate::vault::format::slots::{self, NewSlot};

use super::interrupts::Interrupts;

/// Seals everything again under a fresh data key, which `new_slots` alone wrap. Durable when this returns; the result is the
/// keys and the manifest of the new epoch. Given up, as if nothing had been asked, for what is urgent.
pub(in crate::vault) fn rotate(
    store: &Store,
    old: &Keys,
    manifest: &Manifest,
    new_slots: &[NewSlot],
    interrupts: &Interrupts,
) -> Result<(Keys, Manifest), Error> {
    let identity = old.identity();
    let epoch = identity.epoch.checked_add(1).ok_or(Error::Internal("the epochs are used up"))?;
    let new = Keys::derive(DataKey::generate()?, Identity { epoch, ..identity })?;

    let writing = store.begin()?;
    let (mut counted, mut next) = (manifest.without_records(), manifest.without_records());
    for (kind, id, version) in writing.record_keys()? {
        interrupts.give_way()?;
        let row = writing.record(kind, &id, version)?;
        let row = row.ok_or(Error::Internal("a record has disappeared inside a transaction"))?;
        counted.add(old, &row)?;
        let context = record_context(kind, &id, version);
        let resealed = RecordRow { sealed: reseal(old, &new, context, &row.sealed)?, ..row };
        writing.update_record(&resealed)?;
        next.add(&new, &resealed)?;
    }
    // What was verified at unlock is checked again: rotation must not make a forgery authentic.
    if counted != *manifest {
        return Err(Error::Corrupt("rows were added, removed, changed or put back"));
    }
    next.audit_head = rechain(&writing, old, &new, manifest, interrupts)?;

    let mut header = HeaderRow { epoch, ..writing.header()? };
    for slot in writing.slots()? {
        writing.delete_slot(&slot.id)?;
    }
    for slot in new_slots {
        writing.insert_slot(&slot.to_row(&new)?)?;
    }
    header.mac = slots::header_mac(&new, &header, &writing.slots()?);
    writing.update_header(&header)?;
    next.header_mac = header.mac;
    next.generation += 1;
    writing.update_manifest(&next.seal(&new, &header.lineage)?)?;
    writing.commit()?;
    Ok((new, next))
}

/// Follows the audit log's chain, seals and chains it again; returns its new head.
fn rechain(
    writing: &Writing<'_>,
    old: &Keys,
    new: &Keys,
    manifest: &Manifest,
    interrupts: &Interrupts,
) -> Result<[u8; 32], Error> {
    let broken = |sequence| Error::AuditBroken(sequence, "it is gone or was changed");
    let (mut old_head, mut head) = (manifest.archived.head, manifest.archived.head);
    for sequence in manifest.archived.entries + 1..=manifest.audit_count {
        interrupts.give_way()?;
        let row = writing.audit_entry(sequence)?.ok_or_else(|| broken(sequence))?;
        old_head = audit_mac(old, &old_head, sequence, &row.sealed);
        if row.mac != old_head {
            return Err(broken(sequence));
        }
        let bytes = sequence.to_be_bytes();
        let sealed = reseal(old, new, audit_context(&bytes, sequence), &row.sealed)?;
        head = audit_mac(new, &head, sequence, &sealed);
        writing.update_audit(&AuditRow { sequence, sealed, mac: head })?;
    }
    if old_head == manifest.audit_head { Ok(head) } else { Err(broken(manifest.audit_count)) }
}

fn reseal(old: &Keys, new: &Keys, context: seal::AadContext<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let plaintext =
        seal::open(old, context.clone(), sealed).map_err(|_| Error::Corrupt("a row is not authentic"))?;
    Ok(seal::seal(new, context, &plaintext)?)
}
