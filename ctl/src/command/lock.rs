//! `lock`: closes the vault.

use secrets_client::{Call, Method};

use crate::failure::Failure;
use crate::output;
use crate::session::Session;

pub(crate) fn run(session: &Session) -> Result<(), Failure> {
    session.call_as_is(&Call::new(Method::POST, "/vault/lock"))?;
    output::say("the vault is locked");
    Ok(())
}
