//! A socket that serves, and its name in the file system: whether the name still leads to it, and a new socket under that
//! name if not.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrets_local::files;

use super::{Bound, Error};
use crate::listening::Listening;
use crate::relaunch::{Origin, Socket};

/// Device and inode of a socket's file. They are no other file's while the socket is open, which keeps the inode.
pub(super) type Identity = (u64, u64);

/// A socket that peers can connect to, as long as its name leads to it.
#[derive(Debug)]
pub(crate) struct Standing {
    path: PathBuf,
    /// Whether we made its file, and not systemd.
    ours: bool,
    bound: Mutex<BoundTo>,
    listening: Arc<Listening>,
}

/// What it is bound to now.
#[derive(Debug)]
struct BoundTo {
    file: Option<Identity>,
    /// The socket once more, for the next image: when that is needed there may be no descriptor left.
    spare: OwnedFd,
}

impl Standing {
    /// A socket that listens, with the file that it was bound to. Needs a runtime.
    pub(super) fn new(
        socket: UnixListener,
        path: PathBuf,
        ours: bool,
        file: Option<Identity>,
    ) -> io::Result<Self> {
        let spare = socket.try_clone()?.into();
        let listening = Arc::new(Listening::on(tokio::net::UnixListener::from_std(socket)?));
        Ok(Self { path, ours, bound: Mutex::new(BoundTo { file, spare }), listening })
    }

    /// Where it is bound.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its connections come from.
    pub(crate) fn listening(&self) -> Arc<Listening> {
        Arc::clone(&self.listening)
    }

    /// Whether its name leads to it.
    pub(crate) fn is_in_place(&self) -> bool {
        let file = self.bound().file;
        file.is_some() && identity(&self.path) == file
    }

    /// Binds a new socket under the name. Its directory is made again if it is gone, and closed to others if it is ours.
    /// What somebody else has put there is left alone.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        if !self.ours {
            return Err(Error::NotOurs);
        }
        if let Some(parent) = self.path.parent() {
            files::close_dir(parent)?;
        }
        let bound = Bound::again(&self.path)?;
        let (socket, file) = bound.into_listener()?;
        let at = |error| Error::Io(self.path.clone(), error);
        let spare = socket.try_clone().map_err(at)?.into();
        self.listening.replace(tokio::net::UnixListener::from_std(socket).map_err(at)?);
        *self.bound() = BoundTo { file, spare };
        Ok(())
    }

    /// The socket, for the next image.
    pub(crate) fn into_handover(self) -> Socket {
        let origin = match (self.ours, self.is_in_place()) {
            (false, _) => Origin::Handed,
            (true, true) => Origin::Made,
            (true, false) => Origin::Gone,
        };
        Socket { listener: self.bound.into_inner().unwrap_or_else(PoisonError::into_inner).spare, origin }
    }

    /// Removes its file, if we made it and it is still the one that we made.
    pub(crate) fn remove(&self) {
        if self.ours && self.is_in_place() {
            // A file that stays behind is found stale by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn bound(&self) -> MutexGuard<'_, BoundTo> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the name leads to now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
