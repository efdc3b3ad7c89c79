//! The operations on `/vault`.

use secrets_proto::vault::{InitReply, VaultStatus};

use crate::caller::Caller;
use crate::vault::{Error, Key, Vault};

/// The key of a vault to be made.
#[derive(Debug)]
pub(crate) struct Init(pub(crate) Key);

/// The key of a vault to be opened.
#[derive(Debug)]
pub(crate) struct Unlock(pub(crate) Key);

/// `GET /vault`
pub(crate) async fn status(vault: &Vault, caller: &Caller, (): ()) -> Result<VaultStatus, Error> {
    Ok(vault.status(caller))
}

/// `POST /vault/init`
pub(crate) async fn init(vault: &Vault, caller: &Caller, Init(key): Init) -> Result<InitReply, Error> {
    vault.init(caller, key).await
}

/// `POST /vault/unlock`
pub(crate) async fn unlock(
    vault: &Vault,
    caller: &Caller,
    Unlock(key): Unlock,
) -> Result<VaultStatus, Error> {
    vault.unlock(caller, key).await
}

/// `POST /vault/lock`
pub(crate) async fn lock(vault: &Vault, caller: &Caller, (): ()) -> Result<VaultStatus, Error> {
    vault.lock(caller).await
}
