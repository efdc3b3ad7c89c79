//! What was merged, put into the vault's own rows: a secret is there as all machines know it.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrets_fleet::ids::ShortHash;
use secrets_fleet::secret::NAME;
use secrets_fleet::{Dot, ObjectId, Replica, Secret};
use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::{SecretName, SecretValue, Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::store::RecordKind;
use crate::vault::Error;
use crate::vault::format::fleet::{Fleet, Held};
use crate::vault::format::mask::mask;
use crate::vault::format::record::{Record, StoredValue};
use crate::vault::writer::catalog::Change;

use super::super::Batch;
use super::{local, same_names};

/// What becomes of a secret that was merged.
enum Settled {
    /// It is there, so.
    Record(Box<Record>),
    /// It was purged.
    Purged,
    /// It has a name that this version does not know. It is kept for the other machines, and is not in this vault.
    Aside,
}

impl Batch<'_> {
    /// Makes the vault's secrets what was merged. Returns the names of those that others have changed.
    pub(super) fn settle(&mut self, fleet: &mut Fleet) -> Result<Vec<SecretName>, Error> {
        let mut names = Vec::new();
        let mut next = Vec::new();
        self.touch_holders(fleet);
        let travel = fleet.travel();
        // The old ones go first: a name may go from one secret to another.
        for id in fleet.replica.touched.clone() {
            let old = self.catalog.all().any(id).cloned();
            if old.as_deref().is_some_and(|old| Self::goes_its_own_way(fleet, &travel, old)) {
                continue;
            }
            let name = name_of(&fleet.replica, id, old.as_deref());
            if let Some(name) = &name
                && !self.has_room(fleet, &travel, id, name)?
            {
                continue;
            }
            let Some(secret) = fleet.replica.secrets.get_mut(&id).map(Arc::make_mut) else { continue };
            if let Some(old) = &old {
                self.allowed_before(old, GuardedRight::Write);
            }
            let record = match self.values(id, old.as_deref(), name, secret)? {
                Settled::Record(record) => *record,
                Settled::Purged => {
                    if let Some(old) = &old {
                        names.push(old.meta.name.clone());
                        self.remove(old)?;
                    }
                    continue;
                }
                Settled::Aside => continue,
            };
            if old.as_deref() == Some(&record) {
                continue;
            }
            if let Some(old) = &old {
                self.delete_record(old)?;
                self.apply(Change::Remove(id));
            }
            names.push(record.meta.name.clone());
            let was_guarded_so = old.is_some_and(|old| old.meta.guarded && old.meta.name == record.meta.name);
            next.push((record, was_guarded_so));
        }
        let caller = Caller::daemon("fleet");
        for (record, was_guarded_so) in next {
            let (id, name) = (record.id, record.meta.name.clone());
            let is_guarded_now = record.meta.guarded && !was_guarded_so;
            self.insert_record(record)?;
            if is_guarded_now {
                self.guarded_elsewhere(&caller, id, &name)?;
            }
        }
        for name in &names {
            self.audit(&caller, Event::done(AuditAction::Merge, vec![name.clone()]))?;
        }
        Ok(names)
    }

    /// The same on a machine that reads alone, and cannot say which of two secrets keeps a name: until another one does, it shows
    /// what that will be.
    pub(super) fn settle_for_a_reader(&mut self, fleet: &mut Fleet) -> Result<Vec<SecretName>, Error> {
        let mut shown = fleet.clone();
        let is_shown_otherwise = |(id, secret): &(&Uuid, &Arc<Secret<Held>>)| {
            self.catalog.all().any(**id).is_some_and(|record| record.is_deleted() == secret.is_visible())
        };
        let otherwise: Vec<_> =
            shown.replica.secrets.iter().filter(is_shown_otherwise).map(|(id, _)| *id).collect();
        shown.replica.touched.extend(otherwise);
        let losers = same_names(&shown);
        if !losers.is_empty() {
            let (_, entry) = shown.replica.draft(losers).ok_or(Error::Internal("a machine's log is full"))?;
            let (me, writer) = (shown.me(), shown.replica.known.writer);
            for (index, change) in (0..).zip(entry.changes) {
                let Some(id) = change.secret() else { continue };
                let object = ObjectId { writer, number: u32::MAX, hash: ShortHash([0; 16]) };
                Arc::make_mut(shown.replica.secrets.entry(id).or_default()).apply(
                    Dot { object, index },
                    me,
                    change,
                );
                shown.replica.touched.insert(id);
            }
        }
        let merged = self.settle(&mut shown)?;
        // What is known stays as the others have said it, with the rows in which its values are.
        for id in shown.replica.touched {
            let both = fleet.replica.secrets.get_mut(&id).zip(shown.replica.secrets.remove(&id));
            let Some((known, secret)) = both else { continue };
            let (known, secret) = (Arc::make_mut(known), Arc::unwrap_or_clone(secret));
            for (dot, value) in secret.live.into_iter().chain(secret.earlier) {
                let held = known.live.get_mut(&dot).or_else(|| known.earlier.get_mut(&dot));
                held.into_iter().for_each(|held| held.value = value.value.clone());
            }
            fleet.replica.touched.insert(id);
        }
        Ok(merged)
    }

    /// A secret that has kept its old name here makes room for one that has it on all machines.
    fn touch_holders(&self, fleet: &mut Fleet) {
        let replica = &fleet.replica;
        let holder = |id: &Uuid| {
            let name = SecretName::parse(replica.secrets.get(id)?.field(NAME)?).ok()?;
            self.catalog.all().by_name(&name).map(|record| record.id)
        };
        let holders: Vec<Uuid> = replica.touched.iter().filter_map(holder).collect();
        fleet.replica.touched.extend(holders);
    }

    /// A guard that another machine has turned on, or a guarded secret under a name that is new here: a program that was allowed the
    /// secret, or the name, before there was a guard is not any more.
    fn guarded_elsewhere(&mut self, caller: &Caller, id: Uuid, name: &SecretName) -> Result<(), Error> {
        self.end_sessions_with(caller, id)?;
        let units: Vec<_> = self
            .catalog
            .grants()
            .filter(|grant| grant.covers(name))
            .map(|grant| grant.meta.unit.clone())
            .collect();
        units.iter().try_for_each(|unit| self.revoke(caller, unit, Some(name)))
    }

    fn remove(&mut self, old: &Arc<Record>) -> Result<(), Error> {
        for row in self.writing.records_of(RecordKind::Value, old.id.as_bytes())? {
            self.delete_row(&row)?;
        }
        self.delete_record(old)?;
        self.remove_approval_rules_of(old.id)?;
        self.apply(Change::Remove(old.id));
        self.done.purged = true;
        Ok(())
    }

    /// Brings the rows of a secret's values in line, and says what becomes of it.
    fn values(
        &mut self,
        id: Uuid,
        old: Option<&Record>,
        name: Option<SecretName>,
        secret: &mut Secret<Held>,
    ) -> Result<Settled, Error> {
        let Some((current, _)) = secret.current() else { return Ok(Settled::Purged) };
        let Some(name) = name else { return Ok(Settled::Aside) };
        let before = old.map_or(0, |old| old.version);
        let mut version = before;
        let mut values: Vec<_> = secret.earlier.iter_mut().chain(secret.live.iter_mut()).collect();
        values.sort_by_key(|(dot, value)| (**dot == current, value.clock, **dot));
        let (mut kept, mut arrived) = (BTreeSet::new(), None);
        for (dot, value) in &mut values {
            if let Held::New(new) = &value.value {
                version += 1;
                let at = Timestamp::from_second(value.at).unwrap_or_else(Timestamp::now);
                let row = StoredValue::seal(self.keys, id, version, at, new)?;
                self.insert_row(&row)?;
                let new = std::mem::replace(&mut value.value, Held::Row(version));
                if let (Held::New(new), true) = (new, **dot == current) {
                    arrived = Some((at, new));
                }
            }
            if let Held::Row(row) = &value.value {
                kept.insert(*row);
            }
        }
        for row in self.writing.records_of(RecordKind::Value, id.as_bytes())? {
            if !kept.contains(&row.version) {
                self.delete_row(&row)?;
                self.done.purged = true;
            }
        }
        let Held::Row(value_version) = held(secret, &current)? else {
            return Err(Error::Internal("a value has no row"));
        };
        let (at, value) = match arrived {
            Some(arrived) => arrived,
            None => self.stored(id, value_version)?,
        };
        let trashed = trashed(secret, &current);
        let mut record = match old {
            Some(old) => old.clone(),
            None => Record::new(id, name.clone(), None, &value),
        };
        let meta = &mut record.meta;
        (meta.name, meta.mask, meta.size) = (name, mask(&value), value.expose().len() as u64);
        meta.provider = local::provider(secret.field("provider"));
        meta.note = local::note(secret.field("note"));
        meta.expires_at = local::expiry(secret.field("expires_at"));
        meta.guarded = secret.is_guarded();
        if meta.deleted_at.is_some() != trashed.is_some() {
            meta.deleted_at = trashed;
        }
        if meta.value_version != value_version || old.is_none() {
            meta.value_version = value_version;
            meta.value_changed = Some((value_version, at));
        }
        if record.has_conflict() == secret.conflicts().is_empty() {
            record.meta.conflict = (!secret.conflicts().is_empty()).then_some(value_version);
        }
        if old.is_none() {
            record.meta.created_at = at;
            record.version = version.max(1);
        } else if old != Some(&record) || version > before {
            record.version = version.max(before + 1);
            record.meta.value_changed = old
                .and_then(|old| {
                    (old.meta.value_version == value_version).then(|| old.value_changed_at()).flatten()
                })
                .map(|time| (value_version, time))
                .or(Some((value_version, at)));
            record.meta.updated_at = Timestamp::now();
        }
        Ok(Settled::Record(Box::new(record)))
    }

    fn stored(&self, id: Uuid, version: u64) -> Result<(Timestamp, SecretValue), Error> {
        let row = self.writing.record(RecordKind::Value, id.as_bytes(), version)?;
        StoredValue::open(self.keys, &row.ok_or(Error::Corrupt("a secret's value is missing"))?)
    }
}

/// Since when a secret is in the trash, by its current value.
fn trashed(secret: &Secret<Held>, current: &Dot) -> Option<Timestamp> {
    let mark = secret.live.get(current).and_then(|value| value.mark);
    let at = mark.and_then(|mark| mark.trashed).filter(|_| !secret.is_visible())?;
    Some(Timestamp::from_second(at).unwrap_or_else(Timestamp::now))
}

/// What a secret is called here. A later version may allow names that this one does not know: then it keeps the one that it
/// had here, with a number behind it if another secret has that one now.
fn name_of(replica: &Replica<Held>, id: Uuid, old: Option<&Record>) -> Option<SecretName> {
    if let Some(name) = replica.secrets.get(&id)?.field(NAME).and_then(|name| SecretName::parse(name).ok()) {
        return Some(name);
    }
    let kept = &old?.meta.name;
    let is_free = |name: &SecretName| {
        let has_it = |secret: &Secret<Held>| secret.is_visible() && secret.field(NAME) == Some(name.as_str());
        !replica.secrets.iter().any(|(other, secret)| *other != id && has_it(secret))
    };
    let numbered =
        (2..1_000).filter_map(|number| SecretName::parse(&format!("{}_{number}", kept.as_str())).ok());
    std::iter::once(kept.clone()).chain(numbered).find(is_free)
}

fn held(secret: &Secret<Held>, dot: &Dot) -> Result<Held, Error> {
    let value = secret.live.get(dot).map(|value| value.value.clone());
    value.ok_or(Error::Internal("the current value is gone"))
}
