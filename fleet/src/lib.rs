//! One vault on several machines, without a server of its own: what the machines exchange, and how it is merged.
//!
//! Each machine appends to a log of its own. Logs, snapshots and lists of machines are *objects*: sealed, signed, padded
//! files whose names hold the hash of their bytes. No object is ever written twice, and so any store will do that can
//! put, list, get and delete whole files, whatever it promises about two that write at once. What comes out of a merge
//! depends on what was read, and never on the order or on a clock.
//!
//! Pure: bytes and values in, bytes and values out. There is no file, no socket, no clock and no cipher in here; who
//! uses it brings a [`Crypt`].
//!
//! - [`exchange`]: the directory in which objects lie, and what else is in it; [`name`]: what objects are called
//! - [`object`]: what is in one, how it is padded, sealed and read; [`change`]: what a machine says that it did
//! - [`secret`]: one secret as all machines see it, and the rules by which changes are merged
//! - [`replica`]: what one machine knows, the order in which it takes objects, forks; [`names`]: two secrets of one name
//! - [`filter`]: which secrets travel; [`kept`]: one that goes its own way on one machine
//! - [`members`]: who belongs to the fleet, and who does not any more
//! - [`snapshot`]: all of that at once; [`join`]: how it is merged; [`applied`]: which objects are in it
//! - [`said`]: what is different on a machine, as changes; [`again`]: one that was removed and comes back
//! - [`clock`]: times that never run backwards

pub mod again;
pub mod applied;
pub mod change;
pub mod clock;
pub mod crypt;
pub mod exchange;
pub mod filter;
pub mod ids;
pub mod join;
pub mod kept;
pub mod members;
pub mod name;
pub mod names;
pub mod object;
pub mod padding;
pub mod replica;
pub mod said;
pub mod secret;
pub mod snapshot;

mod fault;
#[cfg(test)]
mod model;

pub use applied::Applied;
pub use change::Change;
pub use crypt::Crypt;
pub use ids::{Dot, MachineId, ObjectId, Writer};
pub use name::{Kind, ObjectName};
pub use replica::Replica;
pub use secret::Secret;
