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
    /// What was destroyed when nobody listened, of secrets that are still there, and values that were destroyed one by one: to be said
    /// last, as only then it is in the place of nothing that is said again.
    pub destroyed: Vec<Change<V>>,
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
            destroyed: Vec::new(),
            beside: BTreeMap::new(),
        };
        if fault::is(Fault::ForgetsAtReturn) {
            return theirs;
        }
        // What the others have agreed on holds for what is said now, also where this machine had not read it.
        if let Some(fleet) = theirs.secrets.get(&FLEET) {
            self.secrets.insert(FLEET, Arc::clone(fleet));
        }
        theirs.registers = old.remove(&FLEET).map(|old| self.unsaid(&old)).unwrap_or_default();
        for (id, secret) in old {
            let mut secret = Arc::unwrap_or_clone(secret);
            let none = Arc::default();
            let other = theirs.secrets.get(&id).unwrap_or(&none);
            let is_new = |dot: &Dot| !other.dropped.contains(dot);
            let dropped = secret.dropped.extract_if(.., is_new).filter(|dot| theirs.applied.has(&dot.object));
            let dropped: Vec<_> = dropped.collect();
            if !dropped.is_empty() {
                theirs.destroyed.push(Change::Drop { id, dots: dropped });
            }
            let seen = Seen { ours: had, theirs: &theirs.applied };
            theirs.destroyed.extend(purge_again(id, &secret, other, &seen));
            let (taken_back, beside) = take_back(secret, other, &seen);
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

    /// The registers as they were here that are newer than those of the others: nobody has taken them, or this machine has said
    /// them just now, before it has read what the others have.
    fn unsaid(&self, old: &Secret<V>) -> Vec<Change<V>> {
        let known = self.registers();
        let is_unsaid = |(name, register): &(&String, &Field)| {
            known.get(*name).is_none_or(|known| known.stamp < register.stamp)
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
            let secret = Arc::make_mut(self.secrets.entry(id).or_default());
            secret.earlier.retain(|dot, _| !values.contains_key(dot));
            secret.live.extend(values);
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

/// A purge that nobody has taken, of a secret that a value has brought back which its author had not seen; or that is in the way of
/// nothing any more, but for earlier values that the others keep. None if the secret is gone here: then it is
/// [destroyed](Replica::purge) as any other.
fn purge_again<V>(id: Uuid, secret: &Secret<V>, other: &Secret<V>, seen: &Seen<'_>) -> Option<Change<V>> {
    let was_taken = |dot: &Dot| seen.theirs.has(&dot.object);
    let is_here = |dot: &Dot| secret.live.contains_key(dot) || secret.earlier.contains_key(dot);
    let is_gone = |dot: &&Dot| seen.ours.has(&dot.object) && !is_here(dot);
    let covers: Vec<_> = other.live.keys().filter(is_gone).copied().collect();
    let is_left = !covers.is_empty() || other.earlier.keys().any(|dot| is_gone(&dot));
    let is_said_as_a_whole = secret.is_tombstone() && !covers.is_empty();
    let is_unsaid = is_left && !is_said_as_a_whole && !secret.purges.iter().all(was_taken);
    // Its fields are compared as such: it blanks none that are newer.
    is_unsaid.then_some(Change::Purge { id, clock: 0, covers })
}

/// A secret without what the others have never taken, and the values that stay beside what is to be said again.
fn take_back<V: Clone>(
    mut secret: Secret<V>,
    other: &Secret<V>,
    seen: &Seen<'_>,
) -> (Secret<V>, BTreeMap<Dot, Value<V>>) {
    let was_taken = |dot: &Dot| seen.theirs.has(&dot.object);
    let was_read = |dot: &Dot| seen.ours.has(&dot.object);
    let is_destroyed = !secret.is_tombstone() && !secret.purges.iter().all(was_taken);
    let (live, lone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut secret.live).into_iter().partition(|(dot, _)| was_taken(dot));
    let (mut live, mut beside) =
        if lone.is_empty() { (live, BTreeMap::new()) } else { (BTreeMap::new(), live) };
    // What has taken the place of these, or has destroyed them, is to be said again.
    let replaced = other.live.iter().filter(|(dot, _)| was_read(dot) && !beside.contains_key(dot));
    for (dot, value) in replaced {
        let held = secret.earlier.remove(dot);
        if held.is_none() && is_destroyed {
            continue;
        }
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
    // They are known, and not to be said again.
    secret.earlier.extend(beside.iter().map(|(dot, value)| (*dot, value.clone())));
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
fn forget_untaken<V: Clone>(seen: &mut Secret<V>, other: &Secret<V>, taken: &Applied) {
    let was_taken = |dot: &Dot| taken.has(&dot.object);
    let before = seen.live.len();
    seen.live.retain(|dot, _| was_taken(dot));
    if seen.live.len() < before {
        // What is to be said again comes in the place of what it had replaced, and not of what stood beside it.
        let mut replaced: BTreeMap<_, _> =
            seen.earlier.extract_if(.., |dot, _| other.live.contains_key(dot)).collect();
        let destroyed = other.live.iter().filter(|(dot, _)| seen.dropped.contains(dot));
        replaced.extend(destroyed.map(|(dot, value)| (*dot, value.clone())));
        let beside = std::mem::replace(&mut seen.live, replaced);
        seen.earlier.extend(beside);
    }
    seen.earlier.retain(|dot, _| was_taken(dot));
    for value in seen.live.values_mut() {
        value.mark = value.mark.filter(|mark| was_taken(&mark.stamp.dot));
    }
    seen.purges.retain(was_taken);
    let unheard = seen.fields.extract_if(.., |_, field| !was_taken(&field.stamp.dot));
    // So does a text.
    let replaced = unheard.filter_map(|(name, field)| {
        let theirs = other.fields.get(&name).filter(|theirs| theirs.stamp < field.stamp);
        theirs.cloned().map(|theirs| (name, theirs))
    });
    let replaced: Vec<_> = replaced.collect();
    seen.fields.extend(replaced);
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

    #[test]
    fn what_was_purged_when_nobody_listened_is_purged_beside_a_value_that_is_still_there() {
        let id = Uuid::from_u128(1);
        let value = |replica: &Replica<String>, text: &str, covers: Vec<Dot>| {
            let (clock, value) = (replica.clock(id, 10), text.to_owned());
            vec![Change::Value { id, clock, at: None, covers, value }]
        };
        let texts = |values: &BTreeMap<Dot, Value<String>>| -> Vec<String> {
            values.values().map(|value| value.value.clone()).collect()
        };
        for is_replaced in [false, true] {
            // One purges its value; the other has stored one beside that, or in its place.
            let mut one = Replica::new(MachineId([1; 8]), Writer([1; 8]));
            let first = value(&one, "purged", vec![]);
            say(&mut one, first);
            let mut other = Replica::new(MachineId([2; 8]), Writer([2; 8]));
            (other.secrets, other.known.applied) = (one.secrets.clone(), one.known.applied.clone());
            let covers = one.secrets[&id].covers();
            say(&mut one, vec![Change::Purge { id, clock: 20, covers: covers.clone() }]);
            let second = value(&other, "other", if is_replaced { covers } else { vec![] });
            say(&mut other, second);
            let snapshot = other.snapshot();
            one.merge(snapshot);
            assert_eq!(texts(&one.secrets[&id].live), ["other"]);

            // Nobody has taken the purge when the one is let in again.
            let mut back = Replica::new(MachineId([3; 8]), Writer([3; 8]));
            (back.secrets, back.known.applied) = (other.secrets.clone(), other.known.applied.clone());
            let mut theirs = back.go_back(one.secrets, &one.known.applied);
            let destroyed = std::mem::take(&mut theirs.destroyed);
            assert!(matches!(destroyed.as_slice(), [Change::Purge { .. }]));
            say(&mut back, destroyed);
            back.merge_theirs(theirs, &one.known.applied);
            let entry = back.snapshot();
            other.merge(entry);
            for replica in [&back, &other] {
                let secret = &replica.secrets[&id];
                assert_eq!((texts(&secret.live), texts(&secret.earlier)), (vec!["other".to_owned()], vec![]));
            }
        }
    }
}
