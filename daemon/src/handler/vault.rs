//! The operations on `/vault`.

use bytes::Bytes;
use secrets_proto::Uuid;
use secrets_proto::vault::{
    AddKeyReply, InitReply, KeyList, RotateReply, VaultStatus, VerifyReply, VerifyRequest,
};

use super::secrets::Done;
use crate::caller::Caller;
use crate::vault::{Error, Held, Key, Vault};

/// The key of a vault to be made.
#[derive(Debug)]
pub(crate) struct Init(pub(crate) Key);

/// The key of a vault to be opened.
#[derive(Debug)]
pub(crate) struct Unlock(pub(crate) Key);

/// `GET /vault`
pub(crate) fn status(vault: &Vault, caller: &Caller, (): ()) -> Result<VaultStatus, Error> {
    vault.status(caller)
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
}

/// `POST /vault/keys`
pub(crate) async fn add_key(vault: &Vault, caller: &Caller, new: AddKey) -> Result<AddKeyReply, Error> {
    vault.add_key(caller, new.key, new.replaces, new.proof).await
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

/// The key of a vault whose data key is to be replaced.
#[derive(Debug)]
pub(crate) struct Rotate(pub(crate) Key);

/// `POST /vault/rotate`
pub(crate) async fn rotate(
    vault: &Vault,
    caller: &Caller,
    Rotate(key): Rotate,
) -> Result<RotateReply, Error> {
    vault.rotate(caller, key).await
}
