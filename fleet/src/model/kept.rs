//! Secrets that do not travel, tried: patterns that machines say and take back, and secrets that go their own way on one machine
//! and come back.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::change::Change;
use crate::filter::{FLEET, List};
use crate::ids::Dot;
use crate::replica::Entry;
use crate::said::{Here, When};
use crate::secret::{NAME, Secret};

use super::world::{Machine, Own, World};

impl World {
    /// Whether changes of this secret that this machine makes are not said.
    pub(super) fn is_kept(&self, who: usize, id: Uuid) -> bool {
        self.machines[who].own.contains_key(&id) || !self.may_travel(who, id)
    }

    /// Whether a secret travels by its name.
    pub(super) fn may_travel(&self, who: usize, id: Uuid) -> bool {
        let Machine { replica, own, .. } = &self.machines[who];
        let own = own.get(&id).and_then(|own| own.fields.get(NAME)?.as_deref());
        let name = own.or_else(|| replica.seen_here(id)?.field(NAME));
        self.travels(who, name.unwrap_or_default())
    }

    pub(super) fn travels(&self, who: usize, name: &str) -> bool {
        self.machines[who].replica.filter().lets(|pattern| pattern == name)
    }

    pub(super) fn list(&mut self, who: usize, list: List, name: &str, is_said: bool) -> Result<(), String> {
        let change = self.machines[who].replica.list(list, name, is_said, self.wall(who));
        self.write(who, vec![change])?;
        self.follow(who)
    }

    /// Says what travels again, and notes what does not any more.
    pub(super) fn follow(&mut self, who: usize) -> Result<(), String> {
        self.say_own(who, |own| !own.is_local)?;
        let secrets = &self.machines[who].replica.secrets;
        let all = secrets.iter().filter(|(id, secret)| **id != FLEET && !secret.is_tombstone());
        let excluded = all.map(|(id, _)| *id).filter(|id| !self.may_travel(who, *id));
        for id in excluded.collect::<Vec<_>>() {
            self.keep(who, id, false);
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, who: usize, id: Uuid, is_local: bool) {
        if self.reads_alone(who) {
            return;
        }
        let machine = &mut self.machines[who];
        let had = machine.again.as_ref().map(|(had, _)| had);
        let seen = had.unwrap_or(&machine.replica.known.applied).clone();
        machine.replica.keep(id, true);
        let (fields, values, beside) = Default::default();
        let own = Own { is_local, fields, values, seen: vec![seen], beside };
        machine.own.entry(id).or_insert(own).is_local |= is_local;
    }

    /// Stores a value that is not said.
    pub(super) fn set_own(&mut self, who: usize, id: Uuid) {
        self.keep(who, id, false);
        let value = format!("value {}", u64::from_be_bytes(self.draw()));
        self.machines[who].own.get_mut(&id).into_iter().for_each(|own| own.values.push(value.clone()));
    }

    /// Lets what goes its own way travel again, if it may.
    pub(super) fn share(&mut self, who: usize) -> Result<(), String> {
        self.machines[who].own.values_mut().for_each(|own| own.is_local = false);
        self.follow(who)
    }

    /// Says what was stored of secrets that went their own way, if they may travel.
    pub(super) fn say_own(&mut self, who: usize, travels: impl Fn(&Own) -> bool) -> Result<(), String> {
        // One that has come back says it when it has read all.
        if self.machines[who].again.is_some() {
            return Ok(());
        }
        let own: Vec<Uuid> = self.machines[who].own.keys().copied().collect();
        for id in own {
            if !self.may_travel(who, id) || !travels(&self.machines[who].own[&id]) {
                continue;
            }
            let replica = &self.machines[who].replica;
            let is_trashed = replica.seen_here(id).is_some_and(|secret| !secret.is_visible());
            let when = When { wall: self.wall(who), at: 0 };
            let Some(own) = self.machines[who].own.remove(&id) else { continue };
            let here = Here {
                fields: own.fields,
                edited: when.wall,
                new: own.values.into_iter().map(|value| (when, value)).collect(),
                destroyed: Vec::new(),
                trashed: is_trashed.then_some(when),
            };
            let replica = &self.machines[who].replica;
            let changes = replica.differences(id, here, |_, text| text.map(str::to_owned));
            if !changes.is_empty() {
                let knows = |dot: &Dot| {
                    own.seen.iter().all(|seen| seen.has(&dot.object)) && !own.beside.contains(dot)
                };
                self.write_knowing(who, changes, &knows)?;
            }
            self.machines[who].replica.kept.remove(&id);
        }
        Ok(())
    }

    /// What a machine says, against what it knows of the patterns: nobody is told of a secret that does not travel.
    pub(super) fn check_said(&self, who: usize, entry: &Entry<String>) -> Result<(), String> {
        let machine = &self.machines[who];
        let registers = machine.replica.secrets.get(&FLEET);
        let excluded: BTreeSet<String> = registers
            .into_iter()
            .flat_map(|fleet| &fleet.fields)
            .filter(|(_, register)| register.text.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let known = |id: &Uuid| machine.replica.seen_here(*id)?.field(NAME).map(str::to_owned);
        let mut named = BTreeMap::new();
        for change in &entry.changes {
            let id = match change {
                Change::Fields { id, .. } if *id == FLEET => continue,
                Change::Fields { id, fields, .. } => {
                    named.extend(fields.get(NAME).cloned().flatten().map(|name| (*id, name)));
                    id
                }
                Change::Value { id, .. } => id,
                Change::Trash { .. }
                | Change::Restore { .. }
                | Change::Purge { .. }
                | Change::Drop { .. }
                | Change::Want { .. } => continue,
            };
            let name = named.get(id).cloned().or_else(|| known(id));
            let is_excluded = name.is_some_and(|name| excluded.contains(&format!("exclude {name}")));
            if is_excluded || machine.own.contains_key(id) {
                return Err("a secret that does not travel was said".to_owned());
            }
        }
        Ok(())
    }
}

/// A secret's texts.
pub(super) fn texts(secret: &Secret<String>) -> BTreeMap<String, Option<String>> {
    secret.fields.iter().map(|(name, field)| (name.clone(), field.text.clone())).collect()
}

/// The values that are in a secret and not in another state of it, the oldest first.
pub(super) fn values_beyond(had: &Secret<String>, known: Option<&Secret<String>>) -> Vec<String> {
    let is_known = |dot: &Dot| {
        known.is_some_and(|known| known.live.contains_key(dot) || known.earlier.contains_key(dot))
    };
    let mut new: Vec<_> = had.earlier.iter().chain(&had.live).filter(|(dot, _)| !is_known(dot)).collect();
    new.sort_by_key(|(dot, value)| (value.clock, **dot));
    new.into_iter().map(|(_, value)| value.value.clone()).collect()
}
