//! Says that a restore has put a vault aside, to which what was just done does not reach.

use crate::{doctor, environment, holder, output, vault_file};

/// Names the files and how to remove them, after `what` of them. Where the daemon has its vault elsewhere, ours tell
/// nothing about it.
pub(super) fn remind(what: &str) {
    let Ok(data_dir) = environment::data_dir(None) else { return };
    let kept = vault_file::kept(&data_dir);
    if !kept.is_empty() && holder::of(&data_dir).is_some() {
        output::say(&format!(
            "{what} the vault kept at a restore; if you no longer need it: {}",
            doctor::removing(&kept)
        ));
    }
}
