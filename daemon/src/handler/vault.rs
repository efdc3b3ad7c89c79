//! The operations on `/vault`.

use bytes::Bytes;
use secrets_proto::Uuid;
use secrets_proto::vault::{
    AddKeyReply, InitReply, KeyList, RotateReply, VaultStatus, VerifyReply, VerifyRequest,
};

use super::secrets::{ById, Done};
use crate::caller::Caller;
use crate::vault::{Error, Held, Key, Vault};

/// A key, for which a recovery key is made, too.
#[derive(Debug)]
pub(crate) struct WithRecovery {
    /// The key.
    pub(crate) key: Key,
    /// Whether the caller will confirm that the recovery key was shown.
    pub(crate) confirm: bool,
}

/// The key of a vault to be opened.
#[derive(Debug)]
pub(crate) struct Unlock(pub(crate) Key);

/// `GET /vault`
pub(crate) fn status(vault: &Vault, caller: &Caller, (): ()) -> Result<VaultStatus, Error> {
    vault.status(caller)
}

/// `POST /vault/init`
pub(crate) async fn init(vault: &Vault, caller: &Caller, new: WithRecovery) -> Result<InitReply, Error> {
    vault.init(caller, new.key, new.confirm).await
}

/// `POST /vault/unlock`
pub(crate) async fn unlock(
    vault: &Vault,
    caller: &Caller,
    Unlock(key): Unlock,
) -> Result<VaultStatus, Error> {
    vault.unlock(caller, key).await
}

/// A vault that was locked. Its caller is told only when memory is empty.
#[derive(Debug)]
pub(crate) struct Locked(pub(crate) VaultStatus);

/// `POST /vault/lock`
pub(crate) async fn lock(vault: &Vault, caller: &Caller, (): ()) -> Result<Locked, Error> {
    vault.lock(caller).await.map(Locked)
}

/// `POST /vault/verify`
pub(crate) async fn verify(
    vault: &Vault,
    caller: &Caller,
    request: VerifyRequest,
) -> Result<VerifyReply, Error> {
    vault.verify(caller, request).await
}

/// A copy of the vault.
#[derive(Debug)]
pub(crate) struct Copy(pub(crate) Bytes);

/// `GET /vault/backup`
pub(crate) async fn backup(vault: &Vault, caller: &Caller, (): ()) -> Result<Held<Copy>, Error> {
    vault.backup(caller).await.map(|Held { reply, permit }| Held { reply: Copy(reply), permit })
}

/// `GET /vault/keys`
pub(crate) async fn keys(vault: &Vault, caller: &Caller, (): ()) -> Result<KeyList, Error> {
    vault.keys(caller).await
}

/// A key to be added: `None` for a fresh recovery key.
#[derive(Debug)]
pub(crate) struct AddKey {
    /// The key.
    pub(crate) key: Option<Key>,
    /// The slot whose place it takes.
    pub(crate) replaces: Option<Uuid>,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
    /// Whether the caller will confirm that a fresh recovery key was shown.
    pub(crate) confirm: bool,
}

/// `POST /vault/keys`
pub(crate) async fn add_key(vault: &Vault, caller: &Caller, new: AddKey) -> Result<AddKeyReply, Error> {
    vault.add_key(caller, new.key, new.replaces, new.confirm, new.proof).await
}

/// `POST /vault/keys/{id}/confirm`
pub(crate) async fn confirm_key(vault: &Vault, caller: &Caller, by: ById) -> Result<Done, Error> {
    vault.confirm_key(caller, by.0).await.map(|()| Done)
}

/// A key to be removed.
#[derive(Debug)]
pub(crate) struct RemoveKey {
    /// Its slot.
    pub(crate) id: Uuid,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
}

/// `DELETE /vault/keys/{id}`
pub(crate) async fn remove_key(vault: &Vault, caller: &Caller, key: RemoveKey) -> Result<Done, Error> {
    vault.remove_key(caller, key.id, key.proof).await.map(|()| Done)
}

/// `POST /vault/rotate`
pub(crate) async fn rotate(vault: &Vault, caller: &Caller, new: WithRecovery) -> Result<RotateReply, Error> {
    vault.rotate(caller, new.key, new.confirm).await
}
