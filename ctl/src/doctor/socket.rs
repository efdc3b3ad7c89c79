//! The sockets and the token beside them.

use std::fs;

use secrets_local::places::{self, LONGEST_SOCKET};
use secrets_proto::ErrorType;
use secrets_proto::vault::VaultState;

use super::paths::{Kind, private};
use super::report::{Report, quoted};
use super::service::Service;
use super::setup::Setup;
use crate::environment;
use secrets_client::token::{self, TokenSource};

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    socket(report, setup, service);
    for_units(report, setup, service);
    if setup.paths.token.is_access_token() {
        return access_token(report, setup, service);
    }
    token(report, setup, service);
    if environment::has_token() {
        let what = "SECRETSD_TOKEN is set in this shell";
        let why = "every program started here can read it and act in your name";
        report.warning("token-variable", what, why, Some("unset SECRETSD_TOKEN".to_owned()));
    }
}

fn socket(report: &mut Report, setup: &Setup, service: &Service) {
    let (check, path) = ("socket", &setup.paths.socket);
    let (shown, word) = (path.display(), quoted(path));
    let before = report.len();
    if path.as_os_str().len() > LONGEST_SOCKET {
        let what = format!("{shown} is longer than the {LONGEST_SOCKET} bytes that a socket's path may have");
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
                VaultState::Unlocked => "the vault is unlocked",
            };
            report.ok(check, format!("secretsd answers on {shown}; {state}"));
        }
        Service::Absent if setup.holder.is_some() => absent(report, setup),
        Service::Absent => report.ok(check, "secretsd is not running; the first command starts it"),
        Service::Waiting => {
            report.ok(check, format!("systemd listens on {shown} and starts secretsd when asked"))
        }
        Service::Stale => {
            let what = format!("{shown} is left over from a daemon that has ended");
            let why = "nobody listens there; the next daemon removes it, but other programs may fail";
            report.warning(check, what, why, Some(format!("rm {word}")));
            if setup.elsewhere().is_some() {
                absent(report, setup);
            }
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
            let fix = setup.reached().map(|daemon| format!("kill -KILL {}", daemon.pid));
            let what = format!("secretsd listens on {shown} and does not answer");
            report.fault(check, what, "every command waits for it", fix);
        }
        Service::Declined(_) => report.ok(check, format!("secretsd answers on {shown}")),
        Service::Stranger | Service::Unknown(_) if report_token_is_wrong(setup) => {}
        Service::Stranger => {}
        Service::Unknown(error) => {
            report.fault(
                check,
                format!("cannot talk to secretsd: {error}"),
                "no command works",
                setup.restart(),
            );
        }
    }
}

/// A daemon has the vault, and no command from here reaches it.
fn absent(report: &mut Report, setup: &Setup) {
    let (check, shown) = ("socket", setup.paths.socket.display());
    let Some(holder) = &setup.holder else { return };
    let what = format!("the vault is in use by secretsd{holder}");
    if holder.is_elsewhere() {
        let why =
            "no second daemon can use it; share that daemon's runtime directory, or stop it where it runs";
        return report.fault(check, what, why, None);
    }
    if let Some(socket) = setup.elsewhere() {
        let why = "commands here look for another socket, where nobody listens";
        let fix = format!("export SECRETSD_SOCKET={}", quoted(socket));
        return report.fault(check, what, why, Some(fix));
    }
    let what = format!("secretsd runs, and there is no socket {shown}");
    let why =
        "nobody reaches it; it binds its socket again within a second, and its log says why if it cannot";
    report.fault(check, what, why, setup.restart());
}

/// Whether the token's own check finds the reason.
fn report_token_is_wrong(setup: &Setup) -> bool {
    setup.paths.token.read().is_err()
}

/// The socket that units load secrets from. The settings, which only the daemon reads, may say that there is none.
fn for_units(report: &mut Report, setup: &Setup, service: &Service) {
    let (check, path) = ("credentials", setup.paths.socket.with_file_name(places::CREDENTIALS));
    let before = report.len();
    let exists = private(report, check, &path, Kind::Socket);
    if report.len() > before {
        return;
    }
    if exists && service.status().is_some() {
        report.ok(check, format!("units load secrets from {}", path.display()));
    } else if !exists && service.has_grants(setup) {
        let what = format!("units may load secrets, and there is no socket {}", path.display());
        let why = "they fail to start; it was removed, or [credentials] in the settings turns it off";
        report.warning(check, what, why, setup.restart());
    }
}

/// A token with less than all rights, which the daemon does not make for itself: restarting it fixes nothing.
fn access_token(report: &mut Report, setup: &Setup, service: &Service) {
    let check = "token";
    let (from, other) = match &setup.paths.token {
        TokenSource::Given(_) => ("SECRETSD_TOKEN".to_owned(), Some("unset SECRETSD_TOKEN".to_owned())),
        TokenSource::File(path) => {
            let is_named = environment::has_token_file();
            (path.display().to_string(), is_named.then(|| "unset SECRETSD_TOKEN_FILE".to_owned()))
        }
    };
    if let Err(error) = setup.paths.token.read() {
        return report.fault(check, error.to_string(), "no command works with it", other);
    }
    let why = "every command is refused; the vault's owner can create another: secretctl token create";
    let refused = match service {
        Service::Stranger => ErrorType::AuthenticationError,
        Service::Declined(body) => body.kind,
        Service::Up(_)
        | Service::Absent
        | Service::Stale
        | Service::Waiting
        | Service::Foreign(_)
        | Service::Silent
        | Service::Unknown(_) => {
            let what = format!("using the access token in {from}, with its limited rights");
            return report.ok(check, what);
        }
    };
    if refused == ErrorType::AuthenticationError {
        let what = format!("the access token in {from} is unknown or revoked");
        report.fault(check, what, why, other);
    } else if refused == ErrorType::ExpiredTokenError {
        report.fault(check, format!("the access token in {from} has expired"), why, other);
    } else if refused == ErrorType::VaultLockedError {
        let what = format!("the access token in {from} cannot be checked while the vault is locked");
        let why = "every command is refused until the vault's owner unlocks it";
        let fix = "env -u SECRETSD_TOKEN -u SECRETSD_TOKEN_FILE secretctl unlock";
        report.warning(check, what, why, Some(fix.to_owned()));
    } else if let Service::Declined(body) = service {
        declined(report, &body.detail);
    }
}

fn declined(report: &mut Report, detail: &str) {
    report.warning("token", detail, "commands are refused until this is fixed", None);
}

fn token(report: &mut Report, setup: &Setup, service: &Service) {
    let check = "token";
    if let Service::Declined(body) = service {
        return declined(report, &body.detail);
    }
    let TokenSource::File(path) = &setup.paths.token else {
        let is_none = setup.paths.token.read().is_err();
        if is_none || matches!(service, Service::Stranger) {
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
        let what = format!("secretsd runs, and there is no token file {}", token::shown(path));
        report.fault(check, what, "commands cannot authenticate", setup.restart());
    } else if exists && !runs && setup.reached().is_none() {
        let what = format!("{shown} is left over from a daemon that has ended");
        let why = "it is no longer valid; programs that use it are refused";
        report.warning(check, what, why, Some(format!("rm {word}")));
    } else if matches!(service, Service::Stranger) {
        let what = format!("{shown} is not this daemon's token");
        let why = "somebody changed it; every command is refused";
        report.fault(check, what, why, setup.restart());
    } else if exists && fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        report.fault(check, format!("{shown} is empty"), "commands cannot authenticate", setup.restart());
    } else if exists {
        report.ok(check, format!("{shown} is yours alone"));
    }
}
