//! What the vault's thread serves before everything else: a lock, and the end. Work that takes long looks here between its
//! parts, and gives up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::command::Command;

/// The queue before the queue.
#[derive(Default)]
pub(super) struct Urgent {
    commands: Mutex<VecDeque<Command>>,
    /// How many there are, for a look that costs nothing.
    waiting: AtomicUsize,
}

impl Urgent {
    /// Adds a command.
    pub(super) fn push(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.waiting.fetch_add(1, Ordering::Release);
    }

    /// The next command. The thread wipes and closes before it asks for another.
    pub(super) fn pop(&self) -> Option<Command> {
        if !self.is_waiting() {
            return None;
        }
        let command = self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if command.is_some() {
            self.waiting.fetch_sub(1, Ordering::Release);
        }
        command
    }

    /// Between two parts of what takes long.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody wants to lock the vault: it will be.
    pub(super) fn give_way(&self) -> Result<(), Error> {
        if self.is_waiting() { Err(Error::Locked) } else { Ok(()) }
    }

    /// Whether there is one.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}
