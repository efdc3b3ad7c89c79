//! Snapshots: read where they bring something, written for who lacks an object, in place of objects that were lost, and
//! after a purge, so that what was purged leaves the exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrets_fleet::applied::Applied;
use secrets_fleet::ids::ShortHash;
use secrets_fleet::object;
use secrets_fleet::secret::Value;
use secrets_fleet::snapshot::{Item, Part, Snapshot};
use secrets_fleet::{Dot, Kind, ObjectName};
use secrets_proto::Uuid;

use crate::crypto;
use crate::crypto::exchange::FleetCrypt;
use crate::store::RecordKind;
use crate::vault::Error;
use crate::vault::format::fleet::{Covered, Fleet, Held};
use crate::vault::format::record::StoredValue;

use super::super::Batch;
use super::refused::refuse;
use super::writers;

impl Batch<'_> {
    /// Merges the snapshots that are there as a whole.
    pub(super) fn read_snapshots(
        &self,
        fleet: &mut Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<(), Error> {
        let mut sets: BTreeMap<ShortHash, Vec<(ObjectName, Part<Held>)>> = BTreeMap::new();
        let mut spoilt = Vec::new();
        {
            let writers = writers(fleet);
            let crypt =
                FleetCrypt { keys: &fleet.meta.keys, signing: &fleet.meta.signing, writers: &writers };
            for (name, bytes) in objects.iter().filter(|(name, _)| name.kind == Kind::Snapshot) {
                match object::open::<Part<Held>>(&crypt, fleet.meta.fleet, name, bytes) {
                    Ok((part, _)) if part.items.iter().all(is_of_the_wire) => {
                        sets.entry(part.of).or_default().push((*name, part));
                    }
                    Ok(_) | Err(_) => spoilt.push((*name, bytes)),
                }
            }
        }
        spoilt.into_iter().for_each(|(name, bytes)| refuse::<Part<Held>>(fleet, name, bytes));
        for (of, mut parts) in sets {
            parts.sort_by_key(|(name, _)| name.id.number);
            let (names, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            // One that is not there as a whole waits.
            let Ok(snapshot) = Snapshot::from_parts(parts) else { continue };
            let applied = snapshot.applied.clone();
            if !fleet.replica.known.applied.has_all(&applied) {
                fleet.replica.merge(snapshot);
            }
            fleet.meta.covered.push(Covered { of, parts: names, applied });
        }
        Ok(())
    }

    /// Writes a snapshot if one is needed. Returns the objects that may leave the exchange after it.
    pub(super) fn answer(
        &mut self,
        fleet: &mut Fleet,
        listed: &[ObjectName],
        purged: bool,
    ) -> Result<Vec<ObjectName>, Error> {
        let own = fleet.meta.outbox.clone();
        let logs = listed.iter().chain(&own).filter(|name| name.kind == Kind::Log).map(|name| &name.id);
        let mut there: Applied = logs.collect();
        let is_there = |name: &ObjectName| listed.contains(name) || own.contains(name);
        fleet.meta.covered.retain(|covered| covered.parts.iter().all(is_there));
        fleet.meta.covered.iter().for_each(|covered| there.add_all(&covered.applied));
        let asked = !std::mem::take(&mut fleet.replica.known.asked).is_empty();
        let lost = fleet.replica.known.applied.beyond(&there) > 0;
        let is_taken = |name: &&ObjectName| name.kind == Kind::Log && fleet.replica.has(&name.id);
        let many = listed.iter().filter(is_taken).count() >= MOST_LOGS;
        let compact = purged || many || has_what_was_purged(fleet);
        if asked || lost || compact {
            self.write_snapshot(fleet)?;
        }
        if compact {
            fleet.meta.compacted = fleet.replica.known.applied.clone();
        }
        Ok(superfluous(fleet, listed))
    }

    pub(super) fn write_snapshot(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let Snapshot { by, applied, heads, owners, secrets } = fleet.replica.snapshot();
        let mut opened = BTreeMap::new();
        for (id, secret) in secrets {
            let mut secret = Arc::unwrap_or_clone(secret);
            secret.live = self.open_values(id, secret.live)?;
            secret.earlier = self.open_values(id, secret.earlier)?;
            opened.insert(id, Arc::new(secret));
        }
        let snapshot = Snapshot { by, applied: applied.clone(), heads, owners, secrets: opened };
        let of = ShortHash(crypto::random()?);
        let first = fleet.meta.snapshots.saturating_add(1);
        let mut parts = Vec::new();
        for (number, part) in (first..).zip(snapshot.into_parts(of, first)) {
            let sealed = self.seal_object(fleet, Kind::Snapshot, number, &part)?;
            self.put_object(fleet, &sealed)?;
            parts.push(sealed.name);
            fleet.meta.snapshots = number;
        }
        fleet.meta.covered.push(Covered { of, parts, applied });
        Ok(())
    }

    fn open_values(
        &self,
        id: Uuid,
        values: BTreeMap<Dot, Value<Held>>,
    ) -> Result<BTreeMap<Dot, Value<Held>>, Error> {
        let mut opened = BTreeMap::new();
        for (dot, mut value) in values {
            if let Held::Row(version) = value.value {
                // An earlier one may have been dropped here since.
                let Some(row) = self.writing.record(RecordKind::Value, id.as_bytes(), version)? else {
                    continue;
                };
                value.value = Held::New(StoredValue::open(self.keys, &row)?.1);
            }
            opened.insert(dot, value);
        }
        Ok(opened)
    }
}

/// From how many objects of logs on they are replaced by a snapshot.
const MOST_LOGS: usize = 2_000;

/// Whether there is a snapshot of before a purge that no later one has taken the place of: another machine wrote it at that
/// time.
fn has_what_was_purged(fleet: &Fleet) -> bool {
    let (all, compacted) = (&fleet.meta.covered, &fleet.meta.compacted);
    let is_old = |one: &&Covered| !one.applied.has_all(compacted);
    all.iter()
        .filter(is_old)
        .any(|old| !all.iter().any(|new| new.applied.has_all(compacted) && new.applied.has_all(&old.applied)))
}

/// The objects that a snapshot has taken the place of, and that have to go.
fn superfluous(fleet: &Fleet, listed: &[ObjectName]) -> Vec<ObjectName> {
    let compacted = &fleet.meta.compacted;
    let new: Vec<_> = fleet.meta.covered.iter().filter(|one| one.applied.has_all(compacted)).collect();
    if compacted.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let is_replaced = |one: &&Covered| {
        !one.applied.has_all(compacted) && new.iter().any(|new| new.applied.has_all(&one.applied))
    };
    let old = fleet.meta.covered.iter().filter(is_replaced).flat_map(|one| &one.parts);
    let old: BTreeSet<_> = old.collect();
    let goes = |name: &&ObjectName| match name.kind {
        Kind::Log => compacted.has(&name.id),
        Kind::Snapshot => old.contains(name),
        Kind::Members | Kind::Invitation => false,
    };
    listed.iter().filter(goes).copied().collect()
}

/// What comes from others has values in it, never numbers of rows.
fn is_of_the_wire(item: &Item<Held>) -> bool {
    match item {
        Item::Value { value, .. } => matches!(value.value, Held::New(_)),
        Item::Secret { .. } => true,
    }
}
