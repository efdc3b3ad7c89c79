//! The socket and the token beside it.

use std::fs;

use secrets_proto::vault::VaultState;

use super::paths::{Kind, private};
use super::service::Service;
use super::{Report, Setup, quoted};
use crate::environment;
use crate::token::TokenSource;

/// The kernel's room for a socket's path.
const LONGEST: usize = 107;

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    socket(report, setup, service);
    token(report, setup, service);
    if environment::has_token() {
        let what = "SECRETSD_TOKEN is set in this shell";
        let why = "every program that is started from here can read it and ask in your name";
        report.warning("token-variable", what, why, Some("unset SECRETSD_TOKEN".to_owned()));
    }
}

fn socket(report: &mut Report, setup: &Setup, service: &Service) {
    let (check, path) = ("socket", &setup.paths.socket);
    let (shown, word) = (path.display(), quoted(path));
    let before = report.len();
    if path.as_os_str().len() > LONGEST {
        let what = format!("{shown} is longer than the {LONGEST} bytes that a socket's path may have");
        report.fault(check, what, "no daemon can listen there", None);
    }
    private(report, check, path, Kind::Socket);
    if report.len() > before {
        return;
    }
    match service {
        Service::Up(status) => {
            let state = match status.state {
                VaultState::Uninitialized => "there is no vault yet",
                VaultState::Locked => "the vault is locked",
                VaultState::Unlocked => "the vault is open",
            };
            report.ok(check, format!("secretsd answers on {shown}; {state}"));
        }
        Service::Absent if setup.daemon.is_some() => {
            let what = format!("secretsd runs, and there is no socket {shown}");
            let why = "it listens elsewhere, or its socket was removed; nobody reaches it";
            report.fault(check, what, why, setup.restart());
        }
        Service::Absent => report.ok(check, "secretsd does not run; the first command starts it"),
        Service::Waiting => {
            report.ok(check, format!("systemd listens on {shown} and starts secretsd when asked"))
        }
        Service::Stale => {
            let what = format!("{shown} is left from a daemon that is gone");
            let why = "nobody listens there; the next daemon removes it, other programs stumble over it";
            report.warning(check, what, why, Some(format!("rm {word}")));
        }
        Service::Foreign(uid) => {
            let what = format!("a process of uid {uid} listens on {shown}");
            report.fault(
                check,
                what,
                "it is not your daemon; nothing was sent to it",
                Some(format!("rm {word}")),
            );
        }
        Service::Silent => {
            let fix = setup.daemon.as_ref().map(|daemon| format!("kill -KILL {}", daemon.pid));
            let what = format!("secretsd listens on {shown} and does not answer");
            report.fault(check, what, "every command waits for it", fix);
        }
        Service::Stranger | Service::Unknown(_) if report_token_is_wrong(setup) => {}
        Service::Stranger => {}
        Service::Unknown(error) => {
            report.fault(
                check,
                format!("secretsd cannot be asked: {error}"),
                "no command works",
                setup.restart(),
            );
        }
    }
}

/// Whether the token's own check finds the reason.
fn report_token_is_wrong(setup: &Setup) -> bool {
    setup.paths.token.read().is_err()
}

fn token(report: &mut Report, setup: &Setup, service: &Service) {
    let check = "token";
    let TokenSource::File(path) = &setup.paths.token else {
        if matches!(service, Service::Stranger) {
            let why = "it is new at each start of the daemon, so that every command is refused";
            let fix = Some("unset SECRETSD_TOKEN".to_owned());
            report.fault(check, "the token in SECRETSD_TOKEN is not this daemon's", why, fix);
        }
        return;
    };
    let (shown, word) = (path.display(), quoted(path));
    let before = report.len();
    let exists = private(report, check, path, Kind::File);
    let runs = !matches!(service, Service::Absent | Service::Stale | Service::Waiting);
    if report.len() > before {
        return;
    }
    if !exists && runs && !matches!(service, Service::Foreign(_)) {
        let what = format!("secretsd runs, and there is no token file {shown}");
        report.fault(check, what, "no command can prove that it may ask", setup.restart());
    } else if exists && !runs && setup.daemon.is_none() {
        let what = format!("{shown} is left from a daemon that is gone");
        let why = "it opens nothing any more; other programs would send it in vain";
        report.warning(check, what, why, Some(format!("rm {word}")));
    } else if matches!(service, Service::Stranger) {
        let what = format!("{shown} is not this daemon's token");
        let why = "somebody changed it; every command is refused";
        report.fault(check, what, why, setup.restart());
    } else if exists && fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        report.fault(
            check,
            format!("{shown} is empty"),
            "no command can prove that it may ask",
            setup.restart(),
        );
    } else if exists {
        report.ok(check, format!("{shown} is yours alone"));
    }
}
