//! A throw-away vault: in the runtime directory, under a passphrase that nobody is told, for a CI's runner. As long as it is
//! there it is the user's vault for all programs (`secrets_local::places`); with the daemon that has it open its key is gone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use secrets_local::{files, places};

use crate::failure::{Exit, Failure};
use crate::{environment, holder};

/// Held while one is made: what another command has begun to make must not be taken for what was left of an earlier one.
#[must_use]
pub(crate) struct Making {
    _lock: File,
}

/// Its directory, for the user's programs from now on.
///
/// # Errors
/// There is a vault already, or a daemon runs, or another command makes one now.
pub(crate) fn place() -> Result<Making, Failure> {
    let dir = dir()?;
    let conflict = |text: &str| Err(Failure::new(Exit::Conflict, text));
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Other, error.to_string());
    let runtime = files::private_dir(dir.parent().unwrap_or(&dir)).map_err(|error| failed(&error))?;
    let lock = File::open(runtime).map_err(|error| failed(&error))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return conflict("another command makes a throw-away vault now; wait until it is there");
    }
    if is_used() {
        if holder::of(&environment::data_dir(None)?).is_some() {
            return conflict("a throw-away vault is there already; end it with: secretctl stop");
        }
        remove()?;
    }
    let usual = environment::data_dir(None)?;
    if usual.join(places::VAULT).exists() {
        return conflict("there is a vault already; a throw-away one is for a machine without");
    }
    if holder::of(&usual).is_some() {
        return conflict("secretsd runs already; stop it first, with: secretctl stop");
    }
    files::private_dir(&dir).map_err(|error| failed(&error))?;
    if environment::data_dir(None)?.starts_with(&dir) {
        return Ok(Making { _lock: lock });
    }
    remove()?;
    conflict("SECRETSD_DATA_DIR says where the vault is; unset it for a throw-away one")
}

/// Whether the user's vault is one.
pub(crate) fn is_used() -> bool {
    dir()
        .is_ok_and(|dir| dir.is_dir() && environment::data_dir(None).is_ok_and(|data| data.starts_with(&dir)))
}

/// Refuses to put into one what is to be kept.
///
/// # Errors
/// The vault of the daemon whose socket is in this directory is one.
pub(crate) fn refuse(runtime: Option<&Path>) -> Result<(), Failure> {
    if !is_asked(runtime) {
        return Ok(());
    }
    Err(Failure::new(Exit::Conflict, "a throw-away vault is there; end it first, with: secretctl stop"))
}

/// Whether the vault of the daemon whose socket is in this directory is one.
pub(crate) fn is_asked(runtime: Option<&Path>) -> bool {
    is_used() && dir().is_ok_and(|dir| dir.parent() == runtime)
}

/// Removes it. Its daemon must have ended.
pub(crate) fn remove() -> Result<(), Failure> {
    fs::remove_dir_all(dir()?)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot remove the throw-away vault: {error}")))
}

fn dir() -> Result<PathBuf, Failure> {
    environment::throw_away_dir().ok_or_else(|| {
        Failure::new(Exit::NoDaemon, "XDG_RUNTIME_DIR is not set; a throw-away vault is made there")
    })
}
