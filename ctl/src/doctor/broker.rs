//! The program that puts values into requests: whether it is there, belongs to this one, and finds what it needs. It looks
//! by itself (`secretsd-broker --check`): it alone knows where it looks for certificate authorities.

use secrets_proto::broker::Found;

use super::process;
use super::report::{Report, as_root};
use super::setup::Setup;
use crate::environment;

const OWN: &str = env!("CARGO_PKG_VERSION");

pub(super) fn check(report: &mut Report, setup: &Setup) {
    let install = || Some("make install".to_owned());
    let why = "`proxy run` cannot start it";
    let Some(program) = &setup.broker else {
        let what = "secretsd-broker is neither next to secretctl nor in PATH";
        return report.warning("broker", what, why, install());
    };
    let shown = program.display();
    let found = process::says(program, &["--check"])
        .filter(|(fine, _)| *fine)
        .and_then(|(_, text)| serde_json::from_str::<Found>(&text).ok());
    let Some(found) = found else {
        let what = format!("{shown} does not tell what it finds");
        return report.fault(
            "broker",
            what,
            "it is broken, of another version, or something else",
            install(),
        );
    };
    if found.version != OWN {
        let what = format!("{shown} has version {}, secretctl {OWN}", found.version);
        return report.fault("broker", what, "they may not understand each other", install());
    }
    report.ok("broker", format!("{shown} has version {OWN}, too"));
    authorities(report, found.authorities);
    match found.loopback {
        None => report.ok("loopback", "a program can reach its broker on 127.0.0.1, and no other user can"),
        Some(reason) => {
            let what = format!("a program cannot reach its broker on 127.0.0.1: {reason}");
            let why = "`proxy run` needs the interface lo, and a kernel that tells whose a connection is (sock_diag)";
            let fix = reason.contains("unreachable").then(|| as_root("ip link set lo up"));
            report.warning("loopback", what, why, fix);
        }
    }
}

fn authorities(report: &mut Report, count: usize) {
    let check = "authorities";
    let named = environment::names_authorities();
    if count > 0 {
        let from = if named { ", from SSL_CERT_FILE or SSL_CERT_DIR" } else { "" };
        let noun = if count == 1 { "authority" } else { "authorities" };
        let what = format!("hosts are checked against {count} certificate {noun}{from}");
        return report.ok(check, what);
    }
    let why = "`proxy run` does not start: no host could be trusted";
    if named {
        let what = "SSL_CERT_FILE and SSL_CERT_DIR lead to no certificate authority";
        return report.warning(check, what, why, Some("unset SSL_CERT_FILE SSL_CERT_DIR".to_owned()));
    }
    let what = "this machine has no certificate authorities";
    report.warning(check, what, why, Some(as_root("apt-get install ca-certificates")));
}
