//! Secrets that do not travel, tried: patterns that machines say and take back, and secrets that go their own way on one machine
//! and come back.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::change::Change;
use crate::filter::{FLEET, List};
use crate::replica::Entry;
use crate::said::{Here, When};
use crate::secret::NAME;

use super::world::{Own, World};

impl World {
    /// Whether changes of this secret that this machine makes are not said.
    pub(super) fn is_kept(&self, who: usize, id: Uuid) -> bool {
        let replica = &self.machines[who].replica;
        let name = replica.secrets.get(&id).and_then(|secret| secret.field(NAME)).unwrap_or_default();
        replica.kept.contains_key(&id) || !self.travels(who, name)
    }

    pub(super) fn travels(&self, who: usize, name: &str) -> bool {
        self.machines[who].replica.filter().lets(|pattern| pattern == name)
    }

    pub(super) fn list(&mut self, who: usize, list: List, name: &str, is_said: bool) -> Result<(), String> {
        let change = self.machines[who].replica.list(list, name, is_said, self.wall(who));
        self.write(who, vec![change])
    }

    pub(super) fn keep(&mut self, who: usize, id: Uuid) {
        let machine = &mut self.machines[who];
        let seen = machine.replica.known.applied.clone();
        machine.replica.keep(id, true);
        machine.own.entry(id).or_insert_with(|| Own { values: Vec::new(), seen });
    }

    /// Stores a value that is not said.
    pub(super) fn set_own(&mut self, who: usize, id: Uuid) {
        self.keep(who, id);
        let value = format!("value {}", u64::from_be_bytes(self.draw()));
        self.machines[who].own.get_mut(&id).into_iter().for_each(|own| own.values.push(value.clone()));
    }

    /// Lets what goes its own way travel again, if it may.
    pub(super) fn share(&mut self, who: usize) -> Result<(), String> {
        let own: Vec<Uuid> = self.machines[who].own.keys().copied().collect();
        for id in own {
            let replica = &self.machines[who].replica;
            let name = replica.secrets.get(&id).and_then(|secret| secret.field(NAME)).unwrap_or_default();
            if !self.travels(who, name) {
                continue;
            }
            let is_trashed = replica.seen_here(id).is_some_and(|secret| !secret.is_visible());
            let when = When { wall: self.wall(who), at: 0 };
            let Some(Own { values, seen }) = self.machines[who].own.remove(&id) else { continue };
            let here = Here {
                fields: BTreeMap::new(),
                edited: when.wall,
                new: values.into_iter().map(|value| (when, value)).collect(),
                destroyed: Vec::new(),
                trashed: is_trashed.then_some(when),
            };
            let replica = &self.machines[who].replica;
            let changes = replica.differences(id, here, |_, text| text.map(str::to_owned));
            if !changes.is_empty() {
                self.write_knowing(who, changes, &|dot| seen.has(&dot.object))?;
            }
            self.machines[who].replica.kept.remove(&id);
        }
        Ok(())
    }

    /// What a machine says, against what it knows of the patterns: nobody is told the name of a secret that does not travel.
    pub(super) fn check_said(&self, who: usize, entry: &Entry<String>) -> Result<(), String> {
        let registers = self.machines[who].replica.secrets.get(&FLEET);
        let excluded: BTreeSet<String> = registers
            .into_iter()
            .flat_map(|fleet| &fleet.fields)
            .filter(|(_, register)| register.text.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for change in &entry.changes {
            let Change::Fields { fields, .. } = change else { continue };
            if let Some(Some(name)) = fields.get(NAME)
                && excluded.contains(&format!("exclude {name}"))
            {
                return Err("a secret that does not travel was said".to_owned());
            }
        }
        Ok(())
    }
}
