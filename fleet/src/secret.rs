//! One secret as all machines see it: fields, of which the newest counts, and values, of which all count that nobody has
//! replaced. Whatever order changes come in, as long as no change comes before what its author knew, the result is the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::clock::{Stamp, second};
use crate::fault::{self, Fault};
use crate::ids::{Dot, MachineId};

/// How many replaced values are kept. This tail alone may differ between machines.
pub const EARLIER_KEPT: usize = 10;

/// The field that stays when a secret is purged, so that a value which nobody had seen still has a name.
pub const NAME: &str = "name";

/// The field that says, by any text, that a person decides who may have or change the secret. It stays when the secret is
/// purged, too: a value which nobody had seen is guarded as the secret was.
pub const GUARDED: &str = "guarded";

/// The fields that a purge takes away, also one that comes only after it from a machine which had not heard of it.
const BLANK: [&str; 3] = ["provider", "note", "expires_at"];

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Deserialize<'de>"))]
pub struct Secret<V> {
    /// Name, provider, note, expiry: whatever is a text of its own.
    pub fields: BTreeMap<String, Field>,
    /// The values that nobody has replaced: one, none after a purge, or several, and that is a conflict.
    pub live: BTreeMap<Dot, Value<V>>,
    /// Replaced values, as far as they are kept.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<Dot, Value<V>>,
    /// The purges.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub purges: BTreeSet<Dot>,
    /// Values that were destroyed one by one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dropped: BTreeSet<Dot>,
}

/// One field: the text with the greatest stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The text, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it got it.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value<V> {
    /// When it was stored, to be ordered.
    pub clock: u64,
    /// When it was stored, to be shown: seconds since 1970.
    pub at: i64,
    /// On which machine.
    pub by: MachineId,
    /// What stands for it.
    pub value: V,
    /// The newest word on whether it is in the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// That a value, and so its secret, was moved to the trash, or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When, to be ordered.
    pub stamp: Stamp,
    /// When, to be shown; none if it was taken out.
    pub trashed: Option<i64>,
    /// Its name was another secret's, too.
    #[serde(default)]
    pub name_taken: bool,
}

impl<V> Default for Secret<V> {
    fn default() -> Self {
        Self {
            fields: BTreeMap::new(),
            live: BTreeMap::new(),
            earlier: BTreeMap::new(),
            purges: BTreeSet::new(),
            dropped: BTreeSet::new(),
        }
    }
}

impl<V> Value<V> {
    /// Whether it is in the trash.
    #[must_use]
    pub fn is_trashed(&self) -> bool {
        self.mark.is_some_and(|mark| mark.trashed.is_some())
    }

    fn set_mark(&mut self, mark: Mark) {
        if self.mark.is_none_or(|old| old.stamp < mark.stamp) {
            self.mark = Some(mark);
        }
    }
}

impl<V> Secret<V> {
    /// A field's text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.text.as_deref()
    }

    /// The value in use: the newest of those that are not in the trash, or of all, if all are. None after a purge.
    #[must_use]
    pub fn current(&self) -> Option<(Dot, &Value<V>)> {
        let newest = |(dot, value): &(&Dot, &Value<V>)| (!value.is_trashed(), value.clock, **dot);
        self.live.iter().max_by_key(newest).map(|(dot, value)| (*dot, value))
    }

    /// Whether nothing is left of it but its name: it was purged.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a person decides who may have or change it: also as long as nothing is known of that.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.fields.get(GUARDED).is_none_or(|field| field.text.is_some())
    }

    /// Whether it is neither in the trash nor purged. A value that the deletion did not cover brings a secret back.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.live.values().any(|value| !value.is_trashed())
    }

    /// The values beside the current one that nobody has replaced, newest first.
    #[must_use]
    pub fn conflicts(&self) -> Vec<(Dot, &Value<V>)> {
        let current = self.current().map(|(dot, _)| dot);
        let mut others: Vec<_> = self.live.iter().map(|(dot, value)| (*dot, value)).collect();
        others.retain(|(dot, value)| Some(*dot) != current && !value.is_trashed());
        others.sort_by_key(|(dot, value)| std::cmp::Reverse((value.clock, *dot)));
        others
    }

    /// The newest time that is known for it.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        if fault::is(Fault::WallClock) {
            return None;
        }
        let values = self.live.values().chain(self.earlier.values());
        let values = values.flat_map(|value| [Some(value.clock), value.mark.map(|mark| mark.stamp.clock)]);
        let fields = self.fields.values().map(|field| Some(field.stamp.clock));
        values.chain(fields).flatten().max()
    }

    /// What a change covers that is made now: all values that nobody has replaced.
    #[must_use]
    pub fn covers(&self) -> Vec<Dot> {
        self.live.keys().copied().collect()
    }

    /// Applies a change of this secret. What its author knew must be in it already.
    pub fn apply(&mut self, dot: Dot, by: MachineId, change: Change<V>) {
        let is_covered = |covers: &[Dot], old: &Dot| old.object == dot.object || covers.contains(old);
        match change {
            Change::Value { clock, at, covers, value, .. } => {
                let all = fault::is(Fault::ValueCoversAll);
                let replaced = self.live.extract_if(.., |old, _| all || is_covered(&covers, old));
                self.earlier.extend(replaced);
                let at = at.unwrap_or_else(|| second(clock));
                self.live.insert(dot, Value { clock, at, by, value, mark: None });
                self.trim();
            }
            Change::Fields { clock, fields, .. } => {
                for (name, text) in fields {
                    self.set_field(name, Field { text, stamp: Stamp { clock, dot } });
                }
            }
            Change::Trash { clock, at, covers, name_taken, .. } => {
                let mark = Mark { stamp: Stamp { clock, dot }, trashed: Some(at), name_taken };
                let all = fault::is(Fault::TrashCoversAll);
                let covered = self.live.iter_mut().filter(|(old, _)| all || is_covered(&covers, old));
                covered.for_each(|(_, value)| value.set_mark(mark));
            }
            Change::Restore { clock, covers, .. } => {
                let mark = Mark { stamp: Stamp { clock, dot }, trashed: None, name_taken: false };
                let covered = self.live.iter_mut().filter(|(old, _)| is_covered(&covers, old));
                covered.for_each(|(_, value)| value.set_mark(mark));
            }
            Change::Purge { clock, covers, .. } => {
                self.live.retain(|old, _| !is_covered(&covers, old));
                // All of them: what its author had seen and not kept any more may be kept here. A replaced value that it
                // had not seen goes with them.
                if !fault::is(Fault::PurgeKeepsEarlier) {
                    self.earlier.clear();
                }
                self.purges.insert(dot);
                let others = self.fields.keys().filter(|name| *name != NAME && *name != GUARDED);
                let known = BLANK.iter().map(|name| (*name).to_owned());
                let blank: BTreeSet<_> = others.cloned().chain(known).collect();
                // One without a time is said again, beside the fields as they are.
                for name in blank.into_iter().filter(|_| clock > 0) {
                    self.set_field(name, Field { text: None, stamp: Stamp { clock, dot } });
                }
            }
            Change::Drop { dots, .. } => {
                self.earlier.retain(|old, _| !dots.contains(old));
                self.dropped.extend(dots);
            }
            Change::Want { .. } => {}
        }
    }

    /// A field's text, if its stamp is the greatest.
    pub(crate) fn set_field(&mut self, name: String, new: Field) {
        let is_older = |old: &Field| old.stamp < new.stamp || fault::is(Fault::LastFieldWins);
        if self.fields.get(&name).is_none_or(is_older) {
            self.fields.insert(name, new);
        }
    }

    /// Merges two words on whether a value is in the trash.
    pub(crate) fn set_mark(&mut self, dot: &Dot, mark: Option<Mark>) {
        if let (Some(value), Some(mark)) = (self.live.get_mut(dot), mark) {
            value.set_mark(mark);
        }
    }

    /// Keeps the newest of the replaced values. One may have been destroyed by a machine whose own value comes in its place only
    /// now, as it did not travel before.
    pub(crate) fn trim(&mut self) {
        self.earlier.retain(|dot, _| !self.dropped.contains(dot));
        while self.earlier.len() > EARLIER_KEPT {
            let oldest = self.earlier.iter().min_by_key(|(dot, value)| (value.clock, **dot));
            let Some(oldest) = oldest.map(|(dot, _)| *dot) else { return };
            self.earlier.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ObjectId, ShortHash, Writer};

    fn dot(writer: u8) -> Dot {
        let object = ObjectId { writer: Writer([writer; 8]), number: 1, hash: ShortHash([writer; 16]) };
        Dot { object, index: 0 }
    }

    #[test]
    fn a_secret_is_guarded_until_it_is_known_not_to_be_and_after_a_purge() {
        let (id, by) = (Uuid::nil(), MachineId([1; 8]));
        let mut secret = Secret::<String>::default();
        let value = |clock, value: &str| Change::Value {
            id,
            clock,
            at: None,
            covers: vec![],
            value: value.to_owned(),
        };
        secret.apply(dot(1), by, value(1, "first"));
        assert!(secret.is_guarded(), "nothing is known of its guard");
        let guard = |text: Option<&str>| BTreeMap::from([(GUARDED.to_owned(), text.map(str::to_owned))]);
        secret.apply(dot(2), by, Change::Fields { id, clock: 2, fields: guard(None) });
        assert!(!secret.is_guarded());
        secret.apply(
            dot(3),
            by,
            Change::Fields { id, clock: 3, fields: guard(Some("a text of later times")) },
        );
        assert!(secret.is_guarded());
        secret.apply(dot(4), by, Change::Purge { id, clock: 4, covers: secret.covers() });
        secret.apply(dot(5), by, value(3, "nobody had seen it"));
        assert!(secret.is_visible() && secret.is_guarded());
    }
}
