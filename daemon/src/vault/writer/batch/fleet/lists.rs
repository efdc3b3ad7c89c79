//! Lists of machines: who belongs to the fleet, who does not any more, and the fleet's keys for those who do.

use std::collections::{BTreeMap, BTreeSet};

use secrets_fleet::object::{self, Signed};
use secrets_fleet::{Kind, MachineId, ObjectName};
use secrets_proto::audit::AuditAction;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{FleetCrypt, Private};
use crate::vault::format::fleet::{Fleet, Member, Members};
use crate::vault::{Error, FleetError};

use super::super::Batch;
use super::Synced;

/// What is in an object of kind `m`.
#[derive(Serialize, Deserialize)]
struct List {
    by: MachineId,
    members: Members,
    /// The keys of epochs.
    keys: BTreeMap<u32, Wrapped>,
}

/// The key of an epoch.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    /// The machines that had been removed when it was made.
    without: BTreeSet<MachineId>,
    /// The key, sealed to each machine that stays.
    sealed: BTreeMap<MachineId, String>,
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

/// A key, sealed to every machine that was not removed.
fn wrapped(fleet: &Fleet, epoch: u32, key: &Private) -> Result<Wrapped, Error> {
    let staying = fleet.meta.members.present(fleet.me());
    let seal = |member: &Member| {
        Ok((member.id, key.wrap_to(&member.keys.sealing, &place(fleet, epoch, member.id))?))
    };
    let sealed = staying.map(seal).collect::<Result<_, Error>>()?;
    Ok(Wrapped { without: fleet.meta.without.get(&epoch).cloned().unwrap_or_default(), sealed })
}

impl Batch<'_> {
    /// Writes the list of machines as this one knows it.
    pub(super) fn announce(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let epoch = *fleet.meta.keys.last_key_value().ok_or(Error::Corrupt("the fleet has no key"))?.0;
        self.announce_in(fleet, epoch, BTreeMap::new())
    }

    fn announce_in(
        &mut self,
        fleet: &mut Fleet,
        epoch: u32,
        keys: BTreeMap<u32, Wrapped>,
    ) -> Result<(), Error> {
        let list = List { by: fleet.me(), members: fleet.meta.members.clone(), keys };
        fleet.meta.lists = fleet.meta.lists.saturating_add(1);
        let sealed = self.seal_object_in(fleet, epoch, Kind::Members, fleet.meta.lists, &list)?;
        fleet.meta.read.push(sealed.name);
        self.put_object(fleet, &sealed)
    }

    /// Writes the list again if the exchange has lost all lists: under each key, with the next one, so that a machine that
    /// has not read the last of them can follow.
    pub(super) fn announce_again(&mut self, fleet: &mut Fleet, listed: &[ObjectName]) -> Result<(), Error> {
        if listed.iter().chain(&fleet.meta.outbox).any(|name| fleet.meta.read.contains(name)) {
            return Ok(());
        }
        let epochs: Vec<(u32, Private)> =
            fleet.meta.keys.iter().map(|(epoch, key)| (*epoch, key.clone())).collect();
        for ((epoch, _), (next, key)) in epochs.iter().zip(epochs.iter().skip(1)) {
            let next_key = wrapped(fleet, *next, key)?;
            self.announce_in(fleet, *epoch, BTreeMap::from([(*next, next_key)]))?;
        }
        self.announce(fleet)
    }

    /// Begins an epoch: the machines that stay get a new key. It is said under each key that one of them may have as its
    /// last.
    fn begin_epoch(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let old = *fleet.meta.keys.last_key_value().ok_or(Error::Corrupt("the fleet has no key"))?.0;
        // Two that begin one at the same time must not choose one number for two keys.
        let random: [u8; 2] = crypto::random()?;
        let counter = (old >> 16).checked_add(1).filter(|counter| *counter <= 0xFFFF);
        let counter = counter.ok_or(Error::Internal("the fleet has no number for another key"))?;
        let epoch = (counter << 16) | u32::from(u16::from_be_bytes(random));
        let key = Private::generate()?;
        fleet.meta.without.insert(epoch, fleet.meta.members.removed(fleet.me()));
        for known in fleet.meta.keys.keys().copied().collect::<Vec<_>>() {
            let new = wrapped(fleet, epoch, &key)?;
            self.announce_in(fleet, known, BTreeMap::from([(epoch, new)]))?;
        }
        fleet.meta.keys.insert(epoch, key);
        self.announce(fleet)
    }

    /// Begins an epoch if the last one's key is known to a machine that was removed: two removals at the same time leave each
    /// of the removed ones with the key that the other's removal brought.
    pub(super) fn shut_out(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let removed = fleet.meta.members.removed(fleet.me());
        let last = fleet.meta.keys.last_key_value().map(|(epoch, _)| *epoch);
        let without = last.and_then(|epoch| fleet.meta.without.get(&epoch));
        if without.map_or(removed.is_empty(), |without| without.is_superset(&removed)) {
            return Ok(());
        }
        self.begin_epoch(fleet)
    }

    /// Lets a machine in, and tells the others.
    pub(in crate::vault) fn add_machine(&mut self, caller: &Caller, member: Member) -> Result<Synced, Error> {
        self.change_list(caller, |fleet| {
            if fleet.meta.members.get(member.id).is_some() {
                return Err(Error::Fleet(FleetError::NameTaken));
            }
            free_name(fleet, &member.name, member.id)?;
            // Who lets a machine in here has decided, for that machine at least, if this one is in question.
            fleet.meta.members.keep(fleet.me());
            fleet.meta.members.add(member);
            Ok(())
        })
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
        self.audit(caller, Event::done(AuditAction::Fleet, Vec::new()))?;
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
            let is_present = fleet.meta.members.present(me).any(|member| member.id == machine);
            if !is_present {
                return Err(Error::Fleet(FleetError::NoMachine));
            }
            fleet.meta.members.remove(me, machine);
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
        self.audit(caller, Event::done(AuditAction::Fleet, Vec::new()))?;
        self.keep(fleet)?;
        self.outbox(Synced { drop, ..Synced::default() })
    }

    /// The fleet, for a machine that may change its list.
    fn fleet_to_change(&self) -> Result<Fleet, Error> {
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
            let before = (fleet.meta.read.len(), fleet.meta.members.clone());
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
                let Ok((list, _)) = list else { continue };
                if take(fleet, list) {
                    fleet.meta.read.push(*name);
                }
            }
            if (fleet.meta.read.len(), &fleet.meta.members) == (before.0, &before.1) {
                return Ok(());
            }
        }
    }
}

fn free_name(fleet: &Fleet, name: &str, of: MachineId) -> Result<(), Error> {
    if fleet.meta.members.present(fleet.me()).any(|known| known.name == name && known.id != of) {
        return Err(Error::Fleet(FleetError::NameTaken));
    }
    Ok(())
}

/// Whether it was taken as a whole.
fn take(fleet: &mut Fleet, list: List) -> bool {
    let me = fleet.me();
    if !fleet.meta.members.merge(me, list.by, list.members) {
        return false;
    }
    for (epoch, Wrapped { without, sealed }) in list.keys {
        let place = place(fleet, epoch, me);
        let key = sealed.get(&me).and_then(|text| fleet.meta.sealing.unwrap(text, &place).ok());
        if let Some(key) = key.filter(|_| !fleet.meta.keys.contains_key(&epoch)) {
            fleet.meta.keys.insert(epoch, key);
            fleet.meta.without.insert(epoch, without);
        }
    }
    true
}
