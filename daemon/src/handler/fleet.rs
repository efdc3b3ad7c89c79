//! The operations on `/fleet`.

use std::path::PathBuf;

use secrets_fleet::MachineId;
use secrets_proto::Uuid;
use secrets_proto::fleet::{BeginFleet, FleetMerge, FleetStatus, Invitation, JoinFleet, MachineRemoved};

use super::secrets::ById;
use crate::caller::Caller;
use crate::vault::{Error, Key, Vault};

/// A fleet, or an invitation, that was made.
#[derive(Debug)]
pub(crate) struct Made<T>(pub(crate) T);

/// An answer to whether the words are the same.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) id: Uuid,
    pub(crate) accept: bool,
    pub(crate) proof: Option<Key>,
}

/// `GET /fleet`
pub(crate) fn get(vault: &Vault, caller: &Caller, (): ()) -> Result<FleetStatus, Error> {
    vault.fleet(caller)
}

/// `POST /fleet`
pub(crate) async fn begin(
    vault: &Vault,
    caller: &Caller,
    new: BeginFleet,
) -> Result<Made<FleetStatus>, Error> {
    let BeginFleet { name, directory } = new;
    vault.begin_fleet(caller, name.into(), PathBuf::from(directory)).await.map(Made)
}

/// `POST /fleet/merge`
pub(crate) async fn merge(vault: &Vault, caller: &Caller, (): ()) -> Result<FleetMerge, Error> {
    vault.merge_fleet(caller).await
}

/// `POST /fleet/invitations`
pub(crate) async fn invite(vault: &Vault, caller: &Caller, (): ()) -> Result<Made<Invitation>, Error> {
    vault.invite_machine(caller).await.map(Made)
}

/// `GET /fleet/invitations/{id}`
pub(crate) async fn invitation(vault: &Vault, caller: &Caller, by: ById) -> Result<Invitation, Error> {
    vault.invitation(caller, by.0).await
}

/// `POST /fleet/invitations/{id}`
pub(crate) async fn confirm(vault: &Vault, caller: &Caller, answer: Confirm) -> Result<Invitation, Error> {
    vault.confirm_invitation(caller, answer.id, answer.accept, answer.proof).await
}

/// `POST /fleet/join`
pub(crate) async fn join(vault: &Vault, caller: &Caller, join: JoinFleet) -> Result<Made<Invitation>, Error> {
    let JoinFleet { code, name, directory } = join;
    vault.join_fleet(caller, code, name.into(), PathBuf::from(directory)).await.map(Made)
}

/// `DELETE /fleet/machines/{id}`
pub(crate) async fn remove(vault: &Vault, caller: &Caller, by: ById) -> Result<MachineRemoved, Error> {
    let (machine, _) = by.0.as_u64_pair();
    let secrets = vault.remove_machine(caller, MachineId(machine.to_be_bytes())).await?;
    Ok(MachineRemoved { secrets })
}
