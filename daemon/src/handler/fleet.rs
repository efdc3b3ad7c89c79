//! The operations on `/fleet`.

use std::path::PathBuf;

use secrets_fleet::MachineId;
use secrets_fleet::filter::List;
use secrets_proto::fleet::{
    BeginFleet, ConflictList, FilterList, FleetMerge, FleetStatus, Invitation, JoinFleet, KeptLocal, KeyRole,
    MachineKey, MachineName, MachineRemoved,
};
use secrets_proto::{Glob, Uuid};

use super::secrets::{ById, Found, View};
use crate::caller::Caller;
use crate::crypto::recovery::RecoveryKey;
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

/// A key that is to be a machine of its own.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) name: MachineName,
    pub(crate) role: KeyRole,
    pub(crate) proof: Option<Key>,
}

/// Such a key, by which this machine joins.
pub(crate) struct ByKey {
    pub(crate) key: RecoveryKey,
    pub(crate) role: KeyRole,
    pub(crate) name: MachineName,
    pub(crate) directory: String,
    pub(crate) proof: Option<Key>,
}

/// Another name for a machine.
#[derive(Debug)]
pub(crate) struct Rename {
    pub(crate) id: Uuid,
    pub(crate) name: MachineName,
}

/// A secret that stays on this machine, or does not any more.
#[derive(Debug)]
pub(crate) struct SetLocal {
    pub(crate) id: Uuid,
    pub(crate) local: bool,
    pub(crate) proof: Option<Key>,
}

/// Names that travel, or do not.
#[derive(Debug)]
pub(crate) struct ChangeFilter {
    pub(crate) list: FilterList,
    pub(crate) glob: Glob,
    pub(crate) remove: bool,
    pub(crate) proof: Option<Key>,
}

/// Which of a secret's values is to be the present one.
#[derive(Debug)]
pub(crate) struct Settle {
    pub(crate) id: Uuid,
    pub(crate) version: Option<u64>,
    pub(crate) view: View,
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
    vault.join_fleet(caller, code, name, PathBuf::from(directory)).await.map(Made)
}

/// `POST /fleet/keys`
pub(crate) async fn create_key(
    vault: &Vault,
    caller: &Caller,
    new: NewKey,
) -> Result<Made<MachineKey>, Error> {
    let NewKey { name, role, proof } = new;
    vault.create_machine_key(caller, name, role, proof).await.map(Made)
}

/// `POST /fleet/keys/join`
pub(crate) async fn join_by_key(
    vault: &Vault,
    caller: &Caller,
    join: ByKey,
) -> Result<Made<FleetStatus>, Error> {
    let ByKey { key, role, name, directory, proof } = join;
    vault.join_by_key(caller, key, role, name, PathBuf::from(directory), proof).await.map(Made)
}

/// `GET /fleet/conflicts`
pub(crate) async fn conflicts(vault: &Vault, caller: &Caller, (): ()) -> Result<ConflictList, Error> {
    vault.conflicts(caller).await
}

/// `POST /fleet/conflicts/{id}/resolve`
pub(crate) async fn resolve(vault: &Vault, caller: &Caller, settle: Settle) -> Result<Found, Error> {
    let Settle { id, version, view } = settle;
    vault.resolve_conflict(caller, id, version).await.map(|secret| Found(secret, view))
}

/// `PUT /user/secrets/{id}/local`
pub(crate) async fn set_local(vault: &Vault, caller: &Caller, new: SetLocal) -> Result<KeptLocal, Error> {
    vault.set_local(caller, new.id, new.local, new.proof).await
}

/// `POST /fleet/filter`
pub(crate) async fn filter(vault: &Vault, caller: &Caller, new: ChangeFilter) -> Result<FleetStatus, Error> {
    let list = match new.list {
        FilterList::Include => List::Include,
        FilterList::Exclude => List::Exclude,
    };
    vault.list_names(caller, list, new.glob, !new.remove, new.proof).await
}

/// `PATCH /fleet/machines/{id}`
pub(crate) async fn rename(vault: &Vault, caller: &Caller, rename: Rename) -> Result<FleetStatus, Error> {
    vault.rename_machine(caller, machine(rename.id), rename.name.into()).await
}

/// `POST /fleet/machines/{id}/keep`
pub(crate) async fn keep(vault: &Vault, caller: &Caller, by: ById) -> Result<FleetStatus, Error> {
    vault.keep_machine(caller, machine(by.0)).await
}

/// `DELETE /fleet/machines/{id}`
pub(crate) async fn remove(vault: &Vault, caller: &Caller, by: ById) -> Result<MachineRemoved, Error> {
    let secrets = vault.remove_machine(caller, machine(by.0)).await?;
    Ok(MachineRemoved { secrets })
}

const fn machine(id: Uuid) -> MachineId {
    MachineId(id.as_u64_pair().0.to_be_bytes())
}
