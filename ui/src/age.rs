//! How long ago something was, or how soon it will be, in words short enough for a column.

use secrets_proto::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// A day of 24 hours.
pub(crate) const DAY: i64 = 24 * HOUR;

/// The time between two moments: `now`, `5 min`, `3 h`, `12 d`, `8 months`, `2 years`.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> String {
    let seconds = later.as_second().saturating_sub(earlier.as_second());
    let days = seconds / DAY;
    match seconds {
        ..MINUTE => "now".to_owned(),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ if days < 60 => format!("{days} d"),
        _ if days < 730 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

/// `in 3 d`, or `expired` when that has passed.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> String {
    if time <= now { "expired".to_owned() } else { format!("in {}", between(now, time)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let now = Timestamp::parse("2026-04-15T12:00:00Z").unwrap();
        for (seconds, text) in [
            (-5, "now"),
            (59, "now"),
            (60, "1 min"),
            (HOUR - 1, "59 min"),
            (HOUR, "1 h"),
            (DAY, "1 d"),
            (59 * DAY, "59 d"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(between(now.saturating_add_seconds(-seconds), now), text, "{seconds}");
        }
        assert_eq!(until(now, now), "expired");
        assert_eq!(until(now.saturating_add_seconds(3 * DAY), now), "in 3 d");
    }
}
