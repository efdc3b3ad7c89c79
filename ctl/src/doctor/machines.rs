//! The other machines of the vault, if there are any: whether what they say can be had, and whether the clocks agree.

use std::path::Path;

use secrets_client::Call;
use secrets_proto::Timestamp;
use secrets_proto::fleet::FleetStatus;

use super::report::Report;
use super::service::Service;
use super::setup::Setup;

const CHECK: &str = "machines";

/// By how many seconds clocks may differ: beyond that the trash is not emptied.
const DAY: i64 = 86_400;

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    let Some(fleet) = service.open_vault::<FleetStatus>(setup, &Call::get("/fleet")) else { return };
    if !fleet.member {
        return;
    }
    let this = fleet.machines.iter().find(|machine| machine.this);
    if this.is_some_and(|machine| machine.removed) {
        let why = "it reads nothing that the others have written since; what is here stays";
        return report.warning(CHECK, "this machine was removed by another one", why, None);
    }
    let before = report.len();
    if fleet.machines.iter().any(|machine| machine.disputed) {
        let why = "nothing is exchanged until somebody says which of them is kept";
        let fix = Some("secretctl machine keep NAME".to_owned());
        report.fault(CHECK, "two machines have removed each other", why, fix);
    }
    if let Some(directory) = fleet.directory.as_deref().filter(|path| !Path::new(path).is_dir()) {
        let what = format!("the directory that the machines share is not there: {directory}");
        report.fault(CHECK, what, "nothing is exchanged with the other machines until it is back", None);
    }
    let ahead = fleet.heard.map_or(0, |heard| heard.as_second() - Timestamp::now().as_second());
    if ahead > DAY {
        let what = format!("the clock of this machine or of another one is wrong by {} days", ahead / DAY);
        report.warning(CHECK, what, "the trash is not emptied while they differ", None);
    }
    if !fleet.conflicts.is_empty() {
        let names: Vec<&str> = fleet.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
        let what = format!("several machines stored different values: {}", names.join(", "));
        let fix = Some("secretctl sync conflicts".to_owned());
        report.warning(CHECK, what, "the latest is used, and may not be the one you want", fix);
    }
    if report.len() == before {
        let count = fleet.machines.iter().filter(|machine| !machine.removed).count();
        let have = if count == 1 { "machine has" } else { "machines have" };
        report.ok(CHECK, format!("{count} {have} this vault; their store can be reached"));
    }
}
