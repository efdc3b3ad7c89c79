//! Merging two states: what the one has and the other has not is new, if the other has not read what brought it; and gone,
//! if it has (Bieniusa et al. 2012, an optimized observed-remove set).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use uuid::Uuid;

use crate::fault::{self, Fault};
use crate::ids::Dot;
use crate::replica::Replica;
use crate::secret::Secret;
use crate::snapshot::Snapshot;

impl<V: Clone> Replica<V> {
    /// Merges a snapshot. What is in it counts as read.
    pub fn merge(&mut self, snapshot: Snapshot<V>) {
        let Snapshot { applied, heads, owners, secrets, .. } = snapshot;
        let ours = self.known.applied.clone();
        // Somebody else has written into our log.
        self.known.forked |= !ours.has_all_of(self.known.writer, &applied);
        let mut theirs: BTreeMap<Uuid, Arc<Secret<V>>> = secrets;
        let seen = Seen { ours: &ours, theirs: &applied };
        for (id, secret) in &mut self.secrets {
            let before = (secret.live.len(), secret.earlier.len());
            let other = theirs.remove(id);
            let is_known = other.is_some();
            join(Arc::make_mut(secret), other.map(Arc::unwrap_or_clone).unwrap_or_default(), &seen);
            if is_known || before != (secret.live.len(), secret.earlier.len()) {
                self.touched.insert(*id);
            }
        }
        for (id, other) in theirs {
            let mut secret = Secret::default();
            join(&mut secret, Arc::unwrap_or_clone(other), &seen);
            self.secrets.insert(id, Arc::new(secret));
            self.touched.insert(id);
        }
        let known = &mut self.known;
        known.heads.retain(|head| heads.contains(head) || !applied.has(head));
        known.heads.extend(heads.into_iter().filter(|head| !ours.has(head)));
        known.applied.add_all(&applied);
        for (writer, owner) in owners {
            known.owners.entry(writer).or_insert(owner);
        }
    }
}

/// What either side has read.
pub(crate) struct Seen<'a> {
    pub(crate) ours: &'a crate::Applied,
    pub(crate) theirs: &'a crate::Applied,
}

pub(crate) fn join<V>(secret: &mut Secret<V>, other: Secret<V>, seen: &Seen<'_>) {
    let we_have_read = |dot: &Dot| seen.ours.has(&dot.object) && !fault::is(Fault::SnapshotIsUnion);
    let they_have_read = |dot: &Dot| seen.theirs.has(&dot.object);
    // Their purges that are new to us may be of what we have kept and they have not.
    let is_purged = !secret.purges.is_superset(&other.purges);
    secret.earlier.retain(|dot, _| {
        let is_kept = other.earlier.contains_key(dot) || !they_have_read(dot);
        is_kept || !(is_purged || other.dropped.contains(dot))
    });
    let is_gone = |dot: &Dot| they_have_read(dot) && !other.live.contains_key(dot);
    let replaced: Vec<_> = secret.live.extract_if(.., |dot, _| is_gone(dot)).collect();
    // Unless they have it as a replaced one, it was purged, or is too old to be kept.
    secret.earlier.extend(replaced.into_iter().filter(|(dot, _)| other.earlier.contains_key(dot)));
    for (dot, value) in other.live {
        match secret.live.entry(dot) {
            Entry::Occupied(_) => secret.set_mark(&dot, value.mark),
            Entry::Vacant(vacant) if !we_have_read(&dot) => drop(vacant.insert(value)),
            Entry::Vacant(_) => {}
        }
    }
    for (dot, value) in other.earlier {
        if !we_have_read(&dot) && !secret.live.contains_key(&dot) {
            secret.earlier.entry(dot).or_insert(value);
        }
    }
    for (name, field) in other.fields {
        secret.set_field(name, field);
    }
    secret.purges.extend(other.purges);
    secret.dropped.extend(other.dropped);
    secret.trim();
}
