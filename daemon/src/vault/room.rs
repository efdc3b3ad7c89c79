//! Memory for answers that are made for one caller alone and need not be read: what the owner's take together is bounded,
//! and so is what all tokens' take, so that these keep nothing from the owner.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Caller;

/// The unit that is counted. What is shorter takes no room.
const KIB_64: usize = 64 << 10;

/// How much there is for the owner, in units: 24 MiB.
const OWNERS: usize = 384;

/// How much there is for all tokens, in units: 16 MiB.
const TOKENS: usize = 256;

/// The room there is.
pub(super) struct Room {
    owners: Arc<Semaphore>,
    tokens: Arc<Semaphore>,
}

impl Room {
    /// All of it free.
    pub(super) fn new() -> Self {
        Self { owners: Arc::new(Semaphore::new(OWNERS)), tokens: Arc::new(Semaphore::new(TOKENS)) }
    }

    /// Waits for room for an answer of so many bytes, which is free again when the result is dropped. One that is longer
    /// than all there is takes all. `None` if it needs none.
    pub(super) async fn take(&self, caller: &Caller, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let (room, most) = if caller.is_master() { (&self.owners, OWNERS) } else { (&self.tokens, TOKENS) };
        let units = u32::try_from((bytes / KIB_64).min(most)).unwrap_or(0);
        if units == 0 { None } else { Arc::clone(room).acquire_many_owned(units).await.ok() }
    }
}
