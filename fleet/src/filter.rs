//! Which secrets travel, as all machines agree: all of them, or those whose names are like one of some patterns, and of these
//! not those whose names are like one of some others. Whether a pattern is said is a register of the fleet.
//!
//! The fleet's registers are the fields of a secret that has no value. So they are merged, and stand in snapshots, as those of
//! every secret do, and a machine that knows nothing of them passes them on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::change::Change;
use crate::fault::{self, Fault};
use crate::replica::Replica;
use crate::secret::Field;

/// Where the registers of the fleet are: no secret has this id.
pub const FLEET: Uuid = Uuid::nil();

/// What a pattern is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Names that are like it travel. If there is one of these, no others do.
    Include,
    /// Names that are like it do not travel, no matter what else is said of them.
    Exclude,
}

/// The patterns that all machines know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of names that travel.
    pub include: BTreeSet<String>,
    /// Those of names that do not.
    pub exclude: BTreeSet<String>,
}

impl List {
    const fn word(self) -> &'static str {
        match self {
            Self::Include => "include ",
            Self::Exclude => "exclude ",
        }
    }
}

impl Filter {
    /// Whether a name travels; `is_like` says whether it is like a pattern.
    pub fn lets(&self, is_like: impl Fn(&str) -> bool) -> bool {
        let is_in = |patterns: &BTreeSet<String>| patterns.iter().any(|pattern| is_like(pattern));
        let is_excluded = is_in(&self.exclude) && !fault::is(Fault::ExcludedTravels);
        !is_excluded && (self.include.is_empty() || is_in(&self.include))
    }
}

impl<V: Clone> Replica<V> {
    /// What all machines have agreed on, as far as it is known here.
    #[must_use]
    pub fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        let registers = self.secrets.get(&FLEET).into_iter().flat_map(|fleet| &fleet.fields);
        for (name, _) in registers.filter(|(_, register)| register.text.is_some()) {
            if let Some(pattern) = name.strip_prefix(List::Include.word()) {
                filter.include.insert(pattern.to_owned());
            } else if let Some(pattern) = name.strip_prefix(List::Exclude.word()) {
                filter.exclude.insert(pattern.to_owned());
            }
        }
        filter
    }

    /// The fleet's registers.
    #[must_use]
    pub fn registers(&self) -> BTreeMap<String, Field> {
        self.secrets.get(&FLEET).map(|fleet| fleet.fields.clone()).unwrap_or_default()
    }

    /// Whether a pattern was ever said, though it may have been taken back: its register stays.
    #[must_use]
    pub fn has_register(&self, list: List, pattern: &str) -> bool {
        let register = format!("{}{pattern}", list.word());
        self.secrets.get(&FLEET).is_some_and(|fleet| fleet.fields.contains_key(&register))
    }

    /// Takes the fleet's registers from another machine, before anything of it was read.
    pub fn learn(&mut self, registers: BTreeMap<String, Field>) {
        if registers.is_empty() {
            return;
        }
        let fleet = Arc::make_mut(self.secrets.entry(FLEET).or_default());
        registers.into_iter().for_each(|(name, register)| fleet.set_field(name, register));
        self.touched.insert(FLEET);
    }

    /// Says a pattern, or takes it back.
    #[must_use]
    pub fn list(&self, list: List, pattern: &str, is_said: bool, wall: u64) -> Change<V> {
        let register = format!("{}{pattern}", list.word());
        let text = is_said.then(|| "yes".to_owned());
        Change::Fields {
            id: FLEET,
            clock: self.clock(FLEET, wall),
            fields: BTreeMap::from([(register, text)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded_does_not_travel_and_beside_what_is_included_nothing_does() {
        let filter = |include: &[&str], exclude: &[&str]| {
            let set = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            Filter { include: set(include), exclude: set(exclude) }
        };
        let lets = |filter: &Filter, name: &str| filter.lets(|pattern| name.starts_with(pattern));
        assert!(lets(&filter(&[], &[]), "A"));
        assert!(lets(&filter(&["A"], &[]), "AB") && !lets(&filter(&["A"], &[]), "B"));
        assert!(!lets(&filter(&[], &["A"]), "AB") && lets(&filter(&[], &["A"]), "B"));
        assert!(!lets(&filter(&["A"], &["AB"]), "AB") && lets(&filter(&["A"], &["AB"]), "AC"));
    }
}
