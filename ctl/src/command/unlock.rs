//! `unlock`: opens the vault with a passphrase, a key file or the recovery key.

use std::path::PathBuf;

use clap::Args;
use secrets_proto::vault::{UnlockRequest, VaultState};

use super::status::clock_notice;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{input, key_file, output, prompt};

/// Unlock the vault
#[derive(Debug, Args)]
#[command(after_help = "\
Asks for the passphrase, or with --recovery for the recovery key, without
showing it.

Example:
  secretctl unlock
  secretctl unlock --recovery
  secretctl unlock --key-file ~/.config/secretsd/key")]
#[group(multiple = false)]
pub(crate) struct UnlockArgs {
    /// Read the passphrase from this file (`-`: stdin), without a newline at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Unlock with this key file
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Ask for the recovery key instead of the passphrase
    #[arg(long)]
    pub(crate) recovery: bool,
    /// Read the recovery key from this file (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_key_file: Option<PathBuf>,
    /// Unlock with this key provider from the daemon's settings
    #[arg(long, value_name = "NAME")]
    pub(crate) key_provider: Option<String>,
    /// Unlock with the credential that systemd passes to the daemon
    #[arg(long)]
    pub(crate) credential: bool,
}

pub(crate) fn run(session: &Session, args: &UnlockArgs) -> Result<(), Failure> {
    let was_open = session.status()?.state == VaultState::Unlocked;
    if args.recovery {
        session.open_with_recovery_key()?;
    } else if let Some(request) = request(session, args)? {
        session.unlock(&request)?;
    } else {
        session.open_vault()?;
    }
    let status = session.status()?;
    if let Some(notice) = clock_notice(&status) {
        output::say(&notice);
    }
    if status.rolled_back {
        return Err(Failure::new(
            Exit::DaemonFailed,
            "vault unlocked, but ROLLBACK DETECTED: it is older than it was, and read-only; put the newer one back, or keep this one with: secretctl verify --accept-restore",
        ));
    }
    output::say(if was_open { "the vault was unlocked already" } else { "vault unlocked" });
    Ok(())
}

/// The request with the key that the flags name, if they do.
pub(super) fn request(session: &Session, args: &UnlockArgs) -> Result<Option<UnlockRequest>, Failure> {
    let mut request = UnlockRequest::default();
    if let Some(path) = &args.passphrase_file {
        request.passphrase = Some(input::key(path, "--passphrase-file")?);
    } else if let Some(path) = &args.key_file {
        request.key_file = Some(key_file::path(session.runtime_dir(), path)?.1);
    } else if let Some(path) = &args.recovery_key_file {
        request.recovery_key = Some(input::key(path, "--recovery-key-file")?);
    } else if args.recovery {
        let key = prompt::hidden("recovery key: ").map_err(|error| {
            error.into_failure("nothing was done", "name a file with --recovery-key-file")
        })?;
        request.recovery_key = Some(key);
    } else if args.key_provider.is_some() || args.credential {
        (request.key_provider, request.credential) = (args.key_provider.clone(), args.credential);
    } else {
        return Ok(None);
    }
    Ok(Some(request))
}
