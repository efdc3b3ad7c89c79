//! Ids of requests: an answer and the log line of its cause carry the same.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::crypto;

/// Gives each request an id of its own, also across restarts.
#[derive(Debug)]
pub(super) struct Ids {
    run: u32,
    written: Mutex<Written>,
}

/// Ids that are written already: many at once, so that most requests only take a part of what is there.
#[derive(Debug, Default)]
struct Written {
    ids: Bytes,
    /// The count in the next that is to be written.
    next: u64,
}

impl Ids {
    pub(super) fn new() -> Result<Self, crypto::Error> {
        Ok(Self::from(u32::from_ne_bytes(crypto::random::<4>()?), 1))
    }

    fn from(run: u32, next: u64) -> Self {
        Self { run, written: Mutex::new(Written { ids: Bytes::new(), next }) }
    }

    pub(super) fn next(&self) -> RequestId {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.ids.is_empty() {
            let counts = written.next..written.next.saturating_add(AT_ONCE);
            written.next = counts.end;
            written.ids = counts.flat_map(|count| digits(self.run, count)).collect();
        }
        let length = RequestId::LENGTH.min(written.ids.len());
        RequestId(written.ids.split_to(length))
    }
}

/// Formatting is slow for what is done for every request.
fn digits(run: u32, count: u64) -> [u8; RequestId::LENGTH] {
    let mut digits = [0; RequestId::LENGTH];
    let number = (u128::from(run) << 64 | u128::from(count)).to_be_bytes();
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(number.iter().skip(4)) {
        *pair = [byte >> 4, byte & 15].map(|half| half + if half < 10 { b'0' } else { b'a' - 10 });
    }
    digits
}

/// How many are written at once.
const AT_ONCE: u64 = 64;

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
