//! What is read from the exchange in one round. Others may put there what they like: lists of machines come first, and what
//! was not taken is not read again before it has changed, or the lists have.

use std::collections::BTreeMap;
use std::io;

use secrets_fleet::exchange::MOST_BYTES;
use secrets_fleet::{Kind, ObjectName};

use crate::crypto::exchange::hash_of;
use crate::exchange::{self, Stamp};
use crate::vault::format::fleet::Fleet;

use super::is_new;

/// The most that is kept of one round; the rest is read in the next.
const MOST_AT_ONCE: usize = 64 << 20;

/// What was not taken, for as long as the vault is open.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// How many lists and keys were known then: one more may be what lacked.
    known: (usize, usize),
    files: BTreeMap<ObjectName, Option<Stamp>>,
}

/// What is in the exchange.
pub(super) struct Found {
    /// All objects that are there, but for lists that say who belongs to the fleet now and are spoilt.
    pub(super) listed: Vec<ObjectName>,
    /// Those that are new, with nothing in the place of what is not what its name says, or was not taken before.
    pub(super) objects: Vec<(ObjectName, Vec<u8>)>,
    /// Whether all that is new was read.
    pub(super) is_all: bool,
}

impl Refused {
    /// Notes that these objects were not taken, as they are now.
    pub(super) fn note(&mut self, fleet: &Fleet, names: &[ObjectName]) {
        self.forget_if_known_better(fleet);
        let directory = &fleet.meta.directory;
        self.files.extend(names.iter().map(|name| (*name, exchange::stamp(directory, name))));
    }

    fn forget_if_known_better(&mut self, fleet: &Fleet) {
        let known = (fleet.meta.read.len(), fleet.meta.keys.len());
        if self.known != known {
            self.known = known;
            self.files.clear();
        }
    }
}

/// Looks for what is new to this machine.
pub(super) fn find(fleet: &Fleet, refused: &mut Refused) -> io::Result<Found> {
    refused.forget_if_known_better(fleet);
    let directory = &fleet.meta.directory;
    let read = |name: &ObjectName| {
        let bytes = exchange::read(directory, name)?;
        Ok(bytes.map(|bytes| if name.is_of(&hash_of(&bytes).0) { bytes } else { Vec::new() }))
    };
    let mut listed = exchange::list(directory)?;
    let is_spoilt = |name: &ObjectName| {
        read(name).map_or(true, |bytes: Option<Vec<u8>>| bytes.is_none_or(|bytes| bytes.is_empty()))
    };
    listed.retain(|name| !fleet.meta.latest.contains(name) || !is_spoilt(name));
    let mut new: Vec<_> = listed.iter().filter(|name| is_new(fleet, name)).copied().collect();
    new.sort_by_key(|name| name.kind != Kind::Members);
    let (mut kept, mut looked_at, mut is_all) = (0_usize, 0_u64, true);
    // A machine that has come back takes all or nothing.
    let most = if fleet.meta.again.is_some() { usize::MAX } else { MOST_AT_ONCE };
    let mut objects = Vec::new();
    for name in new {
        let stamp = exchange::stamp(directory, &name);
        if refused.files.get(&name).is_some_and(|then| *then == stamp) {
            objects.push((name, Vec::new()));
            continue;
        }
        if kept >= most || looked_at >= MOST_BYTES {
            is_all = false;
            continue;
        }
        looked_at = looked_at.saturating_add(stamp.map_or(0, |stamp| stamp.length));
        // What cannot be read is as good as empty, and so not what its name says.
        let read: io::Result<Option<Vec<u8>>> = read(&name);
        let Some(bytes) = read.unwrap_or_else(|_| Some(Vec::new())) else { continue };
        if bytes.is_empty() {
            refused.files.insert(name, stamp);
        }
        kept = kept.saturating_add(bytes.len());
        objects.push((name, bytes));
    }
    Ok(Found { listed, objects, is_all })
}
