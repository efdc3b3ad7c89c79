//! Time as a limit needs it. The time that a program measures by itself (`Instant`) stands still while the machine
//! sleeps, and a virtual machine that is paused does not even notice; the wall clock can be put back. So a limit goes by
//! the clock that counts sleep and by the wall clock, whichever has gone further.

use std::ops::Add;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

pub use crate::peer::since_boot;

/// The wall clock may differ so much from the clock since boot before it counts as moved: it is read a moment later, and
/// is steered a little.
const DRIFT: Duration = Duration::from_secs(1);

/// A moment on a [`Clock`]. Two of the same clock can be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// How much later this is; zero if it is earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A clock that never runs back and misses nothing: it counts sleep, and what the wall clock leaps ahead.
#[derive(Debug)]
pub struct Clock(Mutex<Reading>);

#[derive(Debug)]
struct Reading {
    now: Moment,
    boot: Duration,
    wall: Duration,
}

impl Clock {
    /// Begins at the default [`Moment`].
    pub fn new() -> Self {
        Self(Mutex::new(Reading { now: Moment::default(), boot: since_boot(), wall: since_1970() }))
    }

    /// Now.
    pub fn now(&self) -> Moment {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: two threads must not take their readings in one order and use them in another.
        reading.go_on(since_boot(), since_1970())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Reading {
    fn go_on(&mut self, boot: Duration, wall: Duration) -> Moment {
        let (ran, moved) = (boot.saturating_sub(self.boot), wall.saturating_sub(self.wall));
        let passed = if moved > ran.saturating_add(DRIFT) { moved } else { ran };
        *self = Self { now: self.now + passed, boot, wall };
        self.now
    }
}

/// What the wall clock says, as the time since 1970; zero before that.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    #[test]
    fn the_clock_that_has_gone_further_counts_and_none_runs_back() {
        let at = Duration::from_secs;
        let mut reading = Reading { now: Moment::default(), boot: at(50), wall: at(1_000_000) };
        let mut after = |boot, wall| reading.go_on(at(boot), at(wall)).since(Moment::default()).as_secs();
        // Both went on, the machine slept or not.
        assert_eq!(after(60, 1_000_010), 10);
        // The wall clock is steered: that is no time of its own.
        assert_eq!(after(70, 1_000_021), 20);
        // A virtual machine was paused: the wall clock alone has moved.
        assert_eq!(after(71, 1_000_021 + HOUR), 20 + HOUR);
        // The wall clock was put back; the other goes on.
        assert_eq!(after(81, 1_000_000), 30 + HOUR);
        // It was set for the first time since the machine started.
        assert_eq!(after(82, 2_000_000), 30 + HOUR + 1_000_000);
        // A clock that runs back although it cannot.
        assert_eq!(after(0, 2_000_000), 30 + HOUR + 1_000_000);
    }

    #[test]
    fn a_clock_goes_on_by_itself() {
        let clock = Clock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second >= first && second.since(first) < Duration::from_secs(60));
        assert!(since_1970() > Duration::from_secs(1_700_000_000) && since_boot() > Duration::ZERO);
    }
}
