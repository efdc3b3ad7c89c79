//! One vault on several machines, inside a batch: what this vault has that the others do not know becomes objects, what
//! they say is merged, and both are durable together.

mod again;
mod kept;
mod lists;
mod local;
mod refused;
mod settle;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrets_fleet::crypt::Place;
use secrets_fleet::exchange::MOST_FILES;
use secrets_fleet::object::{self, CannotSeal, Sealed, Signed};
use secrets_fleet::replica::{Entry, Receipt};
use secrets_fleet::secret::{GUARDED, NAME};
use secrets_fleet::{Change as FleetChange, Dot, Kind, MachineId, ObjectId, ObjectName, Secret, Writer};
use secrets_proto::audit::AuditAction;
use secrets_proto::{SecretName, Timestamp, Uuid};
use serde::Serialize;

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{FleetCrypt, Public};
use crate::store::RecordKind;
use crate::vault::format::fleet::{Fleet, Held, Origin, object_row, open_object};
use crate::vault::writer::catalog::Change;
use crate::vault::{Error, FleetError};

use super::Batch;
use local::Said;
use refused::refuse;

/// In which rounds an object that is missing is asked for: not at once, as it may be on its way, and ever more seldom.
const ASK_IN: [u32; 6] = [2, 6, 18, 54, 162, 486];

/// From when on the rounds of a missing object are not counted any more.
const MOST_ROUNDS: u32 = 500;

/// How many objects are asked for at the most. Who answers gives all that it has.
const MOST_MISSING: usize = 64;

/// What came of a round.
#[derive(Debug, Default)]
pub(in crate::vault) struct Synced {
    /// Objects to be put into the exchange.
    pub(in crate::vault) outbox: Vec<(ObjectName, Vec<u8>)>,
    /// Objects to be removed from it, once the others are there.
    pub(in crate::vault) drop: Vec<ObjectName>,
    /// The secrets that others have changed.
    pub(in crate::vault) merged: Vec<SecretName>,
    /// Objects that were not taken.
    pub(in crate::vault) refused: Vec<ObjectName>,
}

/// What the machines know of each other: by which key one tells who wrote an object.
fn writers(fleet: &Fleet) -> BTreeMap<MachineId, Public> {
    let members = fleet.present().filter(|member| member.may_write());
    members.map(|member| (member.id, member.keys.signing)).collect()
}

impl Batch<'_> {
    /// Makes this vault a machine of a fleet, and everything in it known to the others.
    pub(in crate::vault) fn begin_fleet(
        &mut self,
        caller: &Caller,
        mut fleet: Fleet,
    ) -> Result<Synced, Error> {
        if let Some(old) = self.catalog.fleet.clone() {
            if !old.is_removed() {
                return Err(Error::Fleet(FleetError::Exists));
            }
            let is_same = old.meta.fleet == fleet.meta.fleet && !fleet.is_reader();
            self.forget_fleet(&old, is_same)?;
            (fleet.meta.kept_out, fleet.meta.unnamed) = (old.meta.kept_out.clone(), old.meta.unnamed.clone());
            if is_same {
                let Fleet { meta, replica, rows, .. } = Fleet::clone(&old);
                let registers = fleet.replica.registers();
                fleet.meta.again = Some(meta.again.unwrap_or(replica.known.applied));
                (fleet.replica.secrets, fleet.replica.kept, fleet.rows) =
                    (replica.secrets, replica.kept, rows);
                fleet.replica.learn(registers);
            }
        }
        // Nobody takes anything from a machine that reads alone.
        if !fleet.is_reader() {
            self.announce(&mut fleet)?;
            if fleet.meta.again.is_none() {
                self.say_what_is_new(&mut fleet)?;
            }
        }
        self.audit(caller, Event::done(AuditAction::Fleet, Vec::new()))?;
        self.keep(fleet)?;
        self.outbox(Synced::default())
    }

    /// Removes what is known of a fleet from which this machine was removed, but for its secrets if it has come back. The vault's
    /// own secrets stay.
    fn forget_fleet(&mut self, old: &Fleet, comes_back: bool) -> Result<(), Error> {
        let rows = old.rows.iter().filter(|_| !comes_back);
        let rows = rows.map(|(id, (version, _))| (RecordKind::Origin, *id.as_bytes(), *version));
        let objects = old.meta.outbox.iter().map(|name| (RecordKind::Object, name.id.hash.0, 1));
        let all = rows.chain(objects).chain([(RecordKind::Fleet, [0; 16], old.version)]);
        for (kind, id, version) in all {
            let row = self.writing.record(kind, &id, version)?;
            self.delete_row(&row.ok_or(Error::Corrupt("a row of the fleet is missing"))?)?;
        }
        Ok(())
    }

    /// Says what is new here, merges what was read, and answers. `listed` are all objects that are in the exchange, and
    /// `objects` those that had to be read.
    pub(in crate::vault) fn sync_fleet(
        &mut self,
        listed: &[ObjectName],
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<Synced, Error> {
        let before = self.catalog.fleet.clone().ok_or(Error::Fleet(FleetError::None))?;
        let mut fleet = Fleet::clone(&before);
        self.read_lists(&mut fleet, objects)?;
        if is_of_another(&fleet, listed) {
            return Err(Error::Fleet(FleetError::Other));
        }
        self.note_machines(&Caller::daemon("fleet"), &before, &mut fleet)?;
        if fleet.is_removed() || fleet.is_disputed() {
            let why = if fleet.is_removed() { FleetError::Removed } else { FleetError::Disputed };
            fleet.refused.clear();
            self.keep_if_changed(&before, fleet)?;
            return Err(Error::Fleet(why));
        }
        if fleet.is_reader() {
            return self.read_fleet(&before, fleet, objects);
        }
        fleet.meta.crowded = listed.len() >= MOST_FILES;
        self.shut_out(&mut fleet)?;
        let (missing, purged, said, back) = if fleet.meta.again.is_some() {
            let Some((missing, Said { purged, back })) = self.come_back(&mut fleet, objects)? else {
                self.announce_again(&mut fleet, listed)?;
                let refused = std::mem::take(&mut fleet.refused);
                self.keep_if_changed(&before, fleet)?;
                return self.outbox(Synced { refused, ..Synced::default() });
            };
            (missing, purged, BTreeSet::new(), back)
        } else {
            // First, so that what was written here before is not taken for an answer to what comes now.
            let Said { purged, mut back } = self.say_what_is_new(&mut fleet)?;
            let mut said = std::mem::take(&mut fleet.replica.touched);
            let filter = fleet.replica.filter();
            let missing = self.receive(&mut fleet, objects)?;
            if fleet.replica.filter() != filter {
                let touched = std::mem::take(&mut fleet.replica.touched);
                back.extend(self.say_what_is_new(&mut fleet)?.back);
                said.extend(std::mem::replace(&mut fleet.replica.touched, touched));
            }
            (missing, purged, said, back)
        };
        fleet.replica.touched.extend(back);
        self.touch_aside(&mut fleet);
        if fleet.replica.known.forked {
            fleet.replica.begin_log(Writer(crypto::random()?));
        }
        let changes = same_names(&fleet);
        self.write_entries(&mut fleet, changes, &BTreeMap::new())?;
        let merged = self.settle(&mut fleet)?;
        self.set_apart(&mut fleet);
        // What was said is to be remembered as said: after a restart it would be said again, in place of newer values.
        fleet.replica.touched.extend(said);
        self.ask_for(&mut fleet, &missing)?;
        let drop = self.answer(&mut fleet, listed, purged)?;
        self.announce_again(&mut fleet, listed)?;
        self.welcome_again(&mut fleet, listed)?;
        let refused = std::mem::take(&mut fleet.refused);
        self.keep_if_changed(&before, fleet)?;
        self.outbox(Synced { drop, merged, refused, ..Synced::default() })
    }

    /// Merges what was read, and says nothing: nobody takes anything from a machine that reads alone.
    fn read_fleet(
        &mut self,
        before: &Fleet,
        mut fleet: Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<Synced, Error> {
        fleet.replica.touched.clear();
        self.receive(&mut fleet, objects)?;
        self.touch_aside(&mut fleet);
        let merged = self.settle_for_a_reader(&mut fleet)?;
        self.set_apart(&mut fleet);
        let refused = std::mem::take(&mut fleet.refused);
        self.keep_if_changed(before, fleet)?;
        Ok(Synced { merged, refused, ..Synced::default() })
    }

    /// Whether what has been in the trash for too long by this machine's clock may go for good. A clock that is years ahead
    /// must not empty the trash of all machines: another machine's must agree, to the day.
    pub(super) fn may_expire(&self, id: Uuid, now: Timestamp) -> bool {
        const DAY: i64 = 24 * 3_600;
        let Some(fleet) = self.catalog.fleet.as_ref().filter(|fleet| fleet.has_others()) else { return true };
        let agrees = |heard: i64| (now.as_second() - DAY..=now.as_second() + DAY).contains(&heard);
        fleet.last_heard().is_some_and(agrees) && !fleet.lost_its_name(id)
    }

    /// Forgets the objects that are in the exchange now.
    pub(in crate::vault) fn fleet_sent(&mut self, sent: &[ObjectName]) -> Result<(), Error> {
        let Some(fleet) = self.catalog.fleet.clone() else { return Ok(()) };
        let mut fleet = Fleet::clone(&fleet);
        for name in sent.iter().filter(|name| fleet.meta.outbox.contains(name)) {
            let row = self.writing.record(RecordKind::Object, &name.id.hash.0, 1)?;
            self.delete_row(&row.ok_or(Error::Corrupt("an object's row is missing"))?)?;
        }
        fleet.meta.outbox.retain(|name| !sent.contains(name));
        self.keep(fleet)
    }

    /// Notes that an earlier value of a secret was destroyed, which the secret's version does not tell.
    pub(super) fn value_is_gone(&mut self, id: Uuid) -> Result<(), Error> {
        let is_said =
            |fleet: &Arc<Fleet>| fleet.rows.contains_key(&id) && !fleet.replica.kept.contains_key(&id);
        let Some(fleet) = self.catalog.fleet.clone().filter(is_said) else { return Ok(()) };
        let mut fleet = Fleet::clone(&fleet);
        fleet.meta.compact = true;
        fleet.unsaid.insert(id);
        fleet.replica.touched.insert(id);
        self.keep(fleet)
    }

    /// All objects that are not in the exchange yet.
    fn outbox(&self, synced: Synced) -> Result<Synced, Error> {
        let names = self.catalog.fleet.iter().flat_map(|fleet| &fleet.meta.outbox);
        let read = |name: &ObjectName| {
            let row = self.writing.record(RecordKind::Object, &name.id.hash.0, 1)?;
            let row = row.ok_or(Error::Corrupt("an object's row is missing"))?;
            Ok((*name, open_object(self.keys, &row)?))
        };
        let outbox = names.map(read).collect::<Result<_, Error>>()?;
        Ok(Synced { outbox, ..synced })
    }

    /// Takes the entries of logs and the snapshots that can be taken. Returns what is missing.
    fn receive(
        &mut self,
        fleet: &mut Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<BTreeSet<ObjectId>, Error> {
        let (mut waiting, mut spoilt, mut missing) = (Vec::new(), Vec::new(), BTreeSet::new());
        {
            let writers = writers(fleet);
            let crypt =
                FleetCrypt { keys: &fleet.meta.keys, signing: &fleet.meta.signing, writers: &writers };
            for (name, bytes) in objects.iter().filter(|(name, _)| name.kind == Kind::Log) {
                if fleet.replica.has(&name.id) {
                    continue;
                }
                match object::open::<Entry<Held>>(&crypt, fleet.meta.fleet, name, bytes) {
                    Ok((entry, _)) if is_of_the_wire(&entry) => waiting.push((name.id, entry)),
                    Ok(_) | Err(_) => spoilt.push((*name, bytes)),
                }
            }
        }
        spoilt.iter().for_each(|(name, bytes)| refuse::<Entry<Held>>(fleet, *name, bytes));
        take(fleet, &mut waiting);
        self.read_snapshots(fleet, objects)?;
        take(fleet, &mut waiting);
        let here: BTreeSet<_> = waiting.iter().map(|(id, _)| *id).collect();
        fleet.meta.waiting = waiting.len();
        for (id, entry) in waiting {
            if let Receipt::Waits(others) = fleet.replica.receive(id, entry) {
                missing.extend(others.into_iter().filter(|other| !here.contains(other)));
            }
        }
        fleet.meta.expected.retain(|object| !fleet.replica.has(object) && !here.contains(object));
        missing.extend(&fleet.meta.expected);
        // What a machine has named is missing for sure; any other file may be nobody's.
        let others = spoilt.into_iter().map(|(name, _)| name.id).filter(|object| !missing.contains(object));
        let all: Vec<_> = missing.iter().copied().chain(others).collect();
        Ok(all.into_iter().filter(|object| !fleet.replica.has(object)).take(MOST_MISSING).collect())
    }

    /// Asks the others for what is missing after a while.
    fn ask_for(&mut self, fleet: &mut Fleet, missing: &BTreeSet<ObjectId>) -> Result<(), Error> {
        let rounds: BTreeMap<ObjectId, u32> = fleet.meta.missing.iter().copied().collect();
        let now =
            |object: &ObjectId| (*object, rounds.get(object).map_or(1, |rounds| MOST_ROUNDS.min(rounds + 1)));
        fleet.meta.missing = missing.iter().map(now).collect();
        let due = fleet.meta.missing.iter().filter(|(_, rounds)| ASK_IN.contains(rounds));
        let objects: Vec<_> = due.map(|(object, _)| *object).collect();
        if objects.is_empty() {
            return Ok(());
        }
        self.write_entries(fleet, vec![FleetChange::Want { objects }], &BTreeMap::new())
    }

    /// Writes an object of this machine's log; `versions` has the versions of the values that are in it, in their order.
    fn write_entry(
        &mut self,
        fleet: &mut Fleet,
        changes: Vec<FleetChange<Held>>,
        versions: &BTreeMap<(Uuid, u64), u64>,
    ) -> Result<ObjectId, Error> {
        let draft = fleet.replica.draft(changes);
        let (number, entry) = draft.ok_or(Error::Internal("a machine's log is full"))?;
        let sealed = self.seal_object(fleet, Kind::Log, number, &entry)?;
        let (id, hash) = (sealed.name.id, sealed.hash);
        self.put_object(fleet, &sealed)?;
        let Entry { by, prev, seen, changes } = entry;
        let kept = |change: FleetChange<Held>| {
            let version = if let FleetChange::Value { id, clock, .. } = &change {
                versions.get(&(*id, *clock)).copied()
            } else {
                None
            };
            change.try_map(|_| version.map(Held::Row).ok_or(Error::Internal("a value has no version")))
        };
        let changes = changes.into_iter().map(kept).collect::<Result<_, Error>>()?;
        fleet.replica.adopt(id, hash, Entry { by, prev, seen, changes });
        Ok(id)
    }

    /// Writes as many objects as these changes need. What comes in a later one covers what came in an earlier one, as it would in
    /// the same.
    fn write_entries(
        &mut self,
        fleet: &mut Fleet,
        changes: Vec<FleetChange<Held>>,
        versions: &BTreeMap<(Uuid, u64), u64>,
    ) -> Result<(), Error> {
        let room = |fleet: &Fleet| {
            let frame = fleet.replica.draft(Vec::new()).map_or(0, |(_, frame)| object::length(&frame));
            object::FULL.saturating_sub(frame)
        };
        let (mut part, mut left) = (Vec::new(), room(fleet));
        // The newest of each secret's: it covers those before it.
        let mut said: BTreeMap<Uuid, Dot> = BTreeMap::new();
        for mut change in changes {
            let id = change.secret();
            let before = |said: &BTreeMap<Uuid, Dot>| id.and_then(|id| said.get(&id)).copied();
            change.cover(before(&said));
            // With the comma behind it.
            let mut length = object::length(&change) + 1;
            if length > left && !part.is_empty() {
                let last = last_values(&part);
                let object = self.write_entry(fleet, std::mem::take(&mut part), versions)?;
                let last: BTreeMap<_, _> =
                    last.into_iter().map(|(id, index)| (id, Dot { object, index })).collect();
                change.cover(before(&last));
                said.extend(last);
                length = object::length(&change) + 1;
                left = room(fleet);
            }
            left = left.saturating_sub(length);
            part.push(change);
        }
        if !part.is_empty() {
            self.write_entry(fleet, part, versions)?;
        }
        Ok(())
    }

    fn seal_object<T: Serialize + Signed>(
        &self,
        fleet: &Fleet,
        kind: Kind,
        number: u32,
        body: &T,
    ) -> Result<Sealed, Error> {
        self.seal_object_in(fleet, fleet.epoch()?, kind, number, body)
    }

    fn seal_object_in<T: Serialize + Signed>(
        &self,
        fleet: &Fleet,
        epoch: u32,
        kind: Kind,
        number: u32,
        body: &T,
    ) -> Result<Sealed, Error> {
        let writers = BTreeMap::new();
        let crypt = FleetCrypt { keys: &fleet.meta.keys, signing: &fleet.meta.signing, writers: &writers };
        let writer = fleet.replica.known.writer;
        let place = Place { fleet: fleet.meta.fleet, epoch, kind, writer, number };
        object::seal(&crypt, &place, body).map_err(|error| match error {
            CannotSeal::TooLarge => Error::Internal("an object of the fleet is too large"),
            CannotSeal::NoKey => Error::Internal("an object of the fleet could not be sealed"),
        })
    }

    fn put_object(&mut self, fleet: &mut Fleet, sealed: &Sealed) -> Result<(), Error> {
        self.insert_row(&object_row(self.keys, &sealed.name, &sealed.bytes)?)?;
        fleet.meta.outbox.push(sealed.name);
        Ok(())
    }

    fn keep_if_changed(&mut self, before: &Fleet, mut fleet: Fleet) -> Result<(), Error> {
        let (secrets, rows) = (&fleet.replica.secrets, &fleet.rows);
        let is_new = |id: &Uuid| {
            secrets.get(id) != before.replica.secrets.get(id)
                || rows.get(id) != before.rows.get(id)
                || fleet.replica.kept.get(id) != before.replica.kept.get(id)
        };
        fleet.replica.touched.retain(is_new);
        if fleet == *before { Ok(()) } else { self.keep(fleet) }
    }

    /// Writes the fleet's row, and those of the secrets that have changed.
    fn keep(&mut self, mut fleet: Fleet) -> Result<(), Error> {
        let touched: BTreeSet<Uuid> = std::mem::take(&mut fleet.replica.touched);
        let unsaid = std::mem::take(&mut fleet.unsaid);
        for id in touched {
            let version = fleet.rows.get(&id).map_or(0, |(version, _)| *version);
            if version > 0 {
                let row = self.writing.record(RecordKind::Origin, id.as_bytes(), version)?;
                self.delete_row(&row.ok_or(Error::Corrupt("a secret's row of the fleet is missing"))?)?;
            }
            let synced = self.catalog.all().any(id).map_or(0, |record| record.version);
            let seen = fleet.replica.kept.get(&id).map(|seen| Secret::clone(seen));
            let synced = if unsaid.contains(&id) || seen.is_some() { 0 } else { synced };
            let Some(secret) = fleet.replica.secrets.get(&id).map(|secret| Secret::clone(secret)) else {
                fleet.rows.remove(&id);
                continue;
            };
            let origin = Origin { version: version + 1, synced, secret, seen };
            self.insert_row(&origin.seal(self.keys, id)?)?;
            fleet.rows.insert(id, (version + 1, synced));
        }
        if fleet.version > 0 {
            let row = self.writing.record(RecordKind::Fleet, &[0; 16], fleet.version)?;
            self.delete_row(&row.ok_or(Error::Corrupt("the fleet's row is missing"))?)?;
        }
        fleet.version += 1;
        self.insert_row(&fleet.seal(self.keys)?)?;
        self.apply(Change::PutFleet(Arc::new(fleet)));
        Ok(())
    }
}

/// Whether the exchange holds lists of machines, and none that is this fleet's: it is another one's, and nothing is put there.
fn is_of_another(fleet: &Fleet, listed: &[ObjectName]) -> bool {
    let mut lists = listed.iter().filter(|name| name.kind == Kind::Members).peekable();
    lists.peek().is_some() && !lists.any(|name| fleet.meta.read.contains(name))
}

/// What has to be done about secrets that have one name: all but one go to the trash, and the one that keeps the name is
/// guarded if any of them is.
fn same_names(fleet: &Fleet) -> Vec<FleetChange<Held>> {
    let mut changes = fleet.replica.name_conflicts(wall(), Timestamp::now().as_second());
    let losers: BTreeSet<Uuid> = changes.iter().filter_map(FleetChange::secret).collect();
    let named = |id: &Uuid| fleet.replica.secrets.get(id).filter(|secret| secret.is_guarded());
    let names: BTreeSet<&str> =
        losers.iter().filter_map(named).filter_map(|secret| secret.field(NAME)).collect();
    let keepers = fleet.replica.secrets.iter().filter(|(id, secret)| {
        let has_it = secret.field(NAME).is_some_and(|name| names.contains(name));
        has_it && secret.is_visible() && !secret.is_guarded() && !losers.contains(*id)
    });
    let guard = |(id, _): (&Uuid, _)| FleetChange::Fields {
        id: *id,
        clock: fleet.replica.clock(*id, wall()),
        fields: BTreeMap::from([(GUARDED.to_owned(), Some("yes".to_owned()))]),
    };
    // Before the others go.
    changes.splice(0..0, keepers.map(guard).collect::<Vec<_>>());
    changes
}

/// The place of each secret's last value among these changes.
fn last_values(changes: &[FleetChange<Held>]) -> BTreeMap<Uuid, u32> {
    let value = |(index, change): (u32, &FleetChange<Held>)| {
        let FleetChange::Value { id, .. } = change else { return None };
        Some((*id, index))
    };
    (0..).zip(changes).filter_map(value).collect()
}

/// What comes from others has values in it, never numbers of rows.
fn is_of_the_wire(entry: &Entry<Held>) -> bool {
    let is_new =
        |change: &FleetChange<Held>| !matches!(change, FleetChange::Value { value: Held::Row(_), .. });
    entry.changes.iter().all(is_new)
}

/// Takes what can be taken, until nothing more can.
fn take(fleet: &mut Fleet, waiting: &mut Vec<(ObjectId, Entry<Held>)>) {
    loop {
        let before = waiting.len();
        waiting.retain(|(id, entry)| match fleet.replica.receive(*id, entry.clone()) {
            Receipt::Applied | Receipt::Known => false,
            Receipt::Waits(_) => true,
            Receipt::Refused => {
                fleet.meta.refused += 1;
                false
            }
        });
        if waiting.len() == before {
            return;
        }
    }
}

/// The time by this machine's clock, in milliseconds since 1970.
fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
