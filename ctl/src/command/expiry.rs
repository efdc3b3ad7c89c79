//! When secrets stop working: what a user writes, and what to say when the time comes near.

use secrets_proto::Timestamp;

use super::audit::seconds;
use crate::clock::Clock;
use crate::failure::{Exit, Failure};

/// From this long before a secret expires its owner is told.
const NOTICE: i64 = 14 * 86_400;

/// The most names in a notice.
const NAMED: usize = 5;

/// An RFC 3339 time, a date (its first moment in UTC), so long from `now`, or `never`.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    if text == "never" {
        return Ok(None);
    }
    let time = match seconds(text) {
        Some(seconds) => Ok(now.saturating_add_seconds(seconds)),
        None => Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z"))),
    };
    match time {
        Ok(time) if time > now => Ok(Some(time)),
        Ok(_) => Err(Failure::new(Exit::Invalid, "--expires must be in the future")),
        Err(_) => Err(Failure::new(
            Exit::Invalid,
            "--expires must be a time like 2026-04-15T12:00:00Z, a date like 2026-04-15, a duration like 90d, or never",
        )),
    }
}

/// A time to come as it is shown: the day is enough, unless that is near.
pub(super) fn shown(time: Timestamp) -> String {
    let text = Clock::of_stderr().shown(time);
    let is_near = time <= Timestamp::now().saturating_add_seconds(2 * 86_400);
    match text.split_once(['T', ' ']) {
        Some((day, _)) if !is_near => day.to_owned(),
        _ => text,
    }
}

/// What to say about secrets, by name and when each stops working, that have expired or will soon.
pub(super) fn notice<'a>(
    secrets: impl IntoIterator<Item = (&'a str, Option<Timestamp>)>,
    now: Timestamp,
    clock: &Clock,
) -> Option<String> {
    let soon = now.saturating_add_seconds(NOTICE);
    let mut due: Vec<(Timestamp, &str)> =
        secrets.into_iter().filter_map(|(name, expires)| Some((expires?, name))).collect();
    due.retain(|(time, _)| *time <= soon);
    due.sort_by_key(|(time, _)| *time);
    let named = due.iter().take(NAMED).map(|(time, name)| {
        let verb = if *time <= now { "expired" } else { "expires" };
        format!("{name} {verb} {}", clock.shown(*time))
    });
    let mut parts: Vec<String> = named.collect();
    if due.len() > NAMED {
        parts.push(format!("{} more expire soon", due.len() - NAMED));
    }
    let (_, first) = due.first()?;
    Some(format!("{}; replace with: secretctl set {first} --expires 90d", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    const NOW: &str = "2026-04-15T12:00:00Z";

    #[test]
    fn takes_times_dates_and_durations_to_come() {
        for (text, expected) in [
            ("90d", "2026-07-14T12:00:00Z"),
            ("2h", "2026-04-15T14:00:00Z"),
            ("2026-05-01", "2026-05-01T00:00:00Z"),
            ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00Z"),
        ] {
            assert_eq!(parse(text, time(NOW)).unwrap(), Some(time(expected)), "{text}");
        }
        assert_eq!(parse("never", time(NOW)).unwrap(), None);
        for bad in ["", "90", "soon", "-90d", "0d", "2026-04-15", "2026-13-01", "2020-01-01T00:00:00Z"] {
            assert_eq!(parse(bad, time(NOW)).unwrap_err().exit(), Exit::Invalid, "{bad}");
        }
    }

    #[test]
    fn names_what_expires_within_two_weeks_the_soonest_first() {
        let at = |name, expires| (name, Some(time(expires)));
        let now = time(NOW);
        assert_eq!(notice([("A", None), at("B", "2026-04-29T12:00:01Z")], now, &Clock::utc()), None);
        let text = notice(
            [at("A", "2026-04-29T12:00:00Z"), at("B", "2026-04-15T12:00:00Z"), ("C", None)],
            now,
            &Clock::utc(),
        );
        let text = text.unwrap();
        assert!(
            text.starts_with("B expired 2026-04-15T12:00:00Z, A expires 2026-04-29T12:00:00Z;"),
            "{text}"
        );
        let many = [at("N", "2026-04-16T00:00:00Z"); 8];
        assert!(notice(many, now, &Clock::utc()).unwrap().contains(", 3 more expire soon;"));
    }
}
