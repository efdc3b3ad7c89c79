//! A machine that was removed and let in again: what it has read before is not new to it, and what it has done since goes to
//! the others as changes of now.

use std::collections::BTreeSet;

use secrets_fleet::{ObjectId, ObjectName};

use crate::vault::Error;
use crate::vault::format::fleet::Fleet;

use super::super::Batch;
use super::local::Said;

/// In how many rounds something may be missing before this machine goes on without it. It then says some of what it has once
/// more, as its own.
const PATIENCE: u32 = 6;

/// Of which synced version a row is whose secret is to be compared as a whole: none has this one.
const NONE_OF_ITS: u64 = u64::MAX;

impl Batch<'_> {
    /// Goes on with what this machine had, once it has read what the others have: says what they have never taken of it, and
    /// merges. Returns what is missing, and what came of saying what is new; none as long as it waits.
    pub(super) fn come_back(
        &mut self,
        fleet: &mut Fleet,
        objects: &[(ObjectName, Vec<u8>)],
    ) -> Result<Option<(BTreeSet<ObjectId>, Said)>, Error> {
        let Some(had) = fleet.meta.again.clone() else { return Ok(None) };
        let (replica, covered, expected) =
            (fleet.replica.clone(), fleet.meta.covered.clone(), fleet.meta.expected.clone());
        let old = std::mem::take(&mut fleet.replica.secrets);
        let missing = self.receive(fleet, objects)?;
        // What nobody has named may be nobody's, and is not waited for.
        let is_all = fleet.meta.expected.is_empty() && fleet.meta.waiting == 0;
        let is_given_up = fleet.meta.missing.iter().any(|(_, rounds)| *rounds >= PATIENCE);
        if !is_all && !is_given_up {
            // It is read again in the next round.
            (fleet.replica, fleet.meta.covered, fleet.meta.expected) = (replica, covered, expected);
            self.ask_for(fleet, &missing)?;
            return Ok(None);
        }
        fleet.meta.again = None;
        let purged: BTreeSet<_> =
            old.iter().filter(|(_, secret)| secret.is_tombstone()).map(|(id, _)| *id).collect();
        // What has a name that this version does not know was never in this vault, and is not purged.
        for (_, (_, synced)) in fleet.rows.iter_mut().filter(|(id, row)| row.1 > 0 || purged.contains(*id)) {
            *synced = NONE_OF_ITS;
        }
        let mut theirs = fleet.replica.go_back(old, &had);
        let registers = std::mem::take(&mut theirs.registers);
        self.write_entries(fleet, registers, &std::collections::BTreeMap::new())?;
        let Said { purged, back } = self.say_what_is_new(fleet)?;
        let destroyed = std::mem::take(&mut theirs.destroyed);
        let purged = purged || !destroyed.is_empty();
        self.write_entries(fleet, destroyed, &std::collections::BTreeMap::new())?;
        // Before it has seen what the others have: what does not travel comes in the place of none of that later.
        self.set_apart(fleet);
        fleet.replica.merge_theirs(theirs, &had);
        Ok(Some((missing, Said { purged, back })))
    }
}
