//! How much one request may have the vault do: names times globs is a product of two numbers that callers choose. What it
//! comes to is counted, and given up when it is too much, when it takes too long, and when somebody wants to lock.

use std::time::{Duration, Instant};

use super::Error;
use super::urgent::Urgent;

/// The most names that a request may have compared with its globs: each takes up to a tenth of a microsecond.
const STEPS: u32 = 500_000;

/// How long it may take, however slow the machine is.
const DEADLINE: Duration = Duration::from_millis(500);

/// How many steps are taken between two looks at the clock and at who waits.
const STRIDE: u32 = 1_024;

/// What one request has used up of what it may.
pub(super) struct Effort<'a> {
    urgent: &'a Urgent,
    start: Instant,
    steps: u32,
}

impl<'a> Effort<'a> {
    /// Nothing yet.
    pub(super) fn new(urgent: &'a Urgent) -> Self {
        Self { urgent, start: Instant::now(), steps: 0 }
    }

    /// Counts a step.
    ///
    /// # Errors
    ///
    /// [`Error::TooMuchWork`] beyond the limits; [`Error::Locked`] when somebody wants to lock the vault: it will be.
    pub(super) fn step(&mut self) -> Result<(), Error> {
        if self.steps >= STEPS {
            return Err(Error::TooMuchWork);
        }
        self.steps += 1;
        if !self.steps.is_multiple_of(STRIDE) {
            return Ok(());
        }
        if self.start.elapsed() > DEADLINE {
            return Err(Error::TooMuchWork);
        }
        self.give_way()
    }

    /// Between two parts of what takes long: [`Error::Locked`] if somebody wants to lock the vault.
    pub(super) fn give_way(&self) -> Result<(), Error> {
        self.urgent.give_way()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::command::Command;

    #[test]
    fn too_many_steps_are_refused_and_a_lock_comes_first() {
        let urgent = Urgent::default();
        let mut effort = Effort::new(&urgent);
        assert!((0..STEPS).all(|_| effort.step().is_ok()));
        assert!(matches!(effort.step(), Err(Error::TooMuchWork)));
        assert!(matches!(effort.step(), Err(Error::TooMuchWork)));
        let mut effort = Effort::new(&urgent);
        urgent.push(Command::Wake);
        let outcome = (0..STRIDE).try_for_each(|_| effort.step());
        assert!(matches!(outcome, Err(Error::Locked)));
        assert!(urgent.pop().is_some() && urgent.pop().is_none());
        assert!(effort.give_way().is_ok());
    }
}
