//! No name twice: where two secrets were given one name on two machines, the one with the newer value keeps it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::change::Change;
use crate::fault::{self, Fault};
use crate::ids::Dot;
use crate::replica::Replica;
use crate::secret::NAME;

impl<V: Clone> Replica<V> {
    /// What has to be done so that no two visible secrets have one name: every one but that with the newest current value goes
    /// to the trash. Any other machine that notices decides the same. A value that is newer than all that was known then is not
    /// covered, and brings its secret back; then the other one goes.
    #[must_use]
    pub fn name_conflicts(&self, wall: u64, at: i64) -> Vec<Change<V>> {
        let mut keepers: BTreeMap<&str, (u64, Dot, Uuid)> = BTreeMap::new();
        let mut losers = Vec::new();
        for (id, secret) in self.secrets.iter().filter(|(_, secret)| secret.is_visible()) {
            let (Some(name), Some((dot, value))) = (secret.field(NAME), secret.current()) else { continue };
            let (this, loser) = ((value.clock, dot, *id), keepers.get(name).copied());
            let Some(other) = loser else {
                keepers.insert(name, this);
                continue;
            };
            losers.push(this.min(other).2);
            keepers.insert(name, this.max(other));
        }
        if fault::is(Fault::NamesTwice) {
            losers.clear();
        }
        let trash = |id: Uuid| Change::Trash {
            id,
            clock: self.clock(id, wall),
            at,
            covers: self.secrets.get(&id).map(|secret| secret.covers()).unwrap_or_default(),
            name_taken: true,
        };
        losers.into_iter().map(trash).collect()
    }
}
