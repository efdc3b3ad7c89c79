//! A machine that was removed and let in again. What it has read before is not new to it, and what it has done since is new to
//! the others: it goes on as one that was merely away, under a name that is not removed.
//!
//! What it wrote after its removal nobody takes. So of its own state that is taken out again, and said once more; and what the
//! others have is merged as two states are (see [`join`](crate::join)).

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::fault::{self, Fault};
use crate::filter::FLEET;
use crate::ids::Dot;
use crate::join::{Seen, join};
use crate::replica::Replica;
use crate::secret::{Field, Mark, Secret, Value};

/// What the others have, for as long as a machine that has come back says what it did meanwhile.
#[derive(Debug, Clone)]
pub struct Theirs<V> {
    /// What is in it.
    applied: Applied,
    /// The secrets.
    pub secrets: BTreeMap<Uuid, Arc<Secret<V>>>,
    /// What was said of the fleet's registers when nobody listened, as far as the others have not said otherwise since: to be said
    /// first, as it decides which secrets travel.
    pub registers: Vec<Change<V>>,
    /// Values that were destroyed one by one when nobody listened: to be said last, as [`Drop`](crate::Change::Drop).
    pub dropped: BTreeMap<Uuid, Vec<Dot>>,
    /// Values of both sides beside which there is one that is to be said again: that does not come in their place.
    beside: BTreeMap<Uuid, BTreeMap<Dot, Value<V>>>,
}

impl<V: Clone + PartialEq> Replica<V> {
    /// Goes back to the secrets that this machine had under its earlier name, without what the others have never taken of it.
    /// `had` is all that it had read by then. This replica must have read all that the others have.
    ///
    /// What is said next is said by a machine that knows no more than `had`; then [`merge_theirs`](Self::merge_theirs) is due.
    pub fn go_back(&mut self, mut old: BTreeMap<Uuid, Arc<Secret<V>>>, had: &Applied) -> Theirs<V> {
        let secrets = std::mem::take(&mut self.secrets);
        let mut theirs = Theirs {
            applied: self.known.applied.clone(),
            secrets,
            registers: Vec::new(),
            dropped: BTreeMap::new(),
            beside: BTreeMap::new(),
        };
        if fault::is(Fault::ForgetsAtReturn) {
            return theirs;
        }
        // What the others have agreed on holds for what is said now, also where this machine had not read it.
        if let Some(fleet) = theirs.secrets.get(&FLEET) {
            self.secrets.insert(FLEET, Arc::clone(fleet));
        }
        theirs.registers =
            old.remove(&FLEET).map(|old| self.unsaid(&old, &theirs.applied)).unwrap_or_default();
        for (id, secret) in old {
            let mut secret = Arc::unwrap_or_clone(secret);
            let none = Arc::default();
            let other = theirs.secrets.get(&id).unwrap_or(&none);
            let is_new = |dot: &Dot| !other.dropped.contains(dot);
            let dropped = secret.dropped.extract_if(.., is_new).filter(|dot| theirs.applied.has(&dot.object));
            let dropped: Vec<_> = dropped.collect();
            if !dropped.is_empty() {
                theirs.dropped.insert(id, dropped);
            }
            let (taken_back, beside) = take_back(secret, other, &Seen { ours: had, theirs: &theirs.applied });
            if !beside.is_empty() {
                theirs.beside.insert(id, beside);
            }
            self.secrets.insert(id, Arc::new(taken_back));
        }
        for (id, seen) in &mut self.kept {
            let none = Arc::default();
            forget_untaken(Arc::make_mut(seen), theirs.secrets.get(id).unwrap_or(&none), &theirs.applied);
        }
        theirs
    }

    /// The registers as they were here that nobody has taken, and that are newer than those of the others.
    fn unsaid(&self, old: &Secret<V>, taken: &Applied) -> Vec<Change<V>> {
        let known = self.registers();
        let is_unsaid = |(name, register): &(&String, &Field)| {
            let is_newer = known.get(*name).is_none_or(|known| known.stamp < register.stamp);
            is_newer && !taken.has(&register.stamp.dot.object)
        };
        let say = |(name, register): (&String, &Field)| Change::Fields {
            id: FLEET,
            // Its own time, and after one of the others of that same millisecond, as it was before.
            clock: register.stamp.clock.saturating_add(1),
            fields: BTreeMap::from([(name.clone(), register.text.clone())]),
        };
        old.fields.iter().filter(is_unsaid).map(say).collect()
    }

    /// Merges what the others have, once everything is said that `had` did not bring.
    pub fn merge_theirs(&mut self, theirs: Theirs<V>, had: &Applied) {
        let Theirs { applied, mut secrets, beside, .. } = theirs;
        for (id, values) in beside {
            Arc::make_mut(self.secrets.entry(id).or_default()).live.extend(values);
        }
        let seen = Seen { ours: had, theirs: &applied };
        for id in secrets.keys() {
            self.secrets.entry(*id).or_default();
        }
        for (id, secret) in &mut self.secrets {
            let theirs = secrets.remove(id).map(Arc::unwrap_or_clone).unwrap_or_default();
            join(Arc::make_mut(secret), theirs, &seen);
            self.touched.insert(*id);
        }
        // What was made and purged while nobody listened.
        self.secrets.retain(|_, secret| **secret != Secret::default());
    }
}

/// A secret without what the others have never taken, and the values that stay beside what is to be said again.
fn take_back<V: Clone>(
    mut secret: Secret<V>,
    other: &Secret<V>,
    seen: &Seen<'_>,
) -> (Secret<V>, BTreeMap<Dot, Value<V>>) {
    let was_taken = |dot: &Dot| seen.theirs.has(&dot.object);
    let was_read = |dot: &Dot| seen.ours.has(&dot.object);
    let (live, lone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut secret.live).into_iter().partition(|(dot, _)| was_taken(dot));
    let (mut live, mut beside) =
        if lone.is_empty() { (live, BTreeMap::new()) } else { (BTreeMap::new(), live) };
    // What has taken the place of these, or has destroyed them, is to be said again.
    let replaced = other.live.iter().filter(|(dot, _)| was_read(dot) && !beside.contains_key(dot));
    for (dot, value) in replaced {
        let held = secret.earlier.remove(dot);
        live.entry(*dot).or_insert_with(|| held.unwrap_or_else(|| value.clone()));
    }
    for (dot, value) in live.iter_mut().chain(&mut beside) {
        let is_known = |mark: &Mark| was_taken(&mark.stamp.dot);
        let theirs = other.live.get(dot).and_then(|value| value.mark);
        let theirs = theirs.filter(|mark| was_read(&mark.stamp.dot));
        value.mark = value.mark.filter(is_known).or(theirs);
    }
    secret.live = live;
    secret.earlier.retain(|dot, _| was_taken(dot));
    secret.purges.retain(was_taken);
    secret.fields.retain(|name, field| was_taken(&field.stamp.dot) || other.fields.contains_key(name));
    for field in secret.fields.values_mut().filter(|field| !was_taken(&field.stamp.dot)) {
        // Older than whatever is said of it; a purge must know of it.
        (field.text, field.stamp.clock) = (None, 0);
    }
    for (name, field) in other.fields.iter().filter(|(_, field)| was_read(&field.stamp.dot)) {
        secret.set_field(name.clone(), field.clone());
    }
    (secret, beside)
}

/// What a machine had seen of a secret when it began to go its own way there, without what the others have never taken of it:
/// that is to be said when the secret travels again, in the place of what it had replaced.
fn forget_untaken<V>(seen: &mut Secret<V>, other: &Secret<V>, taken: &Applied) {
    let was_taken = |dot: &Dot| taken.has(&dot.object);
    let before = seen.live.len();
    seen.live.retain(|dot, _| was_taken(dot));
    if seen.live.len() < before {
        // Theirs would have gone, too, if one of theirs had replaced it.
        seen.live.extend(seen.earlier.extract_if(.., |dot, _| other.live.contains_key(dot)));
    }
    seen.earlier.retain(|dot, _| was_taken(dot));
    for value in seen.live.values_mut() {
        value.mark = value.mark.filter(|mark| was_taken(&mark.stamp.dot));
    }
    seen.purges.retain(was_taken);
    seen.fields.retain(|_, field| was_taken(&field.stamp.dot));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Filter, List};
    use crate::ids::{Hash, MachineId, ObjectId, ShortHash, Writer};
    use crate::said::{Here, When};

    /// Says it in the next object of a machine's log.
    fn say(replica: &mut Replica<String>, changes: Vec<Change<String>>) {
        let (number, entry) = replica.draft(changes).unwrap();
        let writer = replica.known.writer;
        let object = ObjectId { writer, number, hash: ShortHash([writer.0[0]; 16]) };
        replica.adopt(object, Hash([1; 32]), entry);
    }

    #[test]
    fn what_travels_is_as_all_have_agreed_and_as_this_machine_said_when_nobody_listened() {
        let mut one = Replica::new(MachineId([1; 8]), Writer([1; 8]));
        for (pattern, is_said, wall) in [("A", true, 10), ("B", true, 20), ("C", true, 30), ("C", false, 40)]
        {
            let change = one.list(List::Exclude, pattern, is_said, wall);
            say(&mut one, vec![change]);
        }
        // The others have never heard of that.
        let mut back = Replica::new(MachineId([2; 8]), Writer([2; 8]));
        for (pattern, is_said, wall) in [("B", false, 25), ("C", true, 35), ("D", true, 40)] {
            let change = back.list(List::Exclude, pattern, is_said, wall);
            say(&mut back, vec![change]);
        }
        let theirs = back.go_back(one.secrets, &one.known.applied);
        let excluded = |patterns: &[&str]| Filter {
            exclude: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Filter::default()
        };
        assert_eq!(back.filter(), excluded(&["C", "D"]));
        say(&mut back, theirs.registers.clone());
        assert_eq!(back.filter(), excluded(&["A", "D"]));
        back.merge_theirs(theirs, &one.known.applied);
        assert_eq!(back.filter(), excluded(&["A", "D"]));
    }

    #[test]
    fn what_nobody_took_of_a_secret_that_goes_its_own_way_is_said_when_it_travels_again() {
        let id = Uuid::from_u128(1);
        let value = |replica: &Replica<String>, text: &str| {
            let covers = replica.secrets.get(&id).map(|secret| secret.covers()).unwrap_or_default();
            let clock = replica.clock(id, 10);
            vec![
                Change::Fields {
                    id,
                    clock,
                    fields: BTreeMap::from([("name".to_owned(), Some(text.to_owned()))]),
                },
                Change::Value { id, clock, at: None, covers, value: text.to_owned() },
            ]
        };
        let mut one = Replica::new(MachineId([1; 8]), Writer([1; 8]));
        let first = value(&one, "first");
        say(&mut one, first);
        // The others have taken that, and nothing that comes after it.
        let mut back = Replica::new(MachineId([2; 8]), Writer([2; 8]));
        (back.secrets, back.known.applied) = (one.secrets.clone(), one.known.applied.clone());
        let second = value(&one, "second");
        say(&mut one, second);
        one.keep(id, true);
        back.kept = one.kept;

        let theirs = back.go_back(one.secrets, &one.known.applied);
        back.merge_theirs(theirs, &one.known.applied);
        let texts = |values: &BTreeMap<Dot, Value<String>>| -> Vec<String> {
            values.values().map(|value| value.value.clone()).collect()
        };
        let seen = back.seen_here(id).unwrap();
        assert_eq!((texts(&seen.live), texts(&seen.earlier)), (vec!["first".to_owned()], vec![]));

        // It travels again: the value that nobody took is said, in the place of the one before and not beside it.
        let here = Here {
            fields: BTreeMap::from([("name".to_owned(), Some("second".to_owned()))]),
            edited: 10,
            new: vec![(When { wall: 10, at: 0 }, "second".to_owned())],
            destroyed: Vec::new(),
            trashed: None,
        };
        let changes = back.differences(id, here, |_, text| text.map(str::to_owned));
        assert_eq!(changes.len(), 2);
        back.kept.clear();
        say(&mut back, changes);
        assert_eq!(texts(&back.secrets[&id].live), ["second"]);
        assert_eq!(texts(&back.secrets[&id].earlier), ["first"]);
        assert_eq!(back.secrets[&id].field("name"), Some("second"));
    }
}
