//! Recovery keys of which nobody has confirmed that they were shown: perhaps nobody has them, and no other one was made.

use secrets_proto::vault::KeyInfo;

use crate::clock::Clock;

/// What replaces one.
pub(crate) const CURE: &str = "secretctl key add --recovery";

/// Says that there are such keys, and what to do.
pub(crate) fn notice(keys: &[KeyInfo]) -> Option<String> {
    let clock = Clock::of_stderr();
    let added: Vec<String> =
        keys.iter().filter(|key| key.unconfirmed).map(|key| clock.shown(key.created_at)).collect();
    let which = match added.as_slice() {
        [] => return None,
        [one] => format!("the recovery key added {one}"),
        several => format!("{} recovery keys, added {},", several.len(), several.join(", ")),
    };
    Some(format!(
        "nobody has confirmed that {which} was written down; if you don't have it, replace it: {CURE}"
    ))
}
