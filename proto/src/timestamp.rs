//! Points in time, as the wire writes them: RFC 3339, UTC, `Z`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};

/// A point in time in UTC, e.g. `2026-04-15T12:00:00Z`; a fraction of a second appears only where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Now, to the second: what records carry.
    pub fn now() -> Self {
        Self::truncated(jiff::Timestamp::now(), 1_000_000_000)
    }

    /// Now, to the millisecond: what the audit log carries.
    pub fn now_precise() -> Self {
        Self::truncated(jiff::Timestamp::now(), 1_000_000)
    }

    /// Reads an RFC 3339 time with any offset.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| {
            Invalid::new(
                FieldErrorType::DatetimeParsing,
                "expected an RFC 3339 time like 2026-04-15T12:00:00Z",
            )
        })
    }

    /// The time this many seconds after 1970, if the calendar reaches that far.
    pub fn from_second(second: i64) -> Option<Self> {
        jiff::Timestamp::from_second(second).ok().map(Self)
    }

    /// Seconds since 1970, rounded down.
    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }

    /// The time that is `seconds` later (earlier if negative), as far as the calendar reaches.
    pub fn saturating_add_seconds(self, seconds: i64) -> Self {
        let limit = if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(limit))
    }

    fn truncated(time: jiff::Timestamp, unit_ns: i128) -> Self {
        let ns = time.as_nanosecond();
        Self(jiff::Timestamp::from_nanosecond(ns - ns.rem_euclid(unit_ns)).unwrap_or(time))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_utc_with_z() {
        let time = Timestamp::parse("2026-04-15T14:00:00+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-04-15T12:00:00Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-04-15T12:00:00Z\"");
        assert_eq!(time.saturating_add_seconds(90).to_string(), "2026-04-15T12:01:30Z");
    }

    #[test]
    fn now_has_whole_seconds_and_malformed_text_is_refused() {
        assert_eq!(Timestamp::now().to_string().len(), "2026-04-15T12:00:00Z".len());
        for bad in ["", "2026-04-15", "yesterday", "2026-13-01T00:00:00Z"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }
}
