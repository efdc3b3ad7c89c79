//! What is looked at: where things are, and what runs.

use std::path::{Path, PathBuf};

use secrets_client::Paths;
use secrets_local::lock::Noted;

use super::process::Daemon;
use super::report::Fix;
use crate::holder;

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
    /// The broker's, in the same way.
    pub(super) broker: Option<PathBuf>,
    /// The desktop's approver, in the same way.
    pub(super) approver: Option<PathBuf>,
    /// What serves the Secret Service, in the same way, and whether it is turned on.
    pub(super) bus: Option<PathBuf>,
    pub(super) serves_secrets: bool,
    pub(super) unit_dirs: Vec<PathBuf>,
    /// What the daemon that has the vault has written about itself.
    pub(super) holder: Option<Noted>,
    /// The daemon that has the vault, if it can be seen from here.
    pub(super) daemon: Option<Daemon>,
}

impl Setup {
    /// The socket that the daemon listens on which has the vault, if it is not ours.
    pub(super) fn elsewhere(&self) -> Option<&Path> {
        let socket = self.holder.as_ref()?.socket()?;
        (!holder::is_same_socket(socket, &self.paths.socket)).then_some(socket)
    }

    /// The daemon, if it is the one that our commands talk to as far as it is known: another one is not ours to end.
    pub(super) fn reached(&self) -> Option<&Daemon> {
        self.daemon.as_ref().filter(|_| self.elsewhere().is_none())
    }

    /// Starts the daemon's program as it is now.
    pub(super) fn restart(&self) -> Fix {
        if self.elsewhere().is_some() || self.holder.as_ref().is_some_and(Noted::is_elsewhere) {
            return None;
        }
        if find_unit(&self.unit_dirs, SERVICE).is_some() {
            return Some("systemctl --user restart secretsd.service".to_owned());
        }
        self.reached().map(|daemon| format!("kill {}", daemon.pid))
    }

    pub(super) fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// The first file of this name, which is the one that counts.
pub(super) fn find_unit(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists())
}
