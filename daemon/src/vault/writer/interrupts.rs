//! Whether somebody wants to lock the vault, for work that takes long.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vault::Error;

/// How many commands wait that go before everything else: a look at it costs nothing.
#[derive(Debug, Default)]
pub(in crate::vault) struct Interrupts(AtomicUsize);

impl Interrupts {
    /// One more.
    pub(in crate::vault) fn add(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// One less.
    pub(in crate::vault) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Whether there is one.
    pub(in crate::vault) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Between two parts of what takes long.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody wants to lock the vault: it will be.
    pub(in crate::vault) fn give_way(&self) -> Result<(), Error> {
        if self.any() { Err(Error::Locked) } else { Ok(()) }
    }
}
