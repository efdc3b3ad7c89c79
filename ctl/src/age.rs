//! How long ago something was, for people: what a time in UTC makes them compute.

use secrets_proto::Timestamp;

/// So long ago in one number: `now`, `5 min`, `3 h`, `12 d`, `8 months`, `2 years`. A time to come is now: a clock was put
/// back.
pub(crate) fn since(time: Timestamp, now: Timestamp) -> String {
    span(now.as_second() - time.as_second())
}

/// When something to come is: `in 3 d`, or `expired`.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> String {
    if time <= now {
        return "expired".to_owned();
    }
    let seconds = time.as_second() - now.as_second();
    // Days are rounded: what was set to 90 days is not said to have 89.
    let rounded = if seconds >= DAYS_FROM { seconds + 43_200 } else { seconds };
    match span(rounded).as_str() {
        "now" => "now".to_owned(),
        span => format!("in {span}"),
    }
}

/// From so many seconds on a span is told in days.
const DAYS_FROM: i64 = 172_800;

fn span(seconds: i64) -> String {
    let days = seconds / 86_400;
    match seconds {
        ..60 => "now".to_owned(),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..DAYS_FROM => format!("{} h", seconds / 3_600),
        _ if days < 100 => format!("{days} d"),
        // Months of 365.25 / 12 days.
        _ if days < 731 => format!("{} months", days * 400 / 12_175),
        _ => format!("{} years", days * 4 / 1_461),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_one_number() {
        const DAY: i64 = 86_400;
        for (seconds, text) in [
            (-5, "now"),
            (59, "now"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (47 * 3_600, "47 h"),
            (2 * DAY, "2 d"),
            (99 * DAY, "99 d"),
            (100 * DAY, "3 months"),
            (250 * DAY, "8 months"),
            (730 * DAY, "23 months"),
            (731 * DAY, "2 years"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
        let time = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(until(time(3 * DAY), time(0)), "in 3 d");
        assert_eq!(until(time(90 * DAY), time(2)), "in 90 d");
        assert_eq!(until(time(2 * DAY), time(1)), "in 47 h");
        assert_eq!(until(time(5), time(0)), "now");
        assert_eq!(until(time(5), time(5)), "expired");
        assert_eq!(since(time(0), time(7_200)), "2 h");
    }
}
