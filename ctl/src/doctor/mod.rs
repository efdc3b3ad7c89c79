//! What is wrong with a setup, and the command that fixes it. Everything here looks and changes nothing: no
//! daemon is started, not by a connection to systemd's socket either, nobody is asked, and the vault may be
//! locked. A finding is a fault when something does not work or is open to others, a warning when it works
//! and could be better.

mod approver;
mod broker;
mod container;
mod fence;
mod helpers;
mod machines;
mod paths;
mod process;
mod programs;
mod report;
mod secret_service;
mod service;
mod setup;
mod socket;
mod store;
mod system;
mod units;
mod vault;

use std::path::{Path, PathBuf};

use secrets_client::Paths;

use crate::activation;
use crate::environment;
use crate::failure::Failure;
use crate::{holder, spawn};

use process::Daemon;
use report::{Report, quoted};
use service::Service;
use setup::Setup;

pub(crate) use report::{Finding, Level, removing};

/// The one finding where nobody knows where the daemon would be.
pub(crate) fn without_place(failure: &Failure) -> Vec<Finding> {
    let usual = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    let fix = usual.is_dir().then(|| format!("export XDG_RUNTIME_DIR={}", quoted(&usual)));
    let mut report = Report::default();
    let why = "commands cannot find the daemon, and the daemon has no directory for its socket; log in so that systemd or elogind sets it";
    report.fault("runtime-dir", failure.message(), why, fix);
    report.findings()
}

/// Looks at everything.
pub(crate) fn examine(paths: Paths) -> Result<Vec<Finding>, Failure> {
    let data_dir = environment::data_dir(None)?;
    let own = std::env::current_exe().ok();
    let find = |name| spawn::find(name, own.as_deref().and_then(Path::parent), &environment::program_dirs());
    let holder = holder::of(&data_dir);
    let setup = Setup {
        runtime_dir: paths.socket.parent().map(Path::to_owned).unwrap_or_default(),
        state_dir: environment::state_dir().unwrap_or_default(),
        program: find("secretsd"),
        broker: find("secretsd-broker"),
        approver: find("secretctl-approve"),
        bus: find(activation::PROGRAM),
        serves_secrets: activation::is_on(),
        unit_dirs: environment::systemd_user_dirs(),
        daemon: holder.as_ref().and_then(Daemon::of),
        holder,
        data_dir,
        paths,
    };
    let mut report = Report::default();
    paths::check(&mut report, &setup);
    let service = Service::ask(&setup);
    socket::check(&mut report, &setup, &service);
    vault::check(&mut report, &setup, &service);
    programs::check(&mut report, &setup, &service);
    machines::check(&mut report, &setup, &service);
    broker::check(&mut report, &setup);
    approver::check(&mut report, &setup);
    secret_service::check(&mut report, &setup);
    store::check(&mut report, &setup);
    container::check(&mut report, &setup);
    fence::check(&mut report);
    helpers::check(&mut report);
    units::check(&mut report, &setup);
    system::check(&mut report, &setup, &service);
    Ok(report.findings())
}
