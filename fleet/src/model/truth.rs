//! What really happened, written down by somebody who sees everything, and what must follow from it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::change::Change;
use crate::ids::{Dot, ObjectId};
use crate::replica::{Entry, Replica};
use crate::secret::NAME;

/// One change, with all changes of the same secret that its author knew.
struct Fact {
    change: Change<String>,
    past: BTreeSet<Dot>,
}

/// All changes that were ever made.
#[derive(Default)]
pub(super) struct Truth(BTreeMap<Dot, Fact>);

impl Truth {
    /// Notes what a machine is about to write, that knows these changes.
    pub(super) fn note(&mut self, knows: &dyn Fn(&Dot) -> bool, object: ObjectId, entry: &Entry<String>) {
        for (index, change) in (0..).zip(entry.changes.iter().cloned()) {
            let Some(id) = change.secret() else { continue };
            let knows = |dot: &Dot| knows(dot) || dot.object == object;
            let is_past = |(dot, fact): &(&Dot, &Fact)| fact.change.secret() == Some(id) && knows(dot);
            let past = self.0.iter().filter(is_past).map(|(dot, _)| *dot).collect();
            self.0.insert(Dot { object, index }, Fact { change, past });
        }
    }

    /// What must be true of a machine at any time.
    pub(super) fn check_always(&self, replica: &Replica<String>, reads_alone: bool) -> Result<(), String> {
        let mut names = BTreeSet::new();
        // Who reads alone cannot say which of two keeps a name, and shows no more than it knows the others will.
        let losers = replica.name_conflicts(0, 0);
        let losers: BTreeSet<_> = losers.iter().filter(|_| reads_alone).filter_map(Change::secret).collect();
        let visible =
            replica.secrets.iter().filter(|(id, secret)| secret.is_visible() && !losers.contains(id));
        for (_, secret) in visible {
            let name = secret.field(NAME).ok_or("a visible secret has no name")?;
            if !names.insert(name) {
                return Err("a name is there twice".to_owned());
            }
        }
        for (_, fact) in self.0.iter().filter(|(dot, _)| replica.known.applied.has(&dot.object)) {
            // Destroyed one by one are values that were replaced. Where what has replaced one does not travel yet, it is in use.
            let (gone, is_purge): (BTreeSet<Dot>, _) = match &fact.change {
                Change::Purge { .. } => (fact.past.clone(), true),
                Change::Drop { dots, .. } => (dots.iter().copied().collect(), false),
                Change::Value { .. }
                | Change::Fields { .. }
                | Change::Trash { .. }
                | Change::Restore { .. }
                | Change::Want { .. } => continue,
            };
            let secret = fact.change.secret().and_then(|id| replica.secrets.get(&id));
            let is_back = |dot: &Dot| {
                secret.is_some_and(|secret| {
                    is_purge && secret.live.contains_key(dot) || secret.earlier.contains_key(dot)
                })
            };
            if let Some(dot) = gone.iter().find(|dot| is_back(dot)) {
                return Err(format!(
                    "a value that was destroyed is back: {dot} after {:?}, {secret:?}",
                    fact.change
                ));
            }
        }
        Ok(())
    }

    /// What must be true of a machine that has read everything.
    pub(super) fn check_end(&self, replica: &Replica<String>) -> Result<(), String> {
        let facts: Vec<_> = self.0.iter().filter(|(dot, _)| replica.known.applied.has(&dot.object)).collect();
        let replaces = |fact: &Fact| matches!(fact.change, Change::Value { .. } | Change::Purge { .. });
        let mut expected: BTreeMap<Uuid, BTreeMap<Dot, &String>> = BTreeMap::new();
        for (dot, fact) in &facts {
            if let Change::Value { id, value, .. } = &fact.change {
                expected.entry(*id).or_default().insert(**dot, value);
            }
        }
        for (_, fact) in facts.iter().filter(|(_, fact)| replaces(fact)) {
            if let Some(values) = fact.change.secret().and_then(|id| expected.get_mut(&id)) {
                values.retain(|dot, _| !fact.past.contains(dot));
            }
        }
        for (id, secret) in &replica.secrets {
            let found: BTreeMap<Dot, &String> =
                secret.live.iter().map(|(dot, value)| (*dot, &value.value)).collect();
            let expected = expected.remove(id).unwrap_or_default();
            if found != expected {
                return Err(format!("values: {found:?} instead of {expected:?}"));
            }
            for (dot, _) in secret.live.iter().filter(|(_, value)| value.is_trashed()) {
                let trashes =
                    |fact: &&Fact| matches!(fact.change, Change::Trash { .. }) && fact.past.contains(dot);
                if !facts.iter().any(|(_, fact)| trashes(fact)) {
                    return Err("a value is in the trash that nobody put there".to_owned());
                }
            }
            for (name, field) in &secret.fields {
                let sets = |fact: &Fact| matches!(&fact.change, Change::Fields { id: other, fields, .. } if other == id && fields.contains_key(name));
                let dot = field.stamp.dot;
                let later = facts.iter().find(|(_, later)| sets(later) && later.past.contains(&dot));
                if let Some((later, fact)) = later {
                    return Err(format!(
                        "a field has an old text, which somebody had seen and replaced: {name} of {dot} at {}, later {later}: {:?}; {secret:?}",
                        field.stamp.clock, fact.change
                    ));
                }
            }
        }
        if expected.values().any(|values| !values.is_empty()) {
            return Err("a secret is lost".to_owned());
        }
        Ok(())
    }
}
