//! `lock`: closes the vault.

use clap::Args;
use secrets_client::{Call, Method};

use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// Lock the vault and wipe its keys from memory
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl lock")]
pub(crate) struct LockArgs {}

pub(crate) fn run(session: &Session) -> Result<(), Failure> {
    session.call_as_is(&Call::new(Method::POST, "/vault/lock"))?;
    output::say("vault locked");
    Ok(())
}
