//! What is looked at: where things are, and what runs.

use std::path::PathBuf;

use secrets_client::Paths;

use super::process::Daemon;
use super::report::Fix;

/// The daemon's socket unit.
pub(super) const SOCKET: &str = "secretsd.socket";

/// The daemon's service.
pub(super) const SERVICE: &str = "secretsd.service";

/// What is looked at.
pub(super) struct Setup {
    pub(super) paths: Paths,
    pub(super) runtime_dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    /// The daemon's program, as one of our commands would start it.
    pub(super) program: Option<PathBuf>,
    pub(super) unit_dirs: Vec<PathBuf>,
    pub(super) daemon: Option<Daemon>,
}

impl Setup {
    /// Starts the daemon's program as it is now.
    pub(super) fn restart(&self) -> Fix {
        if find_unit(&self.unit_dirs, SERVICE).is_some() {
            return Some("systemctl --user restart secretsd.service".to_owned());
        }
        self.daemon.as_ref().map(|daemon| format!("kill {}", daemon.pid))
    }

    pub(super) fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// The first file of this name, which is the one that counts.
pub(super) fn find_unit(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists())
}
