//! Ids of requests: an answer and the log line of its cause carry the same.

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

    pub(super) fn next(&self) -> String {
        format!("{:08x}-{:x}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
