//! A vault's file, verified as a whole with its keys before anything in it is served.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use secrets_proto::Uuid;

use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{Extent, HeaderRow, RecordKind, RecordRow, Store};
use crate::vault::Error;
use crate::vault::format::approval_rule::ApprovalRule;
use crate::vault::format::fleet::{Fleet, Origin};
use crate::vault::format::item::{Collection, Item};
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::{Record, record_context};
use crate::vault::format::slots;
use crate::vault::format::token::Token;
use crate::vault::format::unit_grant::UnitGrant;

use super::catalog::{Catalog, Change};

/// How many rows are handed to a thread at a time.
const PART: usize = 256;
/// The most threads that open rows.
const OPENERS: usize = 4;

/// What a file that was verified holds.
pub(in crate::vault) struct Verified {
    pub(in crate::vault) manifest: Manifest,
    pub(in crate::vault) catalog: Catalog,
    /// The number of key slots.
    pub(in crate::vault) slots: usize,
}

/// Everything that can be verified with the keys, in this order: header MAC, manifest, rows and counts, every
/// record's metadata and grant, the audit log's head, and to this extent the number of its entries. But first whether a newer program made it, by whose rules all of
/// that may look otherwise. It only reads.
pub(in crate::vault) fn verify(
    store: &Store,
    keys: &Keys,
    header: &HeaderRow,
    extent: Extent,
) -> Result<Verified, Error> {
    let corrupt = |what| Err(Error::Corrupt(what));
    let manifest = Manifest::open(keys, &header.lineage, &store.manifest()?);
    if matches!(manifest, Err(Error::NewerVault)) {
        return Err(Error::NewerVault);
    }
    let slots = store.slots()?;
    let mac = slots::header_mac(keys, header, &slots);
    if mac != header.mac {
        return corrupt("the header or a key slot was changed");
    }
    let manifest = manifest?;
    if manifest.header_mac != mac {
        return corrupt("the header and key slots are older than the rest");
    }

    let Opened { counted, mut records, mut values, grants, tokens, rules, items, fleet, origins } =
        open_rows(store, keys, &manifest)?;
    if counted != manifest {
        return corrupt("rows were added, removed, changed or put back");
    }

    let mut catalog = Catalog::default();
    records.sort_unstable_by_key(|record| record.id);
    values.sort_unstable();
    if records.windows(2).any(|two| matches!(two, [one, next] if one.id == next.id)) {
        return corrupt("a secret is there twice");
    }
    for record in &records {
        if values.binary_search(&(record.id, record.meta.value_version)).is_err() {
            return corrupt("a secret's value is missing");
        }
        if !record.is_deleted() && catalog.all().by_name(&record.meta.name).is_some() {
            return corrupt("two secrets have one name");
        }
        catalog.apply(&Change::Put(Arc::clone(record)));
    }
    if values.iter().any(|(id, _)| records.binary_search_by_key(id, |record| record.id).is_err()) {
        return corrupt("a value belongs to no secret");
    }
    items.into_catalog(&mut catalog)?;
    for grant in grants {
        if catalog.grant(&grant.meta.unit).is_some() {
            return corrupt("a unit has two grants");
        }
        catalog.apply(&Change::Allow(Arc::new(grant)));
    }
    for token in tokens {
        if catalog.tokens.has_any_of(&token) {
            return corrupt("a token is there twice");
        }
        catalog.apply(&Change::PutToken(Box::new(token)));
    }
    if fleet.len() > 1 || (fleet.is_empty() && !origins.is_empty()) {
        return corrupt("the fleet's row is missing, or there twice");
    }
    if let Some(mut fleet) = fleet.into_iter().next() {
        origins.into_iter().for_each(|(id, origin)| fleet.put_origin(id, origin));
        catalog.apply(&Change::PutFleet(Arc::new(fleet)));
    }
    for rule in rules {
        catalog.apply(&Change::PutApprovalRule(Arc::new(rule)));
    }

    let head = store.audit_entry(manifest.audit_count)?.map_or(manifest.archived.head, |row| row.mac);
    let left = manifest.audit_count.checked_sub(manifest.archived.entries);
    if head != manifest.audit_head || extent == Extent::All && Some(store.audit_count()?) != left {
        return corrupt("audit entries were added, removed or changed");
    }
    Ok(Verified { manifest, catalog, slots: slots.len() })
}

/// Rows that were opened, in no order.
struct Opened {
    /// The manifest without its records, and these counted in.
    counted: Manifest,
    records: Vec<Arc<Record>>,
    /// The secret and the version of each value; what it is stays sealed.
    values: Vec<(Uuid, u64)>,
    grants: Vec<UnitGrant>,
    tokens: Vec<Token>,
    rules: Vec<ApprovalRule>,
    items: OpenedItems,
    fleet: Vec<Fleet>,
    origins: Vec<(Uuid, Origin)>,
}

impl Opened {
    fn none(manifest: &Manifest) -> Self {
        Self {
            counted: manifest.without_records(),
            records: Vec::new(),
            values: Vec::new(),
            grants: Vec::new(),
            tokens: Vec::new(),
            rules: Vec::new(),
            items: OpenedItems::default(),
            fleet: Vec::new(),
            origins: Vec::new(),
        }
    }

    fn open(&mut self, keys: &Keys, row: &RecordRow) -> Result<(), Error> {
        self.counted.add(keys, row)?;
        match row.kind {
            RecordKind::Secret => self.records.push(Arc::new(open_record(keys, row)?)),
            RecordKind::Value => self.values.push((Uuid::from_bytes(row.id), row.version)),
            RecordKind::Credential => self.grants.push(open_grant(keys, row)?),
            RecordKind::Token => self.tokens.push(Token::open(keys, row)?),
            RecordKind::ApprovalRule => self.rules.push(ApprovalRule::open(keys, row)?),
            RecordKind::Item => self.items.items.push(Arc::new(Item::open(keys, row)?)),
            RecordKind::ItemValue => self.items.values.push((Uuid::from_bytes(row.id), row.version)),
            RecordKind::Collection => self.items.collections.push(Arc::new(Collection::open(keys, row)?)),
            RecordKind::Fleet => self.fleet.push(Fleet::open(keys, row)?),
            RecordKind::Origin => self.origins.push(Origin::open(keys, row)?),
            RecordKind::Object | RecordKind::Unknown(_) => {}
        }
        Ok(())
    }

    fn absorb(&mut self, other: Self) -> Result<(), Error> {
        self.counted.add_all(&other.counted)?;
        self.records.extend(other.records);
        self.values.extend(other.values);
        self.grants.extend(other.grants);
        self.tokens.extend(other.tokens);
        self.rules.extend(other.rules);
        self.items.items.extend(other.items.items);
        self.items.values.extend(other.items.values);
        self.items.collections.extend(other.items.collections);
        self.fleet.extend(other.fleet);
        self.origins.extend(other.origins);
        Ok(())
    }
}

/// Rows of items that were opened, in no order.
#[derive(Default)]
struct OpenedItems {
    items: Vec<Arc<Item>>,
    /// The item and the version of each value; what it is stays sealed.
    values: Vec<(Uuid, u64)>,
    collections: Vec<Arc<Collection>>,
}

impl OpenedItems {
    /// Puts them into the catalog, if each has its value and each value its item.
    fn into_catalog(self, catalog: &mut Catalog) -> Result<(), Error> {
        let Self { items, mut values, mut collections } = self;
        values.sort_unstable();
        for item in items {
            if catalog.items.any(item.id).is_some() {
                return Err(Error::Corrupt("an item is there twice"));
            }
            if catalog.items.has_order(item.meta.order) {
                return Err(Error::Corrupt("two items were changed at once"));
            }
            if values.binary_search(&(item.id, item.meta.value_version)).is_err() {
                return Err(Error::Corrupt("an item's value is missing"));
            }
            catalog.apply(&Change::PutItem(item));
        }
        if values.iter().any(|(id, _)| catalog.items.any(*id).is_none()) {
            return Err(Error::Corrupt("a value belongs to no item"));
        }
        if let Some(collection) = collections.pop() {
            catalog.apply(&Change::PutCollection(collection));
        }
        if collections.is_empty() { Ok(()) } else { Err(Error::Corrupt("there are two collections")) }
    }
}

/// Opens all rows: this thread reads them from the file, and others open them meanwhile, which takes three times as long.
/// Where no other can be started it does both.
fn open_rows(store: &Store, keys: &Keys, manifest: &Manifest) -> Result<Opened, Error> {
    let threads = available_parallelism().map_or(1, NonZero::get).min(OPENERS);
    let (send, parts) = sync_channel(OPENERS);
    let parts = Mutex::new(parts);
    let open = || open_parts(keys, &parts, Opened::none(manifest));
    thread::scope(move |scope| {
        let start = |_| thread::Builder::new().name("opener".to_owned()).spawn_scoped(scope, open).ok();
        let openers: Vec<_> = (0..threads).filter_map(start).collect();
        let mut opened = Opened::none(manifest);
        if openers.is_empty() {
            store.for_each_record(|row| opened.open(keys, &row))?;
            return Ok(opened);
        }
        let read = read_parts(store, &send);
        // That was all: the openers end.
        drop(send);
        for opener in openers {
            let part = opener.join().map_err(|_| Error::Internal("a thread has panicked"))?;
            opened.absorb(part?)?;
        }
        read.map(|()| opened)
    })
}

fn read_parts(store: &Store, send: &SyncSender<Vec<RecordRow>>) -> Result<(), Error> {
    let hand_over = |part| send.send(part).map_err(|_| Error::Internal("nobody opens rows"));
    let mut part = Vec::with_capacity(PART);
    store.for_each_record(|row| {
        part.push(row);
        if part.len() < PART {
            return Ok(());
        }
        hand_over(std::mem::replace(&mut part, Vec::with_capacity(PART)))
    })?;
    hand_over(part)
}

fn open_parts(
    keys: &Keys,
    parts: &Mutex<Receiver<Vec<RecordRow>>>,
    mut opened: Opened,
) -> Result<Opened, Error> {
    let mut outcome = Ok(());
    loop {
        let next = parts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(part) = next else { return outcome.map(|()| opened) };
        // What comes after a failure is taken all the same: nobody else may be left to take it.
        if outcome.is_ok() {
            outcome = part.iter().try_for_each(|row| opened.open(keys, row));
        }
    }
}

/// Opens what a unit may load.
fn open_grant(keys: &Keys, row: &RecordRow) -> Result<UnitGrant, Error> {
    let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
        .map_err(|_| Error::Corrupt("a grant to a unit is not authentic"))?;
    UnitGrant::decode(Uuid::from_bytes(row.id), row.version, &plaintext)
}

/// Opens a secret's metadata.
fn open_record(keys: &Keys, row: &RecordRow) -> Result<Record, Error> {
    let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
        .map_err(|_| Error::Corrupt("a secret's metadata is not authentic"))?;
    Record::decode(Uuid::from_bytes(row.id), row.version, &plaintext)
}
