//! Which of the names that lead to the daemon are gone and cannot be made again: `daemon` notes it, the vault's status
//! tells it. It knows neither.

use std::sync::{Mutex, PoisonError};

/// What is wrong with sockets and token, in words.
#[derive(Debug, Default)]
pub(crate) struct Lost(Mutex<Vec<String>>);

impl Lost {
    /// What is wrong now.
    pub(crate) fn seen(&self) -> Vec<String> {
        // A panic elsewhere cannot have left it half changed in a way that matters: it is only told.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this is wrong. Returns what was not before.
    pub(crate) fn note(&self, now: Vec<String>) -> Vec<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = now.iter().filter(|text| !seen.contains(text)).cloned().collect();
        *seen = now;
        new
    }
}
