//! Times that order what causality does not: a hybrid logical clock (Kulkarni et al. 2014), kept for each secret by itself.
//! A wrong clock may pick the other one of two concurrent values, and never loses one.

use serde::{Deserialize, Serialize};

use crate::ids::Dot;

/// When a change was made: greater than every time that its author knew for the same secret. Ties are broken by the
/// change's id, so that no two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, as far as the author's clock was right.
    #[serde(rename = "c")]
    pub clock: u64,
    /// The change.
    #[serde(rename = "d")]
    pub dot: Dot,
}

/// The second of a time, in seconds since 1970.
#[must_use]
pub const fn second(clock: u64) -> i64 {
    (clock / 1_000).cast_signed()
}

/// The time of a change that is made now: the wall clock's, or one more than the newest that is known, if that is greater.
#[must_use]
pub fn next(wall: u64, newest_known: Option<u64>) -> u64 {
    newest_known.map_or(wall, |known| wall.max(known.saturating_add(1)))
}
