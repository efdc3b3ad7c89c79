//! Ids of requests: an answer and the log line of its cause carry the same.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto;

/// Gives each request an id of its own, also across restarts.
#[derive(Debug)]
pub(super) struct Ids {
    run: u32,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Result<Self, crypto::Error> {
        Ok(Self { run: u32::from_ne_bytes(crypto::random::<4>()?), next: AtomicU64::new(1) })
    }

    pub(super) fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; RequestId::LENGTH];
        // Written by hand: it is done for every request, and formatting is slow.
        let digits = (u128::from(self.run) << 64 | u128::from(count)).to_be_bytes();
        for (pair, byte) in text.chunks_exact_mut(2).zip(digits.iter().skip(4)) {
            for (place, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *place = if half < 10 { b'0' + half } else { b'a' + half - 10 };
            }
        }
        RequestId(text)
    }
}

/// The id of one request: 24 hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId([u8; Self::LENGTH]);

impl RequestId {
    const LENGTH: usize = 24;

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
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
        let ids = Ids { run: 0xa1, next: AtomicU64::new(0x1f) };
        assert_eq!(ids.next().as_str(), "000000a1000000000000001f");
        assert_eq!(ids.next().to_string(), "000000a10000000000000020");
    }
}
