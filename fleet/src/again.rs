//! A machine that was removed and let in again. What it has read before is not new to it, and what it has done since is new to
//! the others: it goes on as one that was merely away, under a name that is not removed.
//!
//! What it wrote after its removal nobody takes. So of its own state that is taken out again, and said once more; and what the
//! others have is merged as two states are (see [`join`](crate::join)).

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::applied::Applied;
use crate::fault::{self, Fault};
use crate::ids::Dot;
use crate::join::{Seen, join};
use crate::replica::Replica;
use crate::secret::{Mark, Secret, Value};

/// What the others have, for as long as a machine that has come back says what it did meanwhile.
#[derive(Debug, Clone)]
pub struct Theirs<V> {
    /// What is in it.
    applied: Applied,
    /// The secrets.
    pub secrets: BTreeMap<Uuid, Arc<Secret<V>>>,
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
    pub fn go_back(&mut self, old: BTreeMap<Uuid, Arc<Secret<V>>>, had: &Applied) -> Theirs<V> {
        let secrets = std::mem::take(&mut self.secrets);
        let mut theirs = Theirs {
            applied: self.known.applied.clone(),
            secrets,
            dropped: BTreeMap::new(),
            beside: BTreeMap::new(),
        };
        if fault::is(Fault::ForgetsAtReturn) {
            return theirs;
        }
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
        theirs
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
