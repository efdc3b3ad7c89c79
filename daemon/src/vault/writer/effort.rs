//! How much one request may have the vault do: names times globs is a product of two numbers that callers choose. What it
//! comes to is counted, and given up when it is too much, when it takes too long, and when somebody wants to lock.

use std::time::{Duration, Instant};

use crate::vault::Error;

use super::interrupts::Interrupts;

/// The most names that a request may have compared with its globs: each takes up to a tenth of a microsecond.
const STEPS: u32 = 500_000;

/// How long it may take, however slow the machine is.
const DEADLINE: Duration = Duration::from_millis(500);

/// How many steps are taken between two looks at the clock and at who waits.
const STRIDE: u32 = 1_024;

/// What one request has used up of what it may.
pub(in crate::vault) struct Effort<'a> {
    interrupts: &'a Interrupts,
    start: Instant,
    steps: u32,
}

impl<'a> Effort<'a> {
    /// An effort that begins now.
    pub(in crate::vault) fn new(interrupts: &'a Interrupts) -> Self {
        Self { interrupts, start: Instant::now(), steps: 0 }
    }

    /// Counts a step.
    ///
    /// # Errors
    ///
    /// [`Error::TooMuchWork`] beyond the limits; [`Error::Locked`] when somebody wants to lock the vault: it will be.
    pub(in crate::vault) fn step(&mut self) -> Result<(), Error> {
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
    pub(in crate::vault) fn give_way(&self) -> Result<(), Error> {
        self.interrupts.give_way()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_steps_are_refused_and_a_lock_comes_first() {
        let interrupts = Interrupts::default();
        let mut effort = Effort::new(&interrupts);
        assert!((0..STEPS).all(|_| effort.step().is_ok()));
        assert!(matches!(effort.step(), Err(Error::TooMuchWork)));
        assert!(matches!(effort.step(), Err(Error::TooMuchWork)));
        let mut effort = Effort::new(&interrupts);
        interrupts.add();
        let outcome = (0..STRIDE).try_for_each(|_| effort.step());
        assert!(matches!(outcome, Err(Error::Locked)));
        interrupts.remove();
        assert!(effort.give_way().is_ok());
    }
}
