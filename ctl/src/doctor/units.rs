//! systemd's units for the daemon: whether they are installed, lead to the program that is, and are in effect.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::process;
use super::report::{Report, quoted};
use super::setup::{SERVICE, SOCKET, Setup, find_unit};
use crate::environment;

/// Those that come with the socket, and what is missing without them.
const BESIDE: [(&str, &str); 2] = [
    (
        "secretsd-credentials.socket",
        "a unit that loads a secret fails to start while the daemon does not run",
    ),
    ("secretsd-use.socket", "a program under `proxy run` gets no values while the daemon restarts"),
];

pub(super) fn check(report: &mut Report, setup: &Setup) {
    capabilities(report);
    let dirs = &setup.unit_dirs;
    if dirs.is_empty() {
        return report.ok("units", "there is no systemd; secretctl starts the daemon itself");
    }
    let (service, socket) = (find_unit(dirs, SERVICE), find_unit(dirs, SOCKET));
    if service.is_none() && socket.is_none() {
        return report.ok("units", "no units are installed; secretctl starts the daemon itself");
    }
    if service.is_none() || socket.is_none() {
        let missing = if service.is_none() { SERVICE } else { SOCKET };
        let what = format!("unit {missing} is missing");
        return report.fault(
            "units",
            what,
            "systemd cannot start the daemon",
            Some("make install".to_owned()),
        );
    }
    let before = report.len();
    for (name, why) in BESIDE.into_iter().filter(|(name, _)| find_unit(dirs, name).is_none()) {
        report.warning("units", format!("{name} is missing"), why, Some("make install".to_owned()));
    }
    if let Some(service) = service {
        program(report, setup, &service);
    }
    let wanted = Path::new("sockets.target.wants").join(SOCKET);
    if !dirs.iter().any(|dir| fs::symlink_metadata(dir.join(&wanted)).is_ok()) {
        let why = "the daemon will not start after the next login, as secretctl leaves that to systemd";
        let fix = Some(format!("systemctl --user enable --now {SOCKET}"));
        report.warning("units", format!("{SOCKET} is installed and not enabled"), why, fix);
    }
    let reload = ["--user", "show", "--property=NeedDaemonReload", "--value", SERVICE];
    if process::says(Path::new("systemctl"), &reload).is_some_and(|(fine, text)| fine && text == "yes") {
        let what = "the units on disk differ from those that systemd has loaded";
        let fix = Some("systemctl --user daemon-reload".to_owned());
        report.warning("units", what, "the changes are not in effect", fix);
    }
    if report.len() == before {
        report.ok("units", format!("the units are installed and enabled{}", drop_ins_shown(dirs)));
    }
}

fn program(report: &mut Report, setup: &Setup, service: &Path) {
    let lines = drop_ins(&setup.unit_dirs).into_values().map(fs::read_to_string);
    let texts = std::iter::once(fs::read_to_string(service)).chain(lines).flatten();
    let Some(program) = started(&texts.collect::<Vec<_>>().join("\n")) else {
        let what = format!("{} starts no program", service.display());
        return report.fault("units", what, "systemd cannot start the daemon", fix_for(setup));
    };
    let same = |a: &Path, b: &Path| match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    if !program.is_file() || access(&program, Access::EXEC_OK).is_err() {
        let what = format!("{} starts {}, which cannot be executed", service.display(), program.display());
        report.fault("units", what, "systemd cannot start the daemon", fix_for(setup));
    } else if let Some(own) = setup.program.as_ref().filter(|own| !same(own, &program)) {
        let what =
            format!("systemd starts {}, and secretctl would start {}", program.display(), own.display());
        report.warning("units", what, "one of them is not the one you installed last", fix_for(setup));
    }
}

/// What `ExecStart=` ends up with: the last one counts, and an empty one takes all before it away.
fn started(text: &str) -> Option<PathBuf> {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart="));
    let word = lines.next_back()?.split_whitespace().next()?;
    let word = word.trim_start_matches(['@', '-', ':', '+', '!', '"']).trim_end_matches('"');
    let home = environment::home()?;
    let path = word.strip_prefix("%h/").map_or_else(|| PathBuf::from(word), |rest| home.join(rest));
    path.is_absolute().then_some(path)
}

/// A drop-in that starts the program which secretctl would start; it leaves the unit itself alone.
fn fix_for(setup: &Setup) -> Option<String> {
    let program = setup.program.as_ref()?;
    let dir = environment::user_units()?.join("secretsd.service.d");
    let file = quoted(&dir.join("zz-program.conf"));
    Some(format!(
        "mkdir -p {} && printf '[Service]\\nExecStart=\\nExecStart=%s\\n' {} > {file}; systemctl --user daemon-reload",
        quoted(&dir),
        quoted(program),
    ))
}

/// Drop-ins by their names, as systemd reads them: of two of one name the first directory's counts.
fn drop_ins(dirs: &[PathBuf]) -> BTreeMap<OsString, PathBuf> {
    let mut found = BTreeMap::new();
    for dir in dirs.iter().rev() {
        let entries = fs::read_dir(dir.join("secretsd.service.d")).into_iter().flatten().flatten();
        let paths =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "conf"));
        found.extend(paths.filter_map(|path| Some((path.file_name()?.to_owned(), path))));
    }
    found
}

fn drop_ins_shown(dirs: &[PathBuf]) -> String {
    let paths: Vec<String> = drop_ins(dirs).into_values().map(|path| path.display().to_string()).collect();
    if paths.is_empty() { String::new() } else { format!("; changed by {}", paths.join(", ")) }
}

/// What this systemd does with credentials, which differs from version to version.
fn capabilities(report: &mut Report) {
    if !Path::new("/run/systemd/system").exists() {
        return report.ok("systemd", "systemd does not run here");
    }
    let Some((true, text)) = process::says(Path::new("systemctl"), &["--version"]) else { return };
    let Some(version) = version(&text) else { return };
    report.ok("systemd", format!("systemd {version}: {}", able(version)));
}

fn version(text: &str) -> Option<u32> {
    let word = text.strip_prefix("systemd ")?.split_whitespace().next()?;
    word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Encrypted credentials were seen to fail in user units on 252 and 257.
const fn able(version: u32) -> &'static str {
    match version {
        ..250 => "too old for credentials in user units; unlock by hand or with a key provider",
        250..254 => "LoadCredential= works in user units; ImportCredential= and encrypted ones do not",
        254..258 => {
            "LoadCredential= and ImportCredential= work in user units; for encrypted ones use systemd-creds decrypt --user as a key provider"
        }
        258.. => "LoadCredential=, ImportCredential= and LoadCredentialEncrypted= work in user units",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_that_of_the_last_line_that_counts() {
        let home = environment::home().unwrap();
        assert_eq!(
            started("[Service]\nExecStart=%h/.local/bin/secretsd -x\n"),
            Some(home.join(".local/bin/secretsd"))
        );
        assert_eq!(started("ExecStart=/a\nExecStart=\nExecStart=-/b c\n"), Some("/b".into()));
        assert_eq!(started("ExecStart=/a\nExecStart=\n"), None);
        assert_eq!(started("ExecStartPre=/a\n"), None);
    }

    #[test]
    fn the_version_is_read_as_distributions_write_it() {
        assert_eq!(version("systemd 252 (252.38-1~deb12u1)\n+PAM"), Some(252));
        assert_eq!(version("systemd 258~rc1 (x)"), Some(258));
        assert_eq!(version("other"), None);
    }
}
