//! Objects that were not taken: what a machine has written that was removed is told apart from what nobody has.

use std::collections::BTreeMap;

use secrets_fleet::ObjectName;
use secrets_fleet::object::{self, Signed};
use serde::de::DeserializeOwned;

use crate::crypto::exchange::FleetCrypt;
use crate::vault::format::fleet::Fleet;

/// How many objects of removed machines are told apart: they are in the vault, and such a machine may write as many as it likes.
const MOST_STRAYS: usize = 1_024;

/// Notes that an object with a `T` in it was not taken. It counts as refused, unless a machine has written it that was
/// removed: such a machine goes on until it has heard of that, and nobody can do anything about it. Of more than
/// [`MOST_STRAYS`] the rest counts.
pub(super) fn refuse<T: DeserializeOwned + Signed>(fleet: &mut Fleet, name: ObjectName, bytes: &[u8]) {
    fleet.refused.push(name);
    if fleet.meta.strays.contains(&name) {
        return;
    }
    if fleet.meta.strays.len() < MOST_STRAYS && is_of_a_removed::<T>(fleet, &name, bytes) {
        fleet.meta.strays.insert(name);
    } else {
        fleet.meta.refused += 1;
    }
}

fn is_of_a_removed<T: DeserializeOwned + Signed>(fleet: &Fleet, name: &ObjectName, bytes: &[u8]) -> bool {
    let removed = fleet.meta.members.all().filter(|member| !fleet.stands(member.id));
    let writers: BTreeMap<_, _> = removed.map(|member| (member.id, member.keys.signing)).collect();
    let crypt = FleetCrypt { keys: &fleet.meta.keys, signing: &fleet.meta.signing, writers: &writers };
    object::open::<T>(&crypt, fleet.meta.fleet, name, bytes).is_ok()
}
