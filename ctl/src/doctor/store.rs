//! The store in which the machines of the vault meet, where that is no directory: whether it was reached, and what runs the
//! mover.

use std::path::Path;

use super::process;
use super::report::Report;
use super::setup::Setup;
use crate::mover;

const CHECK: &str = "store";

pub(super) fn check(report: &mut Report, setup: &Setup) {
    let status = match mover::status() {
        Ok(None) => return,
        Ok(Some(status)) => status,
        Err(failure) => {
            let why = "what is new on one machine does not come to the others";
            return report.fault(CHECK, failure.message(), why, None);
        }
    };
    let why = "what is new on one machine comes late to the others, or not at all";
    match status.failure() {
        Some(failure) => report.warning(CHECK, failure, why, Some("secretctl sync".to_owned())),
        None => report.ok(CHECK, status.line()),
    }
    let has_units = mover::UNITS.iter().all(|unit| setup.unit_dirs.iter().any(|dir| dir.join(unit).exists()));
    if !has_units {
        return;
    }
    let [timer, path] = mover::UNITS;
    let is_on = process::says(Path::new("systemctl"), &["--user", "is-enabled", timer, path]);
    match is_on {
        Some((true, _)) => report.ok(CHECK, "secretsd-sync.timer moves what is new by itself"),
        Some((false, _)) => report.warning(
            CHECK,
            "secretsd-sync.timer is not turned on",
            why,
            Some(format!("systemctl --user enable --now {timer} {path}")),
        ),
        // No user manager.
        None => {}
    }
}
