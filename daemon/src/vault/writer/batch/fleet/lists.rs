//! Lists of machines: who belongs to the fleet, who does not any more, and the fleet's keys for those who do.

use std::collections::{BTreeMap, BTreeSet};

use secrets_fleet::object::{self, Signed};
use secrets_fleet::{Kind, MachineId, ObjectName, Replica, Writer};
use secrets_proto::Timestamp;
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::MachineName;
use secrets_proto::reveal::Remark;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{FleetCrypt, Private};
use crate::vault::format::fleet::{
    Epoch, Fleet, Member, Members, Newcomer, generation, object_row, without_welcomes,
};
use crate::vault::{Error, FleetError};

use super::super::Batch;
use super::Synced;
use super::refused::refuse;

/// What is in an object of kind `m`.
#[derive(Serialize, Deserialize)]
struct List {
    by: MachineId,
    members: Members,
    /// The machines that have the key under which it is sealed.
    have: BTreeSet<MachineId>,
    /// The keys of the epochs that follow on it, each sealed to the machines that get it.
    keys: BTreeMap<u32, BTreeMap<MachineId, String>>,
}

impl Signed for List {
    fn by(&self) -> MachineId {
        self.by
    }
}

/// What a key is sealed to a machine for.
fn place(fleet: &Fleet, epoch: u32, machine: MachineId) -> Vec<u8> {
    [&fleet.meta.fleet.0[..], &epoch.to_be_bytes(), &machine.0].concat()
}

/// A key, sealed to every machine of its epoch that nobody has removed, and that belongs to the fleet now.
fn wrapped(fleet: &Fleet, number: u32, key: &Private) -> Result<BTreeMap<MachineId, String>, Error> {
    let epoch = fleet.meta.epochs.get(&number);
    let staying =
        fleet.present().filter(|member| epoch.is_none_or(|epoch| epoch.members.contains(&member.id)));
    let seal = |member: &Member| {
        Ok((member.id, key.wrap_to(&member.keys.sealing, &place(fleet, number, member.id))?))
    };
    staying.map(seal).collect()
}

impl Batch<'_> {
    /// Writes the list of machines as this one knows it.
    pub(super) fn announce(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let epoch = fleet.epoch()?;
        self.announce_in(fleet, epoch, BTreeMap::new())
    }

    /// Writes the list under each key, with the keys that follow on it and count, so that every machine can follow, whichever
    /// it has. Who passes a key on stands for it.
    fn announce_all(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let last = fleet.epoch()?;
        fleet.meta.latest.clear();
        for known in fleet.meta.keys.keys().copied().filter(|known| *known != last).collect::<Vec<_>>() {
            let following = fleet
                .meta
                .keys
                .iter()
                .filter(|(number, _)| follows(known, **number) && fleet.is_trusted(**number));
            let keys = following.map(|(number, key)| Ok((*number, wrapped(fleet, *number, key)?)));
            let keys = keys.collect::<Result<_, Error>>()?;
            self.announce_in(fleet, known, keys)?;
        }
        self.announce(fleet)
    }

    fn announce_in(
        &mut self,
        fleet: &mut Fleet,
        epoch: u32,
        keys: BTreeMap<u32, BTreeMap<MachineId, String>>,
    ) -> Result<(), Error> {
        let have = fleet.meta.epochs.get(&epoch).map(|epoch| epoch.members.clone()).unwrap_or_default();
        let have = have.into_iter().filter(|machine| fleet.stands(*machine)).collect();
        // Of keys that let nobody in any more: with each the list would grow, until it is larger than an object may be.
        let members = without_welcomes(&fleet.meta.members, |member| !fleet.stands(member.id));
        let list = List { by: fleet.me(), members, have, keys };
        fleet.meta.lists = fleet.meta.lists.saturating_add(1);
        let sealed = self.seal_object_in(fleet, epoch, Kind::Members, fleet.meta.lists, &list)?;
        fleet.meta.read.push(sealed.name);
        remember(fleet, sealed.name);
        self.put_object(fleet, &sealed)
    }

    /// Writes the list again if the exchange has lost one of those that say who belongs to the fleet now: under each key, so
    /// that a machine that has not read it can follow.
    pub(super) fn announce_again(&mut self, fleet: &mut Fleet, listed: &[ObjectName]) -> Result<(), Error> {
        let is_there = |name: &ObjectName| listed.contains(name) || fleet.meta.outbox.contains(name);
        if fleet.meta.latest.iter().all(is_there) {
            return Ok(());
        }
        self.announce_all(fleet)
    }

    /// Puts the welcomes of keys that are machines into the exchange, where they are not.
    pub(super) fn welcome_again(&mut self, fleet: &mut Fleet, listed: &[ObjectName]) -> Result<(), Error> {
        let welcomes = fleet.present().filter_map(|member| member.keys.welcome.as_ref()?.object());
        let is_there = |name: &ObjectName| listed.contains(name) || fleet.meta.outbox.contains(name);
        let missing: Vec<_> = welcomes.filter(|(name, _)| !is_there(name)).collect();
        for (name, bytes) in missing {
            self.insert_row(&object_row(self.keys, &name, &bytes)?)?;
            fleet.meta.outbox.push(name);
        }
        Ok(())
    }

    /// Begins an epoch: the machines that stay, and those that this one has let in, get a new key.
    fn begin_epoch(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let members = staying(fleet);
        // Two that begin one at the same time must not choose one number for two keys.
        let random: [u8; 2] = crypto::random()?;
        let counter = generation(fleet.epoch()?).checked_add(1).filter(|counter| *counter <= 0xFFFF);
        let counter = counter.ok_or(Error::Internal("the fleet has no number for another key"))?;
        let number = (counter << 16) | u32::from(u16::from_be_bytes(random));
        // Whom this machine has let in must be able to follow from the key that it has.
        let between = fleet.meta.epochs.values_mut();
        between.for_each(|epoch| epoch.members.extend(members.intersection(&fleet.meta.invited)));
        fleet.meta.epochs.insert(number, Epoch { by: fleet.me(), members });
        fleet.meta.keys.insert(number, Private::generate()?);
        self.announce_all(fleet)
    }

    /// Begins an epoch if the last one's key is known to a machine that does not belong to the fleet, or is not known to one that
    /// does: two removals at the same time leave each of the removed ones with the key that the other's removal brought, and
    /// one beside an invitation leaves the new machine without.
    pub(super) fn shut_out(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let is_right = |epoch: &Epoch| fleet.stands(epoch.by) && epoch.members == staying(fleet);
        if fleet.meta.epochs.get(&fleet.epoch()?).is_some_and(is_right) {
            return Ok(());
        }
        self.begin_epoch(fleet)
    }

    /// Lets a machine in, and tells the others. One that is in already stays as it is.
    pub(in crate::vault) fn add_machine(&mut self, caller: &Caller, member: Member) -> Result<Synced, Error> {
        if self.fleet_to_change()?.has(&member) {
            return self.outbox(Synced::default());
        }
        self.change_list(caller, |fleet| fleet.let_in(member))
    }

    /// Makes this vault one of the fleet's machines by a key, in whose eyes `fleet` is, as it was when the key was made. `objects`
    /// are what is in the exchange. A new machine is let in by the key; without one this machine is the key's own.
    pub(in crate::vault) fn enter_fleet(
        &mut self,
        caller: &Caller,
        mut fleet: Fleet,
        objects: &[(ObjectName, Vec<u8>)],
        newcomer: Option<Newcomer>,
    ) -> Result<Synced, Error> {
        self.read_lists(&mut fleet, objects)?;
        if fleet.is_removed() {
            return Err(Error::Fleet(FleetError::KeyEnded));
        }
        if fleet.is_disputed() {
            return Err(Error::Fleet(FleetError::Disputed));
        }
        if fleet.is_reader() != newcomer.is_none() {
            return Err(Error::Fleet(FleetError::OtherRole));
        }
        if let Some(Newcomer { member, signing, sealing }) = newcomer {
            let id = member.id;
            fleet.let_in(member)?;
            self.announce(&mut fleet)?;
            // From here on this machine speaks for itself.
            (fleet.meta.signing, fleet.meta.sealing) = (signing, sealing);
            fleet.replica = Replica::new(id, Writer(crypto::random()?));
        }
        self.begin_fleet(caller, fleet)
    }

    /// Gives a machine another name, and tells the others.
    pub(in crate::vault) fn rename_machine(
        &mut self,
        caller: &Caller,
        machine: MachineId,
        name: String,
    ) -> Result<Synced, Error> {
        self.change_list(caller, |fleet| {
            fleet.meta.members.get(machine).ok_or(Error::Fleet(FleetError::NoMachine))?;
            free_name(fleet, &name, machine)?;
            fleet.meta.members.rename(machine, name);
            Ok(())
        })
    }

    /// Notes which machines have joined and which were removed, in the audit log and, of the latter, when. Whether there are any.
    pub(super) fn note_machines(
        &mut self,
        caller: &Caller,
        before: &Fleet,
        after: &mut Fleet,
    ) -> Result<bool, Error> {
        let of =
            |fleet: &Fleet| fleet.present().map(|one| (one.id, one.name.clone())).collect::<BTreeMap<_, _>>();
        let (before, now) = (of(before), of(after));
        let joined = now.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, name)| (name, "joined"));
        let removed =
            before.iter().filter(|(id, _)| !now.contains_key(id)).map(|(_, name)| (name, "removed"));
        let all: Vec<_> = joined.chain(removed).collect();
        let gone = before.keys().filter(|id| !now.contains_key(id));
        let left = &mut after.meta.left;
        left.extend(gone.map(|id| (*id, Timestamp::now().as_second())));
        left.retain(|id, _| !now.contains_key(id));
        for (name, what) in &all {
            let reason = Remark::parse(&format!("machine {name} {what}")).ok();
            self.audit(caller, Event { reason, ..Event::done(AuditAction::Fleet, Vec::new()) })?;
        }
        Ok(!all.is_empty())
    }

    fn note_change(&mut self, caller: &Caller, after: &mut Fleet) -> Result<(), Error> {
        let before = self.catalog.fleet.clone();
        let is_noted = before.map_or(Ok(false), |before| self.note_machines(caller, &before, after))?;
        if is_noted { Ok(()) } else { self.audit(caller, Event::done(AuditAction::Fleet, Vec::new())) }
    }

    fn change_list(
        &mut self,
        caller: &Caller,
        change: impl FnOnce(&mut Fleet) -> Result<(), Error>,
    ) -> Result<Synced, Error> {
        let mut fleet = self.fleet_to_change()?;
        if fleet.is_disputed() {
            return Err(Error::Fleet(FleetError::Disputed));
        }
        change(&mut fleet)?;
        self.announce(&mut fleet)?;
        self.note_change(caller, &mut fleet)?;
        self.keep(fleet)?;
        self.outbox(Synced::default())
    }

    /// Removes a machine: the others get a new key, under which everything is written again. `listed` is what is in the
    /// exchange now.
    pub(in crate::vault) fn remove_machine(
        &mut self,
        caller: &Caller,
        machine: MachineId,
        listed: &[ObjectName],
    ) -> Result<Synced, Error> {
        self.shut_machines_out(caller, listed, |fleet| {
            let me = fleet.me();
            let is_present = fleet.present().any(|member| member.id == machine);
            if !is_present {
                return Err(Error::Fleet(FleetError::NoMachine));
            }
            fleet.meta.members.remove(me, machine);
            fleet.meta.members = without_welcomes(&fleet.meta.members, |member| member.id == machine);
            Ok(())
        })
    }

    /// Says that of machines that removed each other this one is kept. `listed` is what is in the exchange now.
    pub(in crate::vault) fn keep_machine(
        &mut self,
        caller: &Caller,
        machine: MachineId,
        listed: &[ObjectName],
    ) -> Result<Synced, Error> {
        self.shut_machines_out(caller, listed, |fleet| {
            if fleet.meta.members.keep(machine) {
                return Ok(());
            }
            Err(Error::Fleet(FleetError::NoDispute))
        })
    }

    fn shut_machines_out(
        &mut self,
        caller: &Caller,
        listed: &[ObjectName],
        change: impl FnOnce(&mut Fleet) -> Result<(), Error>,
    ) -> Result<Synced, Error> {
        let mut fleet = self.fleet_to_change()?;
        change(&mut fleet)?;
        let mut drop = Vec::new();
        // Who has given way to another writes nothing any more.
        if !fleet.is_removed() {
            self.begin_epoch(&mut fleet)?;
            drop = self.answer(&mut fleet, listed, true)?;
        }
        self.note_change(caller, &mut fleet)?;
        self.keep(fleet)?;
        self.outbox(Synced { drop, ..Synced::default() })
    }

    /// The fleet, for a machine that may change its list.
    pub(super) fn fleet_to_change(&self) -> Result<Fleet, Error> {
        let fleet = self.catalog.fleet.as_ref().ok_or(Error::Fleet(FleetError::None))?;
        if fleet.is_removed() {
            return Err(Error::Fleet(FleetError::Removed));
        }
        if fleet.is_reader() {
            return Err(Error::Fleet(FleetError::Reader));
        }
        Ok(Fleet::clone(fleet))
    }

    /// Takes the lists that were read: machines that are new, machines that were removed, and keys for this one.
    pub(super) fn read_lists(
        &self,
        fleet: &mut Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<(), Error> {
        loop {
            let before = (fleet.meta.read.len(), fleet.meta.members.clone(), fleet.meta.epochs.clone());
            for (name, bytes) in objects.iter().filter(|(name, _)| name.kind == Kind::Members) {
                if fleet.meta.read.contains(name) {
                    continue;
                }
                let list = {
                    // Also of those that were removed: what is heard of what they say depends on who they are.
                    let writers =
                        fleet.meta.members.all().map(|member| (member.id, member.keys.signing)).collect();
                    let crypt = FleetCrypt {
                        keys: &fleet.meta.keys,
                        signing: &fleet.meta.signing,
                        writers: &writers,
                    };
                    object::open::<List>(&crypt, fleet.meta.fleet, name, bytes)
                };
                // It may be by a machine, or under a key, that another list brings.
                let (Ok((list, _)), Some(epoch)) = (list, object::epoch(bytes)) else { continue };
                let known = fleet.epoch()?;
                if take(fleet, epoch, list) {
                    fleet.meta.read.push(*name);
                    if fleet.epoch()? != known {
                        fleet.meta.latest.clear();
                    }
                    if fleet.epoch()? != known || epoch == known {
                        remember(fleet, *name);
                    }
                }
            }
            let meta = &fleet.meta;
            if (meta.read.len(), &meta.members, &meta.epochs) == (before.0, &before.1, &before.2) {
                let lists = objects.iter().filter(|(name, _)| name.kind == Kind::Members);
                fleet.meta.refused = 0;
                let there: BTreeSet<_> = objects.iter().map(|(name, _)| name).collect();
                fleet.meta.strays.retain(|stray| there.contains(stray));
                for (name, bytes) in lists {
                    if !fleet.meta.read.contains(name) {
                        refuse::<List>(fleet, *name, bytes);
                    }
                }
                return Ok(());
            }
        }
    }
}

impl Fleet {
    /// This, and a machine beside those that are there.
    pub(in crate::vault) fn with(&self, member: &Member) -> Result<Self, Error> {
        let mut fleet = self.clone();
        fleet.let_in(member.clone())?;
        Ok(fleet)
    }

    /// Whether a machine belongs to the fleet by this id and these keys.
    fn has(&self, member: &Member) -> bool {
        self.present().any(|known| known.id == member.id && known.keys == member.keys)
    }

    /// Lets a machine in.
    fn let_in(&mut self, member: Member) -> Result<(), Error> {
        if self.has(&member) {
            return Ok(());
        }
        if !is_sound(&member) {
            return Err(Error::Fleet(FleetError::Unanswered));
        }
        if self.meta.members.get(member.id).is_some() {
            return Err(Error::Fleet(FleetError::NameTaken));
        }
        free_name(self, &member.name, member.id)?;
        let epoch = self.epoch()?;
        self.meta.invited.insert(member.id);
        self.meta.epochs.entry(epoch).and_modify(|epoch| epoch.members.extend([member.id]));
        // Who lets a machine in here has decided, for that machine at least, if this one is in question.
        self.meta.members.keep(self.me());
        await_word(&mut self.meta.unheard, &member);
        self.meta.members.add(member);
        Ok(())
    }
}

/// Notes that nothing was heard of a machine yet that is to speak for itself.
fn await_word(unheard: &mut BTreeSet<MachineId>, member: &Member) {
    if !member.reader && !member.key_alone {
        unheard.insert(member.id);
    }
}

fn free_name(fleet: &Fleet, name: &str, of: MachineId) -> Result<(), Error> {
    if fleet.present().any(|known| known.name == name && known.id != of) {
        return Err(Error::Fleet(FleetError::NameTaken));
    }
    Ok(())
}

/// Notes that a list says who belongs to the fleet now.
fn remember(fleet: &mut Fleet, name: ObjectName) {
    let latest = &mut fleet.meta.latest;
    latest.push(name);
    let beyond = latest.len().saturating_sub(MOST_LATEST);
    latest.drain(..beyond);
}

/// How many of the latest lists are looked after.
const MOST_LATEST: usize = 16;

/// Whether an epoch follows on another: of any other number nobody has a use, and the greatest would leave none for later.
fn follows(epoch: u32, next: u32) -> bool {
    generation(epoch).checked_add(1) == Some(generation(next))
}

/// Who is to have the last key: those that have it and were not removed, and those that this machine has let in.
fn staying(fleet: &Fleet) -> BTreeSet<MachineId> {
    let invited = fleet.meta.invited.iter().copied().filter(|machine| fleet.stands(*machine));
    fleet.present().map(|member| member.id).chain(invited).collect()
}

/// Whether a machine has a name that can be shown, and a key to which others can be sealed.
fn is_sound(member: &Member) -> bool {
    MachineName::parse(&member.name).is_ok() && member.keys.sealing.is_recipient()
}

/// Takes a list that was sealed under the key of this epoch. Whether it was taken as a whole.
fn take(fleet: &mut Fleet, epoch: u32, list: List) -> bool {
    let me = fleet.me();
    if !fleet.meta.epochs.get(&epoch).is_some_and(|epoch| epoch.members.contains(&list.by)) {
        return false;
    }
    // Nobody has removed it, and it was not given a later key: the one that let it in may have been removed. It is heard once one
    // that has the later key has given it that.
    let is_left_out = |(number, last): (u32, &Epoch)| {
        generation(number) > generation(epoch) && !last.members.contains(&list.by)
    };
    if fleet.stands(list.by) && fleet.newest().is_some_and(is_left_out) {
        return false;
    }
    if !list.members.all().all(is_sound) {
        return false;
    }
    let new = list.members.all().filter(|member| fleet.meta.members.get(member.id).is_none());
    let new: Vec<_> = new.cloned().collect();
    if !fleet.meta.members.merge(me, list.by, list.members) {
        return false;
    }
    new.iter().for_each(|member| await_word(&mut fleet.meta.unheard, member));
    fleet.meta.unheard.remove(&list.by);
    if let Some(epoch) = fleet.meta.epochs.get_mut(&epoch) {
        epoch.members.extend(list.have);
    }
    for (number, sealed) in list.keys.into_iter().filter(|(number, _)| follows(epoch, *number)) {
        let place = place(fleet, number, me);
        let key = sealed.get(&me).and_then(|text| fleet.meta.sealing.unwrap(text, &place).ok());
        let members: BTreeSet<_> = sealed.into_keys().collect();
        // A machine that was removed since may have taken the number for a key of its own.
        let stands = fleet.meta.epochs.get(&number).is_some_and(|known| fleet.stands(known.by));
        if stands && let Some(known) = fleet.meta.epochs.get_mut(&number) {
            if known.members.contains(&list.by) {
                known.members.extend(members);
            }
        } else {
            fleet.meta.epochs.insert(number, Epoch { by: list.by, members });
            fleet.meta.keys.remove(&number);
        }
        if let Some(key) = key {
            fleet.meta.keys.entry(number).or_insert(key);
        }
    }
    true
}
