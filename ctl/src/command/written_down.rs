//! Whether a recovery key that was just shown was written down: a person is asked for its last group.

use secrets_proto::SensitiveString;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{ending, prompt, unconfirmed};

/// How often a person may mistype.
const TRIES: usize = 3;

/// Whether a person gave back the last group of a recovery key, or there was nobody to ask: then it counts as written down.
/// Where none of the tries is right, that is told, and that `done` is done all the same.
///
/// # Errors
/// If the person gave up.
pub(super) fn is_shown_back(key: &SensitiveString, output: Output, done: &str) -> Result<bool, Failure> {
    if output.json || !output::stdout_is_terminal() || !prompt::can_ask() {
        return Ok(true);
    }
    // Who has pressed Ctrl-C meanwhile is asked nothing more.
    ending::release();
    let Some(last) = key.expose().rsplit('-').next().filter(|last| last.len() < key.expose().len()) else {
        return Ok(true);
    };
    let _alone = prompt::alone();
    for _ in 0..TRIES {
        let question = format!("its last group, the {} characters after the last dash: ", last.len());
        let typed = prompt::line(&question).map_err(|error| {
            error.into_failure(&format!("{done}, its recovery key is not confirmed"), "look at it above")
        })?;
        if typed.eq_ignore_ascii_case(last) {
            return Ok(true);
        }
        output::say("that is not its last group; try again");
    }
    let cure = unconfirmed::CURE;
    output::say(&format!("the recovery key is not confirmed; if you don't have it: {cure}"));
    Ok(false)
}
