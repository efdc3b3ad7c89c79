//! The ids of new secrets, which have names for people to type. They are random, but those that are drawn in one moment begin alike, so that what is
//! stored together lies together in the file: each commit writes to fewer pages, and so does moving the log into the file.
//!
//! Moments follow a grid of time that is the same for all callers. So an id tells the holder of a token nothing of what others have stored,
//! and a thief of the file which secrets were stored within one moment, as those of an import are.

use std::time::{Duration, Instant};

use secrets_proto::Uuid;

use crate::crypto;
use crate::vault::Error;

/// How long a moment is. In a stream of single writes some thirty secrets are stored in it, which fill two pages.
const MOMENT: Duration = Duration::from_millis(20);

/// How many bytes those of one moment have in common.
const BEGINNING: usize = 6;

/// Draws ids.
#[derive(Debug)]
pub(in crate::vault) struct Ids {
    start: Instant,
    /// The last moment in which one was drawn, and how it began.
    last: Option<(u128, [u8; BEGINNING])>,
}

impl Ids {
    /// With moments that are counted from now.
    pub(in crate::vault) fn new() -> Self {
        Self { start: Instant::now(), last: None }
    }

    /// The next id, of version 4 (RFC 9562).
    pub(in crate::vault) fn next(&mut self) -> Result<Uuid, Error> {
        let moment = self.start.elapsed().as_nanos() / MOMENT.as_nanos();
        Ok(self.next_in(moment, crypto::random()?))
    }

    fn next_in(&mut self, moment: u128, mut fresh: [u8; 16]) -> Uuid {
        if let Some(beginning) = fresh.first_chunk_mut() {
            match self.last {
                Some((last, alike)) if last == moment => *beginning = alike,
                Some(_) | None => self.last = Some((moment, *beginning)),
            }
        }
        uuid::Builder::from_random_bytes(fresh).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_moment_begin_alike_and_nothing_else_is() {
        let mut ids = Ids::new();
        let drawn: Vec<Uuid> =
            [(7, 1), (7, 2), (8, 3), (7, 4)].map(|(moment, fresh)| ids.next_in(moment, [fresh; 16])).into();
        let of = |beginning: u8, rest: u8| {
            let mut bytes = [rest; 16];
            bytes[..BEGINNING].fill(beginning);
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        };
        assert_eq!(drawn, [of(1, 1), of(1, 2), of(3, 3), of(4, 4)]);
        assert!(drawn.iter().all(|id| id.get_version_num() == 4));
        let many: std::collections::HashSet<Uuid> = (0..1_000).map(|_| ids.next().unwrap()).collect();
        assert_eq!(many.len(), 1_000);
    }
}
