//! How a clock that has leapt is told, where the vault was opened and by `doctor`.

const DAY: u64 = 86_400;

/// Says that the clock is so many seconds ahead of the time at which it was seen before, or behind it if they are negative.
pub(crate) fn told(seconds: i64) -> String {
    let how = if seconds < 0 { "behind" } else { "ahead of" };
    format!(
        "the clock is {} days {how} where it was when the vault was last in use",
        (seconds.unsigned_abs() + DAY / 2) / DAY
    )
}

/// What that means.
pub(crate) const MEANS: &str =
    "set it if it is wrong; nothing is removed from the trash until it has run for a day";
