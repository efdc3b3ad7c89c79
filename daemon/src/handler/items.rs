//! The operations on `/items`.

use std::time::Duration;

use bytes::Bytes;
use secrets_proto::Uuid;
use secrets_proto::approval::Guard;
use secrets_proto::item::{
    Collection, CreateItem, Item, ItemChanges, ItemList, ItemTrash, ItemVersionList, PatchCollection,
    PatchItem, RevealedItem, SearchItems, UpdateItemValue,
};

use super::approvals::SetGuard;
use super::secrets::{ById, Delete, Done};
use crate::caller::Caller;
use crate::vault::{Error, Held, Vault};

/// Items that are looked for.
#[derive(Debug)]
pub(crate) struct Search {
    /// What they must have.
    pub(crate) wanted: SearchItems,
    /// Writes them.
    pub(crate) render: fn(&ItemList) -> Bytes,
}

/// `POST /items/search`
pub(crate) async fn search(vault: &Vault, caller: &Caller, search: Search) -> Result<Held<Bytes>, Error> {
    let Search { wanted, render } = search;
    vault.search_items(caller, wanted.attributes, move |list| render(&list)).await
}

/// An item as it is.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) Item);

/// `GET /items/{id}`
pub(crate) fn get(vault: &Vault, caller: &Caller, by: ById) -> Result<Found, Error> {
    vault.item(caller, by.0).map(Found)
}

/// An item that was stored, and whether it is a new one.
#[derive(Debug)]
pub(crate) struct Created {
    /// The item.
    pub(crate) item: Item,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
}

/// `POST /items`
pub(crate) async fn create(vault: &Vault, caller: &Caller, new: CreateItem) -> Result<Created, Error> {
    vault.create_item(caller, new).await.map(|(item, is_new)| Created { item, is_new })
}

/// An item to be changed.
#[derive(Debug)]
pub(crate) struct Edit {
    /// Which item.
    pub(crate) id: Uuid,
    /// What is to be another.
    pub(crate) patch: PatchItem,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
}

/// `PATCH /items/{id}`
pub(crate) async fn edit(vault: &Vault, caller: &Caller, edit: Edit) -> Result<Found, Error> {
    vault.edit_item(caller, edit.id, edit.patch, edit.expected).await.map(Found)
}

/// An item to get a new value.
#[derive(Debug)]
pub(crate) struct Update {
    /// Which item.
    pub(crate) id: Uuid,
    /// The value.
    pub(crate) new: UpdateItemValue,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
}

/// `PUT /items/{id}/value`
pub(crate) async fn update(vault: &Vault, caller: &Caller, update: Update) -> Result<Found, Error> {
    vault.update_item(caller, update.id, update.new, update.expected).await.map(Found)
}

/// `DELETE /items/{id}`
pub(crate) async fn delete(vault: &Vault, caller: &Caller, delete: Delete) -> Result<Done, Error> {
    vault.delete_item(caller, delete.id, delete.expected, delete.purge).await.map(|()| Done)
}

/// `POST /items/{id}/reveal`
pub(crate) async fn reveal(vault: &Vault, caller: &Caller, by: ById) -> Result<RevealedItem, Error> {
    vault.reveal_item(caller, by.0).await
}

/// `POST /items/{id}/restore`
pub(crate) async fn restore(vault: &Vault, caller: &Caller, by: ById) -> Result<Found, Error> {
    vault.restore_item(caller, by.0).await.map(Found)
}

/// `GET /items/{id}/versions`
pub(crate) async fn versions(vault: &Vault, caller: &Caller, by: ById) -> Result<ItemVersionList, Error> {
    vault.item_versions(caller, by.0).await
}

/// The trash asked for.
#[derive(Debug)]
pub(crate) struct Trash {
    /// Writes it.
    pub(crate) render: fn(&ItemTrash) -> Bytes,
}

/// `GET /items/trash`
pub(crate) async fn trash(vault: &Vault, caller: &Caller, trash: Trash) -> Result<Held<Bytes>, Error> {
    vault.item_trash(caller, move |list| (trash.render)(&list)).await
}

/// `GET /items/collection`
pub(crate) fn collection(vault: &Vault, caller: &Caller, (): ()) -> Result<Collection, Error> {
    vault.collection(caller)
}

/// `PATCH /items/collection`
pub(crate) async fn label_collection(
    vault: &Vault,
    caller: &Caller,
    new: PatchCollection,
) -> Result<Collection, Error> {
    vault.label_collection(caller, new.label).await
}

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Changes {
    /// How long a change is waited for.
    pub(crate) wait: Duration,
    /// The state after which it is to be.
    pub(crate) after: Option<u64>,
}

/// `GET /items/changes`
pub(crate) async fn changes(vault: &Vault, caller: &Caller, asked: Changes) -> Result<ItemChanges, Error> {
    vault.item_changes(caller, asked.wait, asked.after).await
}

/// `PUT /items/{id}/guard`
pub(crate) async fn set_guard(vault: &Vault, caller: &Caller, new: SetGuard) -> Result<Guard, Error> {
    vault.set_item_guard(caller, new.id, new.guarded, new.proof).await
}
