//! Snapshots: a machine's whole state, in parts. Who lacks an object that the store has lost, or was never to see, starts
//! from one; and what a snapshot covers may be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::applied::Applied;
use crate::ids::{Dot, MachineId, ObjectId, ShortHash, Writer};
use crate::object::{FULL, Signed, length};
use crate::replica::Replica;
use crate::secret::{Field, Secret, Value};

/// How much JSON goes into a part, with room for the digits of the number of parts.
const PART: usize = FULL - 16;

/// A state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<V> {
    /// Whose.
    pub by: MachineId,
    /// All objects that are in it.
    pub applied: Applied,
    /// The newest of each log.
    pub heads: BTreeSet<ObjectId>,
    /// Whose logs they are.
    pub owners: BTreeMap<Writer, MachineId>,
    /// The secrets.
    pub secrets: BTreeMap<Uuid, Arc<Secret<V>>>,
}

/// What is in an object of kind `s`. The parts of one snapshot have numbers that follow on one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part<V> {
    /// Who wrote it.
    pub by: MachineId,
    /// Which snapshot it is of: random, as two may have one number.
    pub of: ShortHash,
    /// The number of the first part.
    pub first: u32,
    /// How many parts there are.
    pub parts: u32,
    /// In the first part: what the snapshot covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// A share of the secrets.
    pub items: Vec<Item<V>>,
}

/// What a snapshot covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// All objects that are in it.
    pub applied: Applied,
    /// The newest of each log.
    pub heads: BTreeSet<ObjectId>,
    /// Whose logs they are.
    pub owners: BTreeMap<Writer, MachineId>,
}

/// One thing in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item<V> {
    /// A secret without its values; it comes before them.
    Secret {
        /// Its id.
        id: Uuid,
        /// Its fields.
        fields: BTreeMap<String, Field>,
        /// Its purges.
        purges: BTreeSet<Dot>,
        /// Values that were destroyed one by one.
        dropped: BTreeSet<Dot>,
    },
    /// One value.
    Value {
        /// The secret's id.
        id: Uuid,
        /// Which one.
        dot: Dot,
        /// Whether another one has taken its place.
        replaced: bool,
        /// The value.
        value: Value<V>,
    },
}

impl<V> Signed for Part<V> {
    fn by(&self) -> MachineId {
        self.by
    }
}

/// A snapshot that has no parts, or none that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the parts of one snapshot")]
pub struct NotASnapshot;

impl<V: Clone> Replica<V> {
    /// This machine's state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<V> {
        let known = &self.known;
        Snapshot {
            by: known.me,
            applied: known.applied.clone(),
            heads: known.heads.clone(),
            owners: known.owners.clone(),
            secrets: self.secrets.clone(),
        }
    }
}

impl<V: Serialize + Clone> Snapshot<V> {
    /// Its parts. `of` is random, and the first part gets this number.
    #[must_use]
    pub fn into_parts(self, of: ShortHash, first: u32) -> Vec<Part<V>> {
        let Self { by, applied, heads, owners, secrets } = self;
        let empty = |frame| Part { by, of, first, parts: 0, frame, items: Vec::new() };
        let frame = Frame { applied, heads, owners };
        let mut parts = Vec::new();
        let mut part = empty(Some(frame));
        let mut room = PART.saturating_sub(length(&part));
        for item in secrets.into_iter().flat_map(|(id, secret)| items(id, Arc::unwrap_or_clone(secret))) {
            let more = length(&item) + 1;
            if more > room {
                parts.push(std::mem::replace(&mut part, empty(None)));
                room = PART.saturating_sub(length(&part));
            }
            room = room.saturating_sub(more);
            part.items.push(item);
        }
        parts.push(part);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        parts.iter_mut().for_each(|part| part.parts = count);
        parts
    }
}

impl<V> Snapshot<V> {
    /// The snapshot of these parts, which are in the order of their numbers.
    ///
    /// # Errors
    ///
    /// They are not all the parts of one snapshot.
    pub fn from_parts(parts: Vec<Part<V>>) -> Result<Self, NotASnapshot> {
        let Some(Part { by, of, first, parts: count, frame: Some(frame), .. }) = parts.first() else {
            return Err(NotASnapshot);
        };
        let (by, of, first, count, frame) = (*by, *of, *first, *count, frame.clone());
        let belongs = |part: &Part<V>| (part.by, part.of, part.first, part.parts) == (by, of, first, count);
        if u32::try_from(parts.len()) != Ok(count) || !parts.iter().all(belongs) {
            return Err(NotASnapshot);
        }
        let mut secrets: BTreeMap<Uuid, Secret<V>> = BTreeMap::new();
        for item in parts.into_iter().flat_map(|part| part.items) {
            match item {
                Item::Secret { id, fields, purges, dropped } => {
                    secrets.insert(id, Secret { fields, purges, dropped, ..Secret::default() });
                }
                Item::Value { id, dot, replaced, value } => {
                    let secret = secrets.get_mut(&id).ok_or(NotASnapshot)?;
                    if replaced { &mut secret.earlier } else { &mut secret.live }.insert(dot, value);
                }
            }
        }
        let Frame { applied, heads, owners } = frame;
        let secrets = secrets.into_iter().map(|(id, secret)| (id, Arc::new(secret))).collect();
        Ok(Self { by, applied, heads, owners, secrets })
    }
}

fn items<V>(id: Uuid, secret: Secret<V>) -> impl Iterator<Item = Item<V>> {
    let Secret { fields, live, earlier, purges, dropped } = secret;
    let value = move |replaced| move |(dot, value)| Item::Value { id, dot, replaced, value };
    let head = Item::Secret { id, fields, purges, dropped };
    std::iter::once(head)
        .chain(live.into_iter().map(value(false)))
        .chain(earlier.into_iter().map(value(true)))
}
