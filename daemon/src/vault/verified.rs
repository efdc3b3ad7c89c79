//! A vault's file, verified as a whole with its keys before anything in it is served.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use secrets_proto::Uuid;

use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{HeaderRow, RecordKind, RecordRow, Store};

use super::Error;
use super::catalog::{Catalog, Change};
use super::grant::Grant;
use super::manifest::Manifest;
use super::record::{Record, record_place};
use super::slots;
use super::tokens::Token;

/// What a file that was verified holds.
pub(super) struct Verified {
    pub(super) manifest: Manifest,
    pub(super) catalog: Catalog,
    /// The number of key slots.
    pub(super) slots: usize,
}

/// Everything that can be verified with the keys, in this order: header MAC, manifest, rows and counts, every
/// record's metadata and grant, the audit log's head.
pub(super) fn verify(store: &Store, keys: &Keys, header: &HeaderRow) -> Result<Verified, Error> {
    let corrupt = |what| Err(Error::Corrupt(what));
    let slots = store.slots()?;
    let mac = slots::header_mac(keys, header, &slots);
    if mac != header.mac {
        return corrupt("the header or a key slot was changed");
    }
    let manifest = Manifest::open(keys, &header.lineage, &store.manifest()?)?;
    if manifest.header_mac != mac {
        return corrupt("the header and key slots are older than the rest");
    }

    let mut counted = manifest.without_records();
    let mut records: HashMap<Uuid, Arc<Record>> = HashMap::new();
    let mut values: HashSet<(Uuid, u64)> = HashSet::new();
    let mut grants: Vec<Grant> = Vec::new();
    let mut catalog = Catalog::default();
    store.for_each_record(|row| -> Result<(), Error> {
        counted.add(keys, &row)?;
        match row.kind {
            RecordKind::Secret => {
                let record = open_record(keys, &row)?;
                if records.insert(record.id, Arc::new(record)).is_some() {
                    return Err(Error::Corrupt("a secret is there twice"));
                }
            }
            RecordKind::Value => {
                values.insert((Uuid::from_bytes(row.id), row.version));
            }
            RecordKind::Credential => grants.push(open_grant(keys, &row)?),
            RecordKind::Token => {
                let token = Token::open(keys, &row)?;
                if catalog.tokens.has_any_of(&token) {
                    return Err(Error::Corrupt("a token is there twice"));
                }
                catalog.tokens.put(token);
            }
        }
        Ok(())
    })?;
    if counted != manifest {
        return corrupt("rows were added, removed, changed or put back");
    }

    for record in records.values() {
        if !values.contains(&(record.id, record.meta.value_version)) {
            return corrupt("a secret's value is missing");
        }
        if !record.is_deleted() && catalog.by_name(&record.meta.name).is_some() {
            return corrupt("two secrets have one name");
        }
        catalog.apply(&Change::Put(Arc::clone(record)));
    }
    for grant in grants {
        if catalog.grant(&grant.meta.unit).is_some() {
            return corrupt("a unit has two grants");
        }
        catalog.apply(&Change::Allow(Arc::new(grant)));
    }
    if values.iter().any(|(id, _)| !records.contains_key(id)) {
        return corrupt("a value belongs to no secret");
    }

    let head = store.audit_entry(manifest.audit_count)?.map_or([0; 32], |row| row.mac);
    if head != manifest.audit_head || store.audit_count()? != manifest.audit_count {
        return corrupt("audit entries were added, removed or changed");
    }
    Ok(Verified { manifest, catalog, slots: slots.len() })
}

/// Opens what a unit may load.
fn open_grant(keys: &Keys, row: &RecordRow) -> Result<Grant, Error> {
    let plaintext = seal::open(keys, record_place(row.kind, &row.id, row.version), &row.sealed)
        .map_err(|_| Error::Corrupt("a grant to a unit is not authentic"))?;
    Grant::decode(Uuid::from_bytes(row.id), row.version, &plaintext)
}

/// Opens a secret's metadata.
fn open_record(keys: &Keys, row: &RecordRow) -> Result<Record, Error> {
    let plaintext = seal::open(keys, record_place(row.kind, &row.id, row.version), &row.sealed)
        .map_err(|_| Error::Corrupt("a secret's metadata is not authentic"))?;
    Record::decode(Uuid::from_bytes(row.id), row.version, &plaintext)
}
