//! The vault's file, before it is opened.

use std::path::Path;

use secrets_local::files;

use crate::store::{journal_of, log_of};
use crate::vault::Error;

/// The vault's file must be there, and it and the log beside it private.
pub(in crate::vault) fn check(path: &Path) -> Result<(), Error> {
    if !files::check_private_file(path)? {
        return Err(Error::Corrupt("the vault's file has disappeared"));
    }
    files::check_private_file(&log_of(path))?;
    // SQLite would play it into the file before anything is verified; a vault never has one.
    if files::check_private_file(&journal_of(path))? {
        return Err(Error::Corrupt("there is a foreign rollback journal next to it"));
    }
    Ok(())
}
