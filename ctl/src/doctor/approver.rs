//! The desktop's approver, where it is to start with the session: whether it can show an ask and take a passphrase. It looks by
//! itself (`secretctl-approve --check`): it alone knows what it needs of a desktop.

use std::fs;

use super::process;
use super::report::Report;
use super::setup::Setup;

/// The link that starts it with a graphical session.
const ENABLED: &str = "graphical-session.target.wants/secretsd-approve.service";

pub(super) fn check(report: &mut Report, setup: &Setup) {
    let is_enabled = |dir: &std::path::PathBuf| fs::symlink_metadata(dir.join(ENABLED)).is_ok();
    if !setup.unit_dirs.iter().any(is_enabled) {
        return;
    }
    let why =
        "asks for guarded secrets are not shown on the desktop; answer them with: secretctl approve --watch";
    let Some(program) = &setup.approver else {
        let what = "secretctl-approve is neither next to secretctl nor in PATH";
        return report.warning("approver", what, why, Some("make install".to_owned()));
    };
    match process::says(program, &["--check"]) {
        Some((true, _)) => report.ok("approver", "asks for guarded secrets can be shown and answered here"),
        Some((false, said)) => {
            let said = said.trim_start_matches("secretctl approve --agent: ").to_owned();
            report.warning("approver", said, why, None);
        }
        None => {
            let what = format!("{} does not tell what it finds", program.display());
            report.warning("approver", what, why, None);
        }
    }
}
