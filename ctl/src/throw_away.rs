//! A throw-away vault: in the runtime directory, under a passphrase that nobody is told, for a CI's runner. As long as it is
//! there it is the user's vault for all programs (`secrets_local::places`); with the daemon that has it open its key is gone.

use std::fs;
use std::path::PathBuf;

use secrets_client::{Call, Method};
use secrets_local::{files, places};
use secrets_proto::vault::InitRequest;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{environment, holder, passphrase};

/// Its directory, for the user's programs from now on.
///
/// # Errors
/// There is a vault already, or a daemon runs.
pub(crate) fn place() -> Result<(), Failure> {
    let dir = dir()?;
    let conflict = |text: &str| Err(Failure::new(Exit::Conflict, text));
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
    files::private_dir(&dir).map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
    if environment::data_dir(None)?.starts_with(&dir) {
        return Ok(());
    }
    remove()?;
    conflict("SECRETSD_DATA_DIR says where the vault is; unset it for a throw-away one")
}

/// Makes the vault, and opens it.
pub(crate) fn make(session: &Session) -> Result<(), Failure> {
    let request = InitRequest { passphrase: Some(passphrase::make()?), ..InitRequest::default() };
    let call = Call::new(Method::POST, "/vault/init").json(&request)?;
    // Nobody needs its recovery key.
    session.call_slowly(&call, "making a throw-away vault…").map(drop)
}

/// Whether the user's vault is one.
pub(crate) fn is_used() -> bool {
    dir()
        .is_ok_and(|dir| dir.is_dir() && environment::data_dir(None).is_ok_and(|data| data.starts_with(&dir)))
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
