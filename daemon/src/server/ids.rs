//! Ids of requests: an answer and the log line of its cause carry the same.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::crypto;

/// Gives each request an id of its own, also across restarts.
#[derive(Debug)]
pub(super) struct Ids {
    written: Mutex<Written>,
}

/// Ids that are written already: many at once, so that most requests only take a part of what is there.
#[derive(Debug)]
struct Written {
    ids: Bytes,
    /// The next that is to be written.
    next: [u8; RequestId::LENGTH],
}

impl Ids {
    pub(super) fn new() -> Result<Self, crypto::Error> {
        Ok(Self::from(u32::from_ne_bytes(crypto::random::<4>()?), 1))
    }

    fn from(run: u32, count: u64) -> Self {
        let mut next = [b'0'; RequestId::LENGTH];
        next.iter_mut()
            .zip(format!("{run:08x}{count:016x}").bytes())
            .for_each(|(place, digit)| *place = digit);
        Self { written: Mutex::new(Written { ids: Bytes::new(), next }) }
    }

    pub(super) fn next(&self) -> RequestId {
        let Written { ids, next } = &mut *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.is_empty() {
            let mut many = Vec::with_capacity(AT_ONCE * RequestId::LENGTH);
            for _ in 0..AT_ONCE {
                many.extend_from_slice(next);
                count_up(next);
            }
            *ids = many.into();
        }
        RequestId(ids.split_to(RequestId::LENGTH.min(ids.len())))
    }
}

/// In hexadecimal digits.
fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = match *digit {
            b'9' => b'a',
            b'f' => b'0',
            other => other + 1,
        };
        if *digit != b'0' {
            break;
        }
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
    use super::*;

    #[test]
    fn ids_count_up_behind_the_number_of_the_run() {
        let ids = Ids::from(0xa1, 0x1f);
        assert_eq!(ids.next().as_str(), "000000a1000000000000001f");
        assert_eq!(ids.next().to_string(), "000000a10000000000000020");
        let later = (0..2 * AT_ONCE).map(|_| ids.next().to_string()).last();
        assert_eq!(later.as_deref(), Some("000000a100000000000000a0"));
    }
}
