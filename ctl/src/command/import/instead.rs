//! What becomes of a file that programs go on reading, or that holds more than was imported.

use super::source::Source;
use crate::failure::{Exit, Failure};
use crate::output;

/// Why a file stays that was to be deleted.
pub(super) fn not_deletable(source: &Source, instead: &[String]) -> Failure {
    let file = source.shown().unwrap_or("the file");
    let text = if instead.is_empty() {
        format!("{file} holds more than would be imported; import it without --delete-source")
    } else {
        format!(
            "programs read {file}; import it without --delete-source, which prints what to put in its place"
        )
    };
    Failure::new(Exit::Usage, text)
}

/// What to do with a file that programs go on reading.
pub(super) fn say(source: &Source, instead: &[String]) {
    let file = source.shown().unwrap_or("the file");
    output::say(&format!("{file} still holds the values; put in their place:"));
    instead.iter().for_each(|line| output::say_more(&format!("  {line}")));
}
