//! Points in time as a person at a terminal reads them: in the time of the place. What goes to a file or a pipe has them as
//! the API writes them, in UTC, so that it means the same wherever it is read.

use std::io::{self, IsTerminal};

use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrets_proto::Timestamp;

/// `2026-04-15 14:00`
const TO_THE_MINUTE: &str = "%Y-%m-%d %H:%M";

/// How times are written: in this zone, or none for UTC as the API has it.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Option<TimeZone>);

impl Clock {
    /// For answers: local if a person sees them.
    pub(crate) fn of_stdout() -> Self {
        Self(io::stdout().is_terminal().then(TimeZone::system))
    }

    /// For what a person reads wherever it goes: local.
    pub(crate) fn local() -> Self {
        Self(Some(TimeZone::system()))
    }

    /// For messages: local if a person sees them.
    pub(crate) fn of_stderr() -> Self {
        Self(io::stderr().is_terminal().then(TimeZone::system))
    }

    /// As the API writes them.
    #[cfg(test)]
    pub(crate) const fn utc() -> Self {
        Self(None)
    }

    /// In this zone.
    pub(crate) const fn in_zone(zone: TimeZone) -> Self {
        Self(Some(zone))
    }

    /// A time, to the minute where it is local.
    pub(crate) fn shown(&self, time: Timestamp) -> String {
        self.written(time, TO_THE_MINUTE)
    }

    /// A time, in this format of strftime(3) where it is local.
    pub(crate) fn written(&self, time: Timestamp, format: &str) -> String {
        let Some(zone) = &self.0 else { return time.to_string() };
        let instant = Instant::from_second(time.as_second()).unwrap_or(Instant::UNIX_EPOCH);
        instant.to_zoned_datetime(zone.clone()).strftime(format).to_string()
    }
}

/// The first moment of a date like `2026-04-15` in this zone.
pub(crate) fn first_moment_of(date: &str, zone: &TimeZone) -> Option<Timestamp> {
    // More than a date would be read, too, and its time left out.
    let date: Date = date.parse().ok().filter(|_| date.len() == "2026-04-15".len())?;
    Timestamp::from_second(date.to_zoned_datetime(zone.clone()).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_place() {
        let time = Timestamp::parse("2026-04-15T01:00:30Z").unwrap();
        let there = Clock::in_zone(TimeZone::fixed(jiff::tz::offset(-3)));
        assert_eq!(there.shown(time), "2026-04-14 22:00");
        assert_eq!(there.written(time, "%m-%d %H:%M:%S"), "04-14 22:00:30");
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        let midnight = first_moment_of("2026-04-15", &zone).unwrap();
        assert_eq!(midnight.to_string(), "2026-04-15T03:00:00Z");
        for bad in ["", "2026-04-31", "20260415", "2026-04-15T12:00", "yesterday.", "-004-04-15"] {
            assert_eq!(first_moment_of(bad, &zone), None, "{bad}");
        }
        assert_eq!(Clock(None).shown(time), "2026-04-15T01:00:30Z");
    }
}
