//! The Secret Service, where it is turned on: whether the program that serves it is there, and has the name.

use super::process;
use super::report::Report;
use super::setup::Setup;

pub(super) fn check(report: &mut Report, setup: &Setup) {
    if !setup.serves_secrets {
        return;
    }
    const CHECK: &str = "secret-service";
    let why =
        "programs that keep their passwords in the Secret Service do not find what they stored in the vault";
    let Some(program) = &setup.bus else {
        let what = "secretsd-bus is neither next to secretctl nor in PATH";
        return report.warning(CHECK, what, why, Some("make install".to_owned()));
    };
    match process::says(program, &["--holder"]) {
        Some((true, holder)) if holder.trim().is_empty() => {
            report.ok(CHECK, "it is on, and starts when a program asks for it");
        }
        Some((true, holder)) if holder.contains("secretsd-bus (pid ") => {
            report.ok(CHECK, "the vault serves org.freedesktop.secrets");
        }
        Some((true, holder)) => {
            let what = format!("it is on, but {} has org.freedesktop.secrets", holder.trim());
            report.warning(CHECK, what, why, None);
        }
        Some((false, said)) => {
            report.warning(CHECK, said.trim_start_matches("secretsd-bus: ").to_owned(), why, None);
        }
        None => {
            let what = format!("{} does not tell who has org.freedesktop.secrets", program.display());
            report.warning(CHECK, what, why, None);
        }
    }
}
