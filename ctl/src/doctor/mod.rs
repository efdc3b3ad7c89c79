//! What is wrong with a setup, and the command that mends it. Everything here looks and changes nothing: no
//! daemon is started, not by a connection to systemd's socket either, nobody is asked, and the vault may be
//! locked. A finding is a fault when something does not work or is open to others, a warning when it works
//! and could be better.

mod paths;
mod process;
mod programs;
mod service;
mod socket;
mod system;
mod units;
mod vault;

use std::path::{Path, PathBuf};

use secrets_client::Paths;
use secrets_local::places;
use serde::Serialize;

use crate::environment;
use crate::failure::Failure;
use crate::spawn;

use process::Daemon;
use service::Service;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, and could be better.
    Warning,
    /// Does not work, or is open to others.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in a word that stays the same.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) level: Level,
    /// What was found.
    pub(crate) what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<&'static str>,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.0.push(Finding { check, level: Level::Ok, what: what.into(), why: None, fix: None });
    }

    fn warning(&mut self, check: &'static str, what: impl Into<String>, why: &'static str, fix: Fix) {
        self.0.push(Finding { check, level: Level::Warning, what: what.into(), why: Some(why), fix });
    }

    fn fault(&mut self, check: &'static str, what: impl Into<String>, why: &'static str, fix: Fix) {
        self.0.push(Finding { check, level: Level::Fault, what: what.into(), why: Some(why), fix });
    }

    /// How many findings there are.
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A command for a shell; none where only a person can know what to do.
type Fix = Option<String>;

/// What is looked at.
struct Setup {
    paths: Paths,
    runtime_dir: PathBuf,
    data_dir: PathBuf,
    state_dir: PathBuf,
    /// The daemon's program, as one of our commands would start it.
    program: Option<PathBuf>,
    unit_dirs: Vec<PathBuf>,
    daemon: Option<Daemon>,
}

impl Setup {
    /// Starts the daemon's program as it is now.
    fn restart(&self) -> Fix {
        if units::find(&self.unit_dirs, units::SERVICE).is_some() {
            return Some("systemctl --user restart secretsd.service".to_owned());
        }
        self.daemon.as_ref().map(|daemon| format!("kill {}", daemon.pid))
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// The one finding where nobody knows where the daemon would be.
pub(crate) fn without_place(failure: &Failure) -> Vec<Finding> {
    let usual = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    let fix = usual.is_dir().then(|| format!("export XDG_RUNTIME_DIR={}", quoted(&usual)));
    let mut report = Report::default();
    let why = "no command finds the daemon, and no daemon has a place for its socket; log in so that systemd or elogind sets it";
    report.fault("runtime-dir", failure.message(), why, fix);
    report.0
}

/// Looks at everything.
pub(crate) fn examine(paths: Paths) -> Result<Vec<Finding>, Failure> {
    let data_dir = environment::data_dir(None)?;
    let own = std::env::current_exe().ok();
    let setup = Setup {
        runtime_dir: paths.socket.parent().map(Path::to_owned).unwrap_or_default(),
        state_dir: environment::state_dir().unwrap_or_default(),
        program: spawn::find(own.as_deref().and_then(Path::parent), &environment::program_dirs()),
        unit_dirs: environment::systemd_user_dirs(),
        daemon: Daemon::holding(&data_dir.join(places::LOCK)),
        data_dir,
        paths,
    };
    let mut report = Report::default();
    paths::check(&mut report, &setup);
    let service = Service::ask(&setup);
    socket::check(&mut report, &setup, &service);
    vault::check(&mut report, &setup, &service);
    programs::check(&mut report, &setup, &service);
    units::check(&mut report, &setup);
    system::check(&mut report, &setup, &service);
    Ok(report.0)
}

/// Whether a daemon that runs has the vault in this directory.
pub(crate) fn is_in_use(data_dir: &Path) -> bool {
    Daemon::holding(&data_dir.join(places::LOCK)).is_some()
}

/// The command that removes these files.
pub(crate) fn removing(paths: &[PathBuf]) -> String {
    let words: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    format!("rm {}", words.join(" "))
}

/// A path as a word for a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command that needs root.
fn as_root(command: &str) -> String {
    if Setup::is_root() { command.to_owned() } else { format!("sudo {command}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for path in ["/a/b-c.d", "/a b", "/it's", "/$(id)", "/a\"b", "/*", "/é"] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }
}
