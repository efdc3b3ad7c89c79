//! The operations on `/credentials`.

use secrets_proto::SecretName;
use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList, UnitName};

use super::secrets::Done;
use crate::caller::Caller;
use crate::vault::{Error, Key, Vault};

/// `GET /credentials`
pub(crate) fn list(vault: &Vault, caller: &Caller, (): ()) -> Result<CredentialList, Error> {
    vault.grants(caller)
}

/// What a unit is to be allowed.
#[derive(Debug)]
pub(crate) struct Allow {
    /// Which unit and secrets.
    pub(crate) request: AllowCredentials,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
}

/// `POST /credentials`
pub(crate) async fn allow(vault: &Vault, caller: &Caller, new: Allow) -> Result<CredentialGrant, Error> {
    vault.allow(caller, new.request, new.proof).await
}

/// What is to be revoked: one secret of a unit, or all.
#[derive(Debug)]
pub(crate) struct Revoke {
    /// The unit.
    pub(crate) unit: UnitName,
    /// The secret.
    pub(crate) name: Option<SecretName>,
}

/// `DELETE /credentials`
pub(crate) async fn revoke(vault: &Vault, caller: &Caller, what: Revoke) -> Result<Done, Error> {
    vault.revoke(caller, what.unit, what.name).await.map(|()| Done)
}
