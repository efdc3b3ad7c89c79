//! What stays on this machine: secrets that it was told to keep, and those whose names do not travel. They are not said, and what
//! others say of them does not change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrets_fleet::Secret;
use secrets_fleet::filter::List;
use secrets_fleet::secret::NAME;
use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::KeptLocal;
use secrets_proto::{Glob, SecretName, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::store::RecordKind;
use crate::vault::format::fleet::{Fleet, Held, Travel};
use crate::vault::format::record::{Record, StoredValue};
use crate::vault::{Error, FleetError};

use super::super::Batch;
use super::super::approvals::Why;
use super::local::wall_of;
use super::{Synced, wall};

/// How many globs all machines agree on at the most.
const MOST_GLOBS: usize = 100;

/// How many there may ever have been: the registers of those that were taken back stay, and all have to fit into the welcome of a
/// machine that joins, which lies in the list of machines if that is a key.
const MOST_EVER: usize = 500;

impl Batch<'_> {
    /// Keeps a secret on this machine, or lets it travel again. One that is guarded leaves only if a person has shown to be the
    /// owner. Returns what it is called, and who has a copy of it.
    pub(in crate::vault) fn set_local(
        &mut self,
        caller: &Caller,
        id: Uuid,
        local: bool,
    ) -> Result<(KeptLocal, Synced), Error> {
        let action = if local { AuditAction::KeepLocal } else { AuditAction::Share };
        let name = match self.catalog.of(caller).by_id(id).cloned() {
            Some(old) => {
                if old.meta.local != local {
                    if local {
                        self.approve(caller, GuardedRight::Write, action, [&old], Why::default())?;
                    } else if old.meta.guarded && !caller.is_proven() {
                        return Err(Error::Unproven);
                    }
                    self.allowed_before(&old, GuardedRight::Write);
                    let record = old.next(|meta| meta.local = local);
                    self.put(Some(&old), record, caller, action)?;
                }
                old.meta.name.clone()
            }
            // Its own value was destroyed here, or another secret has its name.
            None if !local => self.kept_out(caller, id)?,
            None => return Err(Error::NotFound),
        };
        let Some(fleet) = self.catalog.fleet.clone() else {
            return Ok((KeptLocal { name, local, machines: Vec::new() }, Synced::default()));
        };
        let mut fleet = Fleet::clone(&fleet);
        let others_have = fleet.others_have(id);
        if local && others_have {
            fleet.meta.kept_out.insert(id);
        } else if fleet.meta.kept_out.remove(&id) && self.catalog.all().any(id).is_none() {
            self.audit(caller, Event::done(action, vec![name.clone()]))?;
        }
        let machines = if others_have { fleet.names_of_others() } else { Vec::new() };
        Ok((KeptLocal { name, local, machines }, self.follow(fleet)?))
    }

    /// The name of a secret of the others that this machine does not take, and was told not to.
    fn kept_out(&self, caller: &Caller, id: Uuid) -> Result<SecretName, Error> {
        let fleet = self.catalog.fleet.as_ref().filter(|fleet| fleet.meta.kept_out.contains(&id));
        let secret = fleet.and_then(|fleet| fleet.replica.secrets.get(&id)).ok_or(Error::NotFound)?;
        let name = secret.field(NAME).and_then(|name| SecretName::parse(name).ok()).ok_or(Error::NotFound)?;
        if caller.sees(&name) { Ok(name) } else { Err(Error::NotFound) }
    }

    /// Says for all machines that names like this travel, or do not, or takes that back. What is guarded and would leave by that
    /// leaves only if a person has shown to be the owner.
    pub(in crate::vault) fn list_names(
        &mut self,
        caller: &Caller,
        list: List,
        glob: &Glob,
        is_said: bool,
    ) -> Result<Synced, Error> {
        let mut fleet = self.fleet_to_change()?;
        if fleet.is_disputed() {
            return Err(Error::Fleet(FleetError::Disputed));
        }
        let (before, was) = (fleet.travel(), fleet.replica.filter());
        let was_said =
            if list == List::Include { &was.include } else { &was.exclude }.contains(glob.as_str());
        if was_said == is_said {
            return if is_said {
                self.outbox(Synced::default())
            } else {
                Err(Error::Fleet(FleetError::NoGlob))
            };
        }
        if is_said && was.include.len() + was.exclude.len() >= MOST_GLOBS {
            return Err(Error::Fleet(FleetError::TooManyGlobs));
        }
        let is_new = !fleet.replica.has_register(list, glob.as_str());
        if is_new && fleet.replica.registers().len() >= MOST_EVER {
            return Err(Error::Fleet(FleetError::TooManyGlobsEver));
        }
        let change = fleet.replica.list(list, glob.as_str(), is_said, wall());
        self.write_entry(&mut fleet, vec![change], &BTreeMap::new())?;
        let after = fleet.travel();
        let leaves = |record: &Record| {
            let name = &record.meta.name;
            record.meta.guarded && !record.meta.local && !before.lets(name) && after.lets(name)
        };
        if !caller.is_proven() && self.catalog.all().with_trash().any(|record| leaves(record)) {
            return Err(Error::Unproven);
        }
        self.audit(caller, Event::done(AuditAction::Fleet, Vec::new()))?;
        self.follow(fleet)
    }

    /// A secret with another name may begin to travel, or cease to.
    pub(in crate::vault) fn follow_name(&mut self, id: Uuid) -> Result<(), Error> {
        let Some(fleet) = self.catalog.fleet.clone() else { return Ok(()) };
        let Some(record) = self.catalog.all().any(id) else { return Ok(()) };
        if fleet.others_have(id) && fleet.keeps(record) != fleet.replica.kept.contains_key(&id) {
            self.follow(Fleet::clone(&fleet))?;
        }
        Ok(())
    }

    /// Does what is to be done when something travels that did not, or the other way round.
    fn follow(&mut self, mut fleet: Fleet) -> Result<Synced, Error> {
        let mut said = BTreeSet::new();
        // One that has come back says what is new once it has read all.
        let is_back = fleet.meta.again.is_none();
        if is_back && !fleet.is_removed() && !fleet.is_disputed() && !fleet.is_reader() {
            let new = self.say_what_is_new(&mut fleet)?;
            fleet.meta.compact |= new.purged;
            said = std::mem::replace(&mut fleet.replica.touched, new.back);
        }
        self.touch_aside(&mut fleet);
        self.settle(&mut fleet)?;
        self.set_apart(&mut fleet);
        fleet.replica.touched.extend(said);
        self.keep(fleet)?;
        self.outbox(Synced::default())
    }

    /// Looks once more at what the others have and this machine has not: what stood in its way may be gone.
    pub(super) fn touch_aside(&self, fleet: &mut Fleet) {
        let never_here = |id: &Uuid| fleet.rows.get(id).is_none_or(|(_, synced)| *synced == 0);
        let is_aside = |(id, secret): &(&Uuid, &Arc<Secret<Held>>)| {
            never_here(id) && secret.is_visible() && self.catalog.all().any(**id).is_none()
        };
        let aside: Vec<Uuid> = fleet.replica.secrets.iter().filter(is_aside).map(|(id, _)| *id).collect();
        fleet.replica.touched.extend(aside);
    }

    /// Notes of what does not travel, and others have, what this machine has seen of it.
    pub(super) fn set_apart(&self, fleet: &mut Fleet) {
        let travel = fleet.travel();
        let all = self.catalog.all();
        let stays = |record: &&Arc<Record>| record.meta.local || !travel.lets(&record.meta.name);
        for record in all.with_trash().filter(stays) {
            let known = fleet.replica.secrets.get(&record.id);
            let is_known = known.is_some_and(|known| **known != Secret::default());
            if is_known && !fleet.replica.kept.contains_key(&record.id) {
                let is_same = fleet.rows.get(&record.id).is_some_and(|(_, synced)| *synced > 0);
                fleet.replica.keep(record.id, is_same);
                fleet.replica.touched.insert(record.id);
            }
        }
        let gone: Vec<Uuid> =
            fleet.replica.kept.keys().filter(|id| all.any(**id).is_none()).copied().collect();
        for id in gone {
            fleet.replica.kept.remove(&id);
            fleet.replica.touched.insert(id);
        }
        fleet.meta.unnamed.retain(|id| all.any(*id).is_some_and(|record| record.is_deleted()));
    }

    /// Holds for the others what they have of a secret that goes its own way here, before versions of its value leave this
    /// vault: a snapshot that this machine writes has what all machines have.
    pub(in crate::vault) fn hold_of_others(
        &mut self,
        id: Uuid,
        goes: impl Fn(u64) -> bool,
    ) -> Result<(), Error> {
        let fleet = self.catalog.fleet.clone().filter(|fleet| fleet.replica.kept.contains_key(&id));
        let Some(fleet) = fleet else { return Ok(()) };
        let mut fleet = Fleet::clone(&fleet);
        let Some(secret) = fleet.replica.secrets.get_mut(&id).map(Arc::make_mut) else { return Ok(()) };
        for value in secret.live.values_mut().chain(secret.earlier.values_mut()) {
            let Held::Row(version) = value.value else { continue };
            if goes(version)
                && let Some(row) = self.writing.record(RecordKind::Value, id.as_bytes(), version)?
            {
                value.value = Held::New(StoredValue::open(self.keys, &row)?.1);
            }
        }
        fleet.replica.touched.insert(id);
        self.keep(fleet)
    }

    /// Whether what others say of a secret is not for what is here under its id.
    pub(super) fn goes_its_own_way(fleet: &Fleet, travel: &Travel, here: &Record) -> bool {
        let synced = fleet.rows.get(&here.id).map_or(0, |(_, synced)| *synced);
        let stays = here.meta.local || !travel.lets(&here.meta.name);
        fleet.replica.kept.contains_key(&here.id) || (stays && synced != here.version)
    }

    /// Whether a secret of the others may come under this name. One that stays here and has the name goes to the trash if its
    /// value is the older one; a guarded one does not make room for what is new here.
    pub(super) fn has_room(
        &mut self,
        fleet: &mut Fleet,
        travel: &Travel,
        id: Uuid,
        name: &SecretName,
    ) -> Result<bool, Error> {
        let is_here = self.catalog.all().any(id).is_some();
        if !is_here && (!travel.lets(name) || fleet.meta.kept_out.contains(&id)) {
            return Ok(false);
        }
        let stored = fleet.replica.secrets.get(&id).filter(|secret| secret.is_visible());
        let Some((_, stored)) = stored.and_then(|secret| secret.current()) else { return Ok(true) };
        let stays = |holder: &Record| {
            holder.id != id
                && (holder.meta.local || !fleet.others_have(holder.id) || {
                    Self::goes_its_own_way(fleet, travel, holder)
                })
        };
        let holder = self.catalog.all().by_name(name).filter(|holder| stays(holder)).cloned();
        let Some(holder) = holder else { return Ok(true) };
        let since = wall_of(holder.value_changed_at().unwrap_or(holder.meta.updated_at));
        if !is_here && (holder.meta.guarded || since >= stored.clock) {
            return Ok(false);
        }
        let caller = Caller::daemon("fleet");
        self.allowed_before(&holder, GuardedRight::Write);
        let trashed = holder.next(|meta| meta.deleted_at = Some(meta.updated_at));
        self.put(Some(&holder), trashed, &caller, AuditAction::Delete)?;
        fleet.meta.unnamed.insert(holder.id);
        Ok(true)
    }
}
