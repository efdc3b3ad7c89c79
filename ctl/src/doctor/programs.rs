//! Both programs: which are installed, which run, and whether they belong together. And the daemon's settings,
//! which only the daemon's program can read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::process::{self, Daemon};
use super::report::{Fix, Report, quoted};
use super::service::Service;
use super::setup::Setup;
use crate::{environment, spawn};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// The programs that commands become.
const HELPERS: [&str; 4] = ["secretctl-mcp", "secretctl-scan", "secretctl-sync", "secretctl-ui"];

/// Less than the clocks can tell apart.
const SLACK: Duration = Duration::from_millis(20);

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    helpers(report);
    let install = || Some("make install".to_owned());
    let Some(program) = &setup.program else {
        let what = "secretsd is neither next to secretctl nor in PATH";
        report.fault("program", what, "commands cannot start it", install());
        return running(report, setup, service, None);
    };
    let version = process::says(program, &["--version"])
        .filter(|(fine, _)| *fine)
        .and_then(|(_, text)| text.strip_prefix("secretsd ").map(str::to_owned));
    let shown = program.display();
    match version.as_deref() {
        None => {
            let what = format!("{shown} does not print its version");
            report.fault("program", what, "it is broken, or something else", install());
        }
        Some(OWN) => report.ok("program", format!("{shown} and secretctl both have version {OWN}")),
        Some(other) => {
            let what = format!("{shown} has version {other}, secretctl {OWN}");
            report.fault("program", what, "they may not understand each other", install());
        }
    }
    running(report, setup, service, version.as_deref());
    // Another version may know other settings, or not how to check them.
    if version.as_deref() == Some(OWN) {
        settings(report, setup, program);
    }
}

/// What commands become, if it is of another version: what they tell it on its command line may mean something else there.
fn helpers(report: &mut Report) {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    for name in HELPERS {
        let Some(program) = spawn::find(name, beside, &environment::program_dirs()) else { continue };
        let version = process::says(&program, &["--version"]).filter(|(fine, _)| *fine);
        let version =
            version.and_then(|(_, text)| text.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        if version.as_deref() != Some(OWN) {
            let version = version.as_deref().unwrap_or("none that it prints");
            let what = format!("{} has version {version}, secretctl {OWN}", program.display());
            report.fault(
                "helper",
                what,
                "they may not understand each other",
                Some("make install".to_owned()),
            );
        }
    }
}

fn running(report: &mut Report, setup: &Setup, service: &Service, installed: Option<&str>) {
    let Some(status) = service.status() else { return };
    if status.version != OWN {
        let what = format!("the running daemon has version {}, secretctl {OWN}", status.version);
        let fix = if installed == Some(OWN) { setup.restart() } else { None };
        return report.fault("daemon", what, "they may not understand each other", fix);
    }
    if let Some(program) = replaced(setup) {
        let what = format!("{program} was replaced since the daemon started");
        let why = "fixes in the new one are not in effect yet";
        return report.warning("daemon", what, why, setup.restart());
    }
    report.ok("daemon", format!("the running daemon has version {}", status.version));
}

/// The program that the daemon runs, if its file is newer than the daemon.
fn replaced(setup: &Setup) -> Option<String> {
    let daemon = setup.daemon.as_ref()?;
    let program = daemon.program().or_else(|| setup.program.clone())?;
    let changed = fs::metadata(&program).ok()?;
    let seconds = Duration::from_secs(u64::try_from(changed.ctime()).ok()?);
    let nanoseconds = Duration::from_nanos(u64::try_from(changed.ctime_nsec()).ok()?);
    let changed = SystemTime::UNIX_EPOCH + seconds + nanoseconds;
    (changed > daemon.started()? + SLACK).then(|| program.display().to_string())
}

fn settings(report: &mut Report, setup: &Setup, program: &Path) {
    match process::says(program, &["--check-config"]) {
        Some((true, told)) => {
            let warnings: Vec<&str> =
                told.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
            if warnings.is_empty() {
                report.ok("settings", "the daemon's settings are correct");
            }
            if told.contains("note: system_manager is on")
                && setup.daemon.as_ref().is_some_and(Daemon::is_confined)
            {
                let what = "system_manager is on, and secretsd runs in a user namespace";
                let why = "root is nobody there, so no unit of the system gets a secret; the units' README has a drop-in that helps";
                report.warning("credentials", what, why, None);
            }
            for warning in warnings {
                report.warning("settings", warning, "the vault cannot be unlocked with it", None);
            }
        }
        Some((false, message)) => {
            let message = message.trim_start_matches("secretsd: ").to_owned();
            let fix = fix_for(&message);
            report.fault("settings", message, "the daemon does not start with them", fix);
        }
        None => {
            let what = "cannot check the daemon's settings";
            report.warning("settings", what, "a daemon with wrong settings does not start", None);
        }
    }
}

/// The daemon's words hold the line that is wrong, or the command that fixes the file.
fn fix_for(message: &str) -> Fix {
    if let Some((_, command)) = message.split_once("; run: ") {
        return Some(command.to_owned());
    }
    let path = environment::settings_file()?;
    let (_, rest) = message.split_once(": line ")?;
    let line: usize = rest.split(':').next()?.parse().ok()?;
    Some(format!("\"${{EDITOR:-vi}}\" +{line} {}", quoted(&path)))
}
