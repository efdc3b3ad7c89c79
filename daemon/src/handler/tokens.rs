//! The operations on `/tokens`.

use secrets_proto::token::{CreateToken, CreatedToken, TokenList};

use super::secrets::{ById, Done};
use crate::caller::Caller;
use crate::vault::{Error, Vault};

/// A token that was made.
#[derive(Debug)]
pub(crate) struct NewToken(pub(crate) CreatedToken);

/// `POST /tokens`
pub(crate) async fn create(vault: &Vault, caller: &Caller, new: CreateToken) -> Result<NewToken, Error> {
    vault.create_token(caller, new).await.map(NewToken)
}

/// `GET /tokens`
pub(crate) fn list(vault: &Vault, caller: &Caller, (): ()) -> Result<TokenList, Error> {
    vault.tokens(caller)
}

/// `DELETE /tokens/{id}`
pub(crate) async fn revoke(vault: &Vault, caller: &Caller, by: ById) -> Result<Done, Error> {
    vault.revoke_token(caller, by.0).await.map(|()| Done)
}
