//! What one machine knows of the fleet's secrets, and in which order it takes what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::fault::{self, Fault};
use crate::ids::{Dot, Hash, MachineId, ObjectId, Writer};
use crate::object::Signed;
use crate::secret::Secret;

/// What is in an object of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<V> {
    /// Who wrote it.
    pub by: MachineId,
    /// The SHA-256 of the object before it in this log; none for the first.
    pub prev: Option<Hash>,
    /// The newest objects of the other logs that its author knew, as far as it has not said so before. Every object so
    /// attests all that came before it.
    pub seen: Vec<ObjectId>,
    /// What its author did.
    pub changes: Vec<Change<V>>,
}

impl<V> Signed for Entry<V> {
    fn by(&self) -> MachineId {
        self.by
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It counts now.
    Applied,
    /// It counted already.
    Known,
    /// It waits for these.
    Waits(Vec<ObjectId>),
    /// It is not what a member of the fleet writes.
    Refused,
}

/// What a machine knows beside the secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// This machine.
    pub me: MachineId,
    /// Its log.
    pub writer: Writer,
    /// The number of the last object that it wrote there, or 0.
    pub number: u32,
    /// The last object that it wrote there.
    pub last: Option<Hash>,
    /// The newest objects that its last one has attested.
    pub told: BTreeSet<ObjectId>,
    /// The newest object of each log, or several, where one is forked.
    pub heads: BTreeSet<ObjectId>,
    /// All that is in the state.
    pub applied: Applied,
    /// Whose logs they are.
    pub owners: BTreeMap<Writer, MachineId>,
    /// Somebody else writes into this machine's log: its disk was copied, or put back.
    pub forked: bool,
    /// Objects that others want and that are in this state.
    pub asked: BTreeSet<ObjectId>,
    /// Objects that wait, and whose wishes were heard.
    pub heard: BTreeSet<ObjectId>,
}

/// A machine's state: the secrets, with `V` in the place of each value, and what it knows beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica<V> {
    /// What it knows beside the secrets.
    pub known: Known,
    /// The secrets. Most do not change when the state does: a copy of the state shares them.
    pub secrets: BTreeMap<Uuid, Arc<Secret<V>>>,
    /// The secrets that were changed and not taken note of.
    pub touched: BTreeSet<Uuid>,
    /// The secrets that go their own way here, as they were when they began to.
    pub kept: BTreeMap<Uuid, Arc<Secret<V>>>,
}

impl<V: Clone> Replica<V> {
    /// That of a machine which has read nothing yet.
    #[must_use]
    pub fn new(me: MachineId, writer: Writer) -> Self {
        let known = Known {
            me,
            writer,
            number: 0,
            last: None,
            told: BTreeSet::new(),
            heads: BTreeSet::new(),
            applied: Applied::default(),
            owners: BTreeMap::from([(writer, me)]),
            forked: false,
            asked: BTreeSet::new(),
            heard: BTreeSet::new(),
        };
        Self { known, secrets: BTreeMap::new(), touched: BTreeSet::new(), kept: BTreeMap::new() }
    }

    /// The next object of this machine's log, with these changes, and its number. It counts once
    /// [`adopt`](Self::adopt) was told what became of it. None if the log is full.
    #[must_use]
    pub fn draft(&self, changes: Vec<Change<V>>) -> Option<(u32, Entry<V>)> {
        let known = &self.known;
        let is_new = |head: &&ObjectId| head.writer != known.writer && !known.told.contains(head);
        let seen = known.heads.iter().filter(is_new).copied().collect();
        let number = known.number.checked_add(1)?;
        Some((number, Entry { by: known.me, prev: known.last, seen, changes }))
    }

    /// Takes an object of this machine's own, that was drafted just now and sealed.
    pub fn adopt(&mut self, object: ObjectId, hash: Hash, entry: Entry<V>) {
        (self.known.number, self.known.last) = (object.number, Some(hash));
        self.apply(object, entry);
        self.known.told.clone_from(&self.known.heads);
    }

    /// Takes an object that was read, if all that its author knew is here already.
    pub fn receive(&mut self, object: ObjectId, entry: Entry<V>) -> Receipt {
        if self.has(&object) {
            return Receipt::Known;
        }
        let before = match (object.number, entry.prev) {
            (1, None) => None,
            (2.., Some(hash)) => {
                Some(ObjectId { number: object.number.saturating_sub(1), hash: hash.short(), ..object })
            }
            _ => return Receipt::Refused,
        };
        if self.known.owners.get(&object.writer).is_some_and(|owner| *owner != entry.by) {
            return Receipt::Refused;
        }
        let mut missing: Vec<_> = before.into_iter().chain(entry.seen.iter().copied()).collect();
        missing.retain(|object| !self.has(object));
        if !missing.is_empty() && !fault::is(Fault::AnyOrder) {
            self.hear(object, &entry);
            return Receipt::Waits(missing);
        }
        self.known.forked |= object.writer == self.known.writer;
        self.apply(object, entry);
        Receipt::Applied
    }

    /// Whether an object's content is in this state.
    #[must_use]
    pub fn has(&self, object: &ObjectId) -> bool {
        if fault::is(Fault::NumbersOnly) {
            return usize::try_from(object.number)
                .is_ok_and(|number| number <= self.known.applied.count(object.writer));
        }
        self.known.applied.has(object)
    }

    /// Begins a log of its own, because somebody else writes into the one before.
    pub fn begin_log(&mut self, writer: Writer) {
        let known = &mut self.known;
        (known.writer, known.number, known.last, known.forked) = (writer, 0, None, false);
        known.told.clear();
        known.owners.insert(writer, known.me);
    }

    /// The time of a change of this secret that is made now.
    #[must_use]
    pub fn clock(&self, id: Uuid, wall: u64) -> u64 {
        crate::clock::next(wall, self.secrets.get(&id).and_then(|secret| secret.newest()))
    }

    /// Hears what the author of an object wants, though the object waits. Two that lack something of each other would wait
    /// without end otherwise: neither could take the object in which the other says so.
    fn hear(&mut self, object: ObjectId, entry: &Entry<V>) {
        if fault::is(Fault::DeafWhileWaiting) || self.known.heard.contains(&object) {
            return;
        }
        for change in &entry.changes {
            let Change::Want { objects } = change else { continue };
            let here: Vec<_> =
                objects.iter().filter(|object| self.known.applied.has(object)).copied().collect();
            if !here.is_empty() {
                self.known.asked.extend(here);
                self.known.heard.insert(object);
            }
        }
    }

    fn apply(&mut self, object: ObjectId, entry: Entry<V>) {
        let known = &mut self.known;
        known.applied.add(&object);
        let was_heard = known.heard.remove(&object);
        known.owners.insert(object.writer, entry.by);
        if let Some(hash) = entry.prev {
            let before = ObjectId { number: object.number.saturating_sub(1), hash: hash.short(), ..object };
            known.heads.remove(&before);
        }
        known.heads.insert(object);
        for (index, change) in (0_u32..).zip(entry.changes) {
            match (change.secret(), change) {
                (Some(id), change) => {
                    let secret = Arc::make_mut(self.secrets.entry(id).or_default());
                    secret.apply(Dot { object, index }, entry.by, change);
                    self.touched.insert(id);
                }
                (None, Change::Want { objects }) if entry.by != self.known.me && !was_heard => {
                    let here = objects.into_iter().filter(|object| self.known.applied.has(object));
                    self.known.asked.extend(here);
                }
                (None, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShortHash;

    fn object(writer: u8, number: u32) -> ObjectId {
        ObjectId { writer: Writer([writer; 8]), number, hash: ShortHash([writer; 16]) }
    }

    #[test]
    fn a_wish_is_heard_once_though_its_object_waits() {
        let hears = |fault| {
            let mut replica = Replica::<String>::new(MachineId([2; 8]), Writer([2; 8]));
            let (number, entry) = replica.draft(Vec::new()).unwrap();
            replica.adopt(object(2, number), Hash([2; 32]), entry);
            let wish = Entry {
                by: MachineId([1; 8]),
                prev: Some(Hash([9; 32])),
                seen: Vec::new(),
                changes: vec![Change::Want { objects: vec![object(2, 1), object(3, 1)] }],
            };
            fault::seed(fault);
            let receipt = replica.receive(object(1, 2), wish.clone());
            fault::seed(None);
            assert!(matches!(receipt, Receipt::Waits(_)));
            let heard = std::mem::take(&mut replica.known.asked);
            replica.receive(object(1, 2), wish);
            assert!(fault.is_some() || replica.known.asked.is_empty());
            heard
        };
        assert_eq!(hears(None), BTreeSet::from([object(2, 1)]));
        assert!(hears(Some(Fault::DeafWhileWaiting)).is_empty());
    }
}
