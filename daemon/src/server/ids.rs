//! Ids of requests: an answer and the log line of its cause carry the same.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::crypto;

/// Gives each request an id of its own, also across restarts. Ids are random: from the ids of two answers nobody learns
/// what was asked between them, by others too.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// Ids that are written already: many at once, so that most requests only take a part of what is there.
    written: Mutex<Bytes>,
}

impl Ids {
    pub(super) fn next(&self) -> RequestId {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_empty() {
            // Without randomness they are all the same, which says nothing either.
            let random = crypto::random().unwrap_or([0; AT_ONCE * RequestId::LENGTH / 2]);
            *written = HEXLOWER.encode(&random).into();
        }
        RequestId(written.split_to(RequestId::LENGTH))
    }
}

/// How many are written at once.
const AT_ONCE: usize = 64;

/// The id of one request: 24 hexadecimal digits.
#[derive(Debug, Clone)]
pub(super) struct RequestId(Bytes);

impl RequestId {
    const LENGTH: usize = 24;

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_id_tells_nothing_of_the_next() {
        let ids = Ids::default();
        let many: Vec<String> = (0..3 * AT_ONCE).map(|_| ids.next().to_string()).collect();
        assert!(many.iter().all(|id| id.len() == 24 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
        for part in [0..12, 12..24] {
            let parts: Vec<u64> =
                many.iter().map(|id| u64::from_str_radix(&id[part.clone()], 16).unwrap()).collect();
            assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len(), "a part stays the same");
            let steps: BTreeSet<u64> = parts.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
            assert_eq!(steps.len(), parts.len() - 1, "a part is counted");
        }
    }
}
