//! What the vault's thread serves before everything else: a lock, and the end. Work that takes long looks here between its
//! parts, and gives up.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::command::Command;
use super::interrupts::Interrupts;

/// The queue before the queue.
#[derive(Default)]
pub(in crate::vault) struct Urgent {
    commands: Mutex<VecDeque<Command>>,
    interrupts: Interrupts,
}

impl Urgent {
    /// Adds a command.
    pub(in crate::vault) fn push(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.interrupts.add();
    }

    /// The next command. The thread wipes and closes before it asks for another.
    pub(in crate::vault) fn pop(&self) -> Option<Command> {
        if !self.interrupts.any() {
            return None;
        }
        let command = self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if command.is_some() {
            self.interrupts.remove();
        }
        command
    }

    /// How many there are, for work that takes long.
    pub(in crate::vault) const fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }
}
