//! The operations on `/use/sessions`.

use secrets_proto::session::{BeginSession, Session};

use super::secrets::{ById, Done};
use crate::caller::Caller;
use crate::vault::{Error, Vault};

/// A session that was begun.
#[derive(Debug)]
pub(crate) struct NewSession(pub(crate) Session);

/// `POST /use/sessions`
pub(crate) async fn begin(vault: &Vault, caller: &Caller, new: BeginSession) -> Result<NewSession, Error> {
    vault.begin_session(caller, new).await.map(NewSession)
}

/// `DELETE /use/sessions/{id}`
pub(crate) async fn end(vault: &Vault, caller: &Caller, by: ById) -> Result<Done, Error> {
    vault.end_session(caller, by.0).await.map(|()| Done)
}
