//! Whether the wall clock can be believed where something would be destroyed by it. It is compared with the time that the
//! machine ran since it was last looked at: a clock that has gone on by days more has leapt, or the machine was off.
//! Nobody can tell these apart at once, so for a day of run time nothing is destroyed.
//!
//! What was seen last is in a file, as five numbers: the wall clock in seconds since 1970, the clock since boot, for how
//! many seconds nothing is to be destroyed yet, by how many seconds the clock had leapt, and the id of the boot.

use std::fs;

use crate::clock::{since_1970, since_boot};

const DAY: i64 = 86_400;

/// A clock that goes on by so much more than the machine ran is waited for.
const FAR: i64 = 2 * DAY;

/// And by so much more it is told: people are away for days, and what is kept is kept for a month.
const TOLD: i64 = 30 * DAY;

/// What the machine says of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    wall: i64,
    boot: i64,
    /// Which boot it is, by `boot_id` of random(4); 0 if that is not told.
    id: u128,
}

impl Times {
    /// Now.
    pub fn now() -> Self {
        let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let id = u128::from_str_radix(&id.trim().replace('-', ""), 16).unwrap_or(0);
        Self { wall: seconds(since_1970()), boot: seconds(since_boot()), id }
    }

    /// For how many seconds the machine ran since then, as far as that is known: after a restart it is not known how long
    /// it was on before.
    fn ran_since(self, before: Self) -> i64 {
        let is_same_boot =
            self.boot >= before.boot && (self.id == before.id || self.id == 0 || before.id == 0);
        if is_same_boot { self.boot - before.boot } else { self.boot }
    }
}

/// The times as they were seen, and what that says of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    times: Times,
    doubt: i64,
    leap: i64,
}

impl Sighting {
    /// The first. Nothing is known yet, so it is waited for a day.
    pub const fn first(times: Times) -> Self {
        Self { times, doubt: DAY, leap: 0 }
    }

    /// The sighting with its clock believed: for a new vault, in which there is nothing to destroy.
    #[must_use]
    pub const fn believed(self) -> Self {
        Self { doubt: 0, leap: 0, ..self }
    }

    /// The next, at these times.
    #[must_use]
    pub fn next(self, times: Times) -> Self {
        let ran = times.ran_since(self.times);
        let moved = times.wall.saturating_sub(self.times.wall);
        let leap = if moved < 0 { moved } else { moved - ran };
        let is_far = !(-DAY..=FAR).contains(&leap);
        // Who uses the machine for an hour a week would wait without end, if each week started from zero.
        if is_far && (self.doubt == 0 || leap.abs() > TOLD || leap < 0) {
            return Self { times, doubt: DAY, leap };
        }
        let doubt = (self.doubt - ran.min(moved.max(0))).max(0);
        Self { times, doubt, leap: if doubt == 0 { 0 } else { self.leap } }
    }

    /// Whether what is due by the wall clock may be destroyed.
    pub const fn may_destroy(self) -> bool {
        self.doubt == 0
    }

    /// By how many seconds the clock has leapt ahead, or was put back if that is negative; only as long as it may be wrong
    /// and far enough to be told.
    pub fn leapt(self) -> Option<i64> {
        (self.doubt > 0 && (self.leap > TOLD || self.leap < -DAY)).then_some(self.leap)
    }

    /// What is in the file.
    pub fn to_text(self) -> String {
        let Self { times: Times { wall, boot, id }, doubt, leap } = self;
        format!("{wall} {boot} {doubt} {leap} {id}\n")
    }

    /// What the file says; `None` if it is not of its form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
        let mut number = || numbers.next()?.parse::<i64>().ok();
        let (wall, boot, doubt, leap) = (number()?, number()?, number()?, number()?);
        let id = numbers.next()?.parse().ok()?;
        (numbers.next().is_none() && wall >= 0 && boot >= 0 && (0..=DAY).contains(&doubt)).then_some(Self {
            times: Times { wall, boot, id },
            doubt,
            leap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    /// After these steps of the wall clock and of the clock since boot.
    fn after(steps: &[(i64, i64)]) -> Sighting {
        let mut times = Times { wall: 1_800_000_000, boot: 1_000, id: 7 };
        let mut seen = Sighting::first(times).believed();
        for (moved, ran) in steps {
            times.wall += moved;
            // Less than nothing: it was started again, and ran for that long.
            (times.boot, times.id) =
                if *ran < 0 { (-ran, times.id + 1) } else { (times.boot + ran, times.id) };
            seen = seen.next(times);
            assert_eq!(Sighting::parse(seen.to_text().as_bytes()), Some(seen));
        }
        seen
    }

    #[test]
    fn a_clock_that_goes_on_with_the_machine_is_believed() {
        for steps in [
            &[(60, 60)][..],
            &[(400 * DAY, 400 * DAY)],
            // Switched off overnight, or set by the hour.
            &[(12 * HOUR, -60), (2 * HOUR, 10), (-2 * HOUR, 10)],
        ] {
            assert!(after(steps).may_destroy() && after(steps).leapt().is_none(), "{steps:?}");
        }
    }

    #[test]
    fn after_a_leap_it_takes_a_day_of_run_time() {
        let leap = (400 * DAY, 60);
        assert_eq!(after(&[leap]).leapt(), Some(400 * DAY - 60));
        for steps in [
            &[leap][..],
            &[leap, (HOUR, HOUR)],
            // The wall clock alone says that a day is over.
            &[leap, (DAY + 60, 60)],
            &[leap, (10 * DAY, 60), (10 * DAY, 60)],
            // The clock since boot alone does.
            &[leap, (60, DAY + 60)],
            &[leap, (400 * DAY, DAY - 60), (400 * DAY, DAY - 60)],
            &[leap, (-400 * DAY, 60)],
            &[leap, (-400 * DAY, 60), (HOUR, HOUR)],
            &[(400 * DAY, -60), (HOUR, -HOUR)],
            &[(-3 * DAY, 60)],
            &[(3 * DAY, -60)],
        ] {
            assert!(!after(steps).may_destroy(), "{steps:?}");
        }
        for steps in [
            &[leap, (DAY, DAY)][..],
            &[leap, (-400 * DAY, 60), (DAY, DAY)],
            &[leap, (9 * HOUR, 9 * HOUR), (DAY, -9 * HOUR), (DAY, -9 * HOUR)],
            // An hour a week.
            &[(7 * DAY, -HOUR); 25],
        ] {
            assert!(after(steps).may_destroy() && after(steps).leapt().is_none(), "{steps:?}");
        }
    }

    #[test]
    fn a_few_days_are_waited_for_and_not_told() {
        assert_eq!((after(&[(5 * DAY, -60)]).leapt(), after(&[(5 * DAY, -60)]).may_destroy()), (None, false));
        assert_eq!(after(&[(-3 * DAY, 60)]).leapt(), Some(-3 * DAY));
    }

    #[test]
    fn without_an_id_a_boot_is_known_by_its_clock_alone() {
        let at = |wall, boot, id| Times { wall, boot, id };
        let before = at(100, 1_000, 7);
        for (now, ran) in [
            (at(0, 1_500, 7), 500),
            (at(0, 1_500, 8), 1_500),
            (at(0, 1_500, 0), 500),
            (at(0, 500, 0), 500),
            (at(0, 500, 7), 500),
        ] {
            assert_eq!(now.ran_since(before), ran, "{now:?}");
        }
        assert!(Times::now().wall > 1_700_000_000 && Times::now().boot > 0);
    }

    #[test]
    fn what_is_no_sighting_is_not_taken_for_one() {
        for bad in [
            "",
            "1 2 3 4",
            "1 2 3 4 5 6",
            "1 2 -1 0 0",
            "1 2 90000 0 0",
            "-1 2 0 0 0",
            "a 2 0 0 0",
            "1 2 0 0 -1",
        ] {
            assert_eq!(Sighting::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
