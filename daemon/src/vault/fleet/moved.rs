//! What a mover has to know after a merge, where the exchange is no directory that the machines share: a copy of each object is
//! on each of them, and what one has deleted from the store must not be put there again by another.

use std::collections::BTreeSet;
use std::io;

use secrets_fleet::{Kind, ObjectName};

use crate::exchange;
use crate::vault::format::fleet::{Covered, Fleet, KeptWelcome};

/// Removes what the store has lost because a snapshot has taken its place, and says that all else was considered.
pub(super) fn settle(fleet: &Fleet) -> io::Result<()> {
    let directory = &fleet.meta.directory;
    let gone = exchange::gone(directory);
    for name in gone.iter().filter(|name| is_replaced(&fleet.meta.covered, &gone, name)) {
        exchange::remove(directory, name)?;
    }
    exchange::has_merged(directory, &gone)
}

/// Whether a snapshot that the store has as a whole has the content of an object that it has no more.
fn is_replaced(covered: &[Covered], gone: &BTreeSet<ObjectName>, name: &ObjectName) -> bool {
    let mut there = covered.iter().filter(|one| one.parts.iter().all(|part| !gone.contains(part)));
    match name.kind {
        Kind::Log => there.any(|one| one.applied.has(&name.id)),
        Kind::Snapshot => {
            let old = covered.iter().find(|one| one.parts.contains(name));
            old.is_some_and(|old| there.any(|new| new.applied.has_all(&old.applied)))
        }
        Kind::Invitation => name.id.number != KeptWelcome::NUMBER,
        Kind::Members => false,
    }
}
