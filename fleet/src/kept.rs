//! A secret that goes its own way on this machine, though others have it, too. What they say of it is taken note of, as of any
//! other, for who asks this machine; beside that stands what this machine had seen of it when it began to go its own way. When
//! it travels again, what was done here meanwhile is said as if this machine had been away all the time: in the place of what it
//! had seen, and of nothing else.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock;
use crate::fault::{self, Fault};
use crate::replica::Replica;
use crate::secret::Secret;

impl<V: Clone> Replica<V> {
    /// From now on a secret goes its own way here. Nothing changes if it does already. If `is_same` is false, what is here under
    /// its id has never been what the others have.
    pub fn keep(&mut self, id: Uuid, is_same: bool) {
        if let Entry::Vacant(vacant) = self.kept.entry(id) {
            let seen = self.secrets.get(&id).filter(|_| is_same).cloned();
            vacant.insert(seen.unwrap_or_default());
        }
    }

    /// What this machine has seen of a secret: what a change of it that is made here comes in the place of.
    #[must_use]
    pub fn seen_here(&self, id: Uuid) -> Option<&Secret<V>> {
        let kept = self.kept.get(&id).filter(|_| !fault::is(Fault::KeptHasSeenAll));
        kept.or_else(|| self.secrets.get(&id)).map(Arc::as_ref)
    }

    /// The time of a change of this secret that is made here now: later than all that this machine has seen of it.
    #[must_use]
    pub fn clock_here(&self, id: Uuid, wall: u64) -> u64 {
        clock::next(wall, self.seen_here(id).and_then(Secret::newest))
    }
}
