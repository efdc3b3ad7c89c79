//! Lists of machines: who belongs to the fleet, who does not any more, and the fleet's keys for those who do.

use std::collections::BTreeMap;

use secrets_fleet::object::{self, Signed};
use secrets_fleet::{Kind, MachineId, ObjectName};
use secrets_proto::audit::AuditAction;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{FleetCrypt, Private};
use crate::vault::format::fleet::{Fleet, Member};
use crate::vault::{Error, FleetError};

use super::super::Batch;
use super::{Synced, writers};

/// What is in an object of kind `m`.
#[derive(Serialize, Deserialize)]
struct List {
    by: MachineId,
    members: Vec<Member>,
    /// The keys of epochs, each sealed to the machines that stay.
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

/// A key, sealed to every machine that was not removed.
fn sealed_to_all(fleet: &Fleet, epoch: u32, key: &Private) -> Result<BTreeMap<MachineId, String>, Error> {
    let staying = fleet.meta.members.iter().filter(|member| !member.removed);
    let seal =
        |member: &Member| Ok((member.id, key.wrap_to(&member.sealing, &place(fleet, epoch, member.id))?));
    staying.map(seal).collect()
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
        keys: BTreeMap<u32, BTreeMap<MachineId, String>>,
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
            let sealed = sealed_to_all(fleet, *next, key)?;
            self.announce_in(fleet, *epoch, BTreeMap::from([(*next, sealed)]))?;
        }
        self.announce(fleet)
    }

    /// Lets a machine in, and tells the others.
    pub(in crate::vault) fn add_machine(&mut self, caller: &Caller, member: Member) -> Result<Synced, Error> {
        let fleet = self.catalog.fleet.clone().ok_or(Error::Fleet(FleetError::None))?;
        let mut fleet = Fleet::clone(&fleet);
        fleet.meta.members.push(member);
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
        let fleet = self.catalog.fleet.clone().ok_or(Error::Fleet(FleetError::None))?;
        let mut fleet = Fleet::clone(&fleet);
        let is_it = |member: &&mut Member| member.id == machine && !member.removed;
        let member = fleet.meta.members.iter_mut().find(is_it).ok_or(Error::Fleet(FleetError::NoMachine))?;
        member.removed = true;
        let old = *fleet.meta.keys.last_key_value().ok_or(Error::Corrupt("the fleet has no key"))?.0;
        // Two that remove at the same time must not choose one number for two keys.
        let random: [u8; 2] = crypto::random()?;
        let epoch = ((old >> 16).saturating_add(1) << 16) | u32::from(u16::from_be_bytes(random));
        let key = Private::generate()?;
        let sealed = sealed_to_all(&fleet, epoch, &key)?;
        // Under the old key, which the others have.
        self.announce_in(&mut fleet, old, BTreeMap::from([(epoch, sealed)]))?;
        fleet.meta.keys.insert(epoch, key);
        self.announce(&mut fleet)?;
        let drop = self.answer(&mut fleet, listed, true)?;
        self.audit(caller, Event::done(AuditAction::Fleet, Vec::new()))?;
        self.keep(fleet)?;
        self.outbox(Synced { drop, ..Synced::default() })
    }

    /// Takes the lists that were read: machines that are new, machines that were removed, and keys for this one.
    pub(super) fn read_lists(
        &self,
        fleet: &mut Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<(), Error> {
        loop {
            let before = fleet.meta.read.len();
            for (name, bytes) in objects.iter().filter(|(name, _)| name.kind == Kind::Members) {
                if fleet.meta.read.contains(name) {
                    continue;
                }
                let list = {
                    let writers = writers(fleet);
                    let crypt = FleetCrypt {
                        keys: &fleet.meta.keys,
                        signing: &fleet.meta.signing,
                        writers: &writers,
                    };
                    object::open::<List>(&crypt, fleet.meta.fleet, name, bytes)
                };
                // It may be by a machine, or under a key, that another list brings.
                let Ok((list, _)) = list else { continue };
                fleet.meta.read.push(*name);
                take(fleet, list);
            }
            if fleet.meta.read.len() == before {
                return Ok(());
            }
        }
    }
}

fn take(fleet: &mut Fleet, list: List) {
    for member in list.members {
        match fleet.meta.members.iter_mut().find(|known| known.id == member.id) {
            // Who was removed stays so.
            Some(known) => known.removed |= member.removed,
            None => fleet.meta.members.push(member),
        }
    }
    let me = fleet.me();
    for (epoch, sealed) in list.keys {
        let place = place(fleet, epoch, me);
        let key = sealed.get(&me).and_then(|text| fleet.meta.sealing.unwrap(text, &place).ok());
        if let Some(key) = key {
            fleet.meta.keys.entry(epoch).or_insert(key);
        }
    }
}
