//! What a machine says of a secret: what is different between the secret as it is there and as the others know it. It is the
//! same for one that was offline, one where the secret went its own way, and one that was removed and has come back.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::change::Change;
use crate::clock::{next, second};
use crate::ids::Dot;
use crate::replica::Replica;
use crate::secret::Secret;

/// A secret as it is on a machine, and not destroyed there.
#[derive(Debug, Clone)]
pub struct Here<V> {
    /// The texts that it has, or has not. A field that is not named is not said.
    pub fields: BTreeMap<String, Option<String>>,
    /// When it was last changed, in milliseconds since 1970.
    pub edited: u64,
    /// The values that the others do not know, the oldest first, and when each was stored.
    pub new: Vec<(When, V)>,
    /// The earlier values that were destroyed one by one.
    pub destroyed: Vec<Dot>,
    /// Since when it is in the trash, if it is.
    pub trashed: Option<When>,
}

/// When something was done, by the machine's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// In milliseconds since 1970, to be ordered.
    pub wall: u64,
    /// In seconds since 1970, to be shown.
    pub at: i64,
}

impl<V: Clone> Replica<V> {
    /// What is different between a secret as it is here and as the others know it, as changes of one object or of several that
    /// follow on one another. `understood` says what this machine makes of the text of a field that it has read: what it does
    /// not know is not taken away.
    pub fn differences(
        &self,
        id: Uuid,
        here: Here<V>,
        understood: impl Fn(&str, Option<&str>) -> Option<String>,
    ) -> Vec<Change<V>> {
        let none = Secret::default();
        let known = self.seen_here(id).unwrap_or(&none);
        let Here { mut fields, edited, new, destroyed, trashed } = here;
        let edited = self.clock_here(id, edited);
        let covers = known.covers();
        let mut changes = Vec::new();
        fields.retain(|name, text| {
            known.fields.get(name).is_none_or(|field| understood(name, field.text.as_deref()) != *text)
        });
        if !fields.is_empty() {
            changes.push(Change::Fields { id, clock: edited, fields });
        }
        let was_visible = known.is_visible() || !new.is_empty();
        let mut last = None;
        for (When { wall, at }, value) in new {
            let clock = next(self.clock_here(id, wall), last);
            let at = Some(at).filter(|at| *at != second(clock));
            changes.push(Change::Value { id, clock, at, covers: covers.clone(), value });
            last = Some(clock);
        }
        if !destroyed.is_empty() {
            changes.push(Change::Drop { id, dots: destroyed });
        }
        match trashed {
            Some(When { wall, at }) if was_visible => {
                let clock = next(self.clock_here(id, wall), last);
                changes.push(Change::Trash { id, clock, at, covers, name_taken: false });
            }
            None if !was_visible => changes.push(Change::Restore { id, clock: next(edited, last), covers }),
            _ => {}
        }
        changes
    }

    /// That a secret was destroyed here, if the others have a value of it. `wall` is the time, in milliseconds since 1970.
    #[must_use]
    pub fn purge(&self, id: Uuid, wall: u64) -> Option<Change<V>> {
        let known = self.secrets.get(&id).filter(|secret| !secret.is_tombstone())?;
        Some(Change::Purge { id, clock: self.clock(id, wall), covers: known.covers() })
    }
}
