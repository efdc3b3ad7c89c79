//! The facade's operations on items: searches from what is published, writes through the vault's thread. All of them take
//! the scope `items`.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use secrets_proto::Uuid;
use secrets_proto::approval::{Guard, GuardedRight};
use secrets_proto::audit::AuditAction;
use secrets_proto::item::{
    self, Attributes, Collection, CreateItem, ItemChanges, ItemLabel, ItemList, ItemTrash, ItemVersionList,
    PatchItem, RevealedItem, TrashedItem, UpdateItemValue,
};
use secrets_proto::vault::VaultState;
use tokio::time::timeout;

use crate::caller::{Caller, Scope};
use crate::client::Client;

use super::format::item::{self as stored, Item};
use super::writer::catalog::Catalog;
use super::writer::shared::{Published, View};
use super::{Error, Held, Key, Vault};

impl Vault {
    /// The items that have all of these attributes, the newest change first, as `write` wrote them.
    pub(crate) async fn search_items<T: Send + 'static>(
        &self,
        caller: &Caller,
        wanted: Attributes,
        write: impl FnOnce(ItemList) -> T + Send + 'static,
    ) -> Result<Held<T>, Error> {
        self.check(caller, Scope::Items, AuditAction::List)?;
        let permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Items, AuditAction::List)?;
        let found: Vec<(Arc<Item>, bool)> = {
            let published = self.shared.read();
            let view = published.view()?;
            let sight = Sight::new(self, caller, view);
            view.catalog.items.search(&wanted).map(|item| sight.of(item)).collect()
        };
        let permit = permit.with(self.room.take(caller, length_of(&found)).await);
        let reply = self.at_leisure(caller, found.len(), move || {
            let items: Vec<item::Item> = found.iter().map(|(item, locked)| item.to_wire(*locked)).collect();
            write(ItemList { total: items.len(), items })
        });
        Ok(Held { reply: reply.await?, permit: Some(permit) })
    }

    /// One item.
    pub(crate) fn item(&self, caller: &Caller, id: Uuid) -> Result<item::Item, Error> {
        self.check(caller, Scope::Items, AuditAction::List)?;
        let published = self.shared.read();
        let view = published.view()?;
        let (item, locked) =
            Sight::new(self, caller, view).of(view.catalog.items.by_id(id).ok_or(Error::NotFound)?);
        Ok(item.to_wire(locked))
    }

    /// Stores a new item, or gives the one that has exactly its attributes a new version, and says whether it was new;
    /// durable when this returns.
    pub(crate) async fn create_item(
        &self,
        caller: &Caller,
        new: CreateItem,
    ) -> Result<(item::Item, bool), Error> {
        self.check(caller, Scope::Items, AuditAction::Create)?;
        let (item, is_new) = self.write(caller, move |batch, caller| batch.create_item(caller, new)).await?;
        Ok((self.shown(caller, &item)?, is_new))
    }

    /// Gives an item a new value. `expected` are the versions that `If-Match` names.
    pub(crate) async fn update_item(
        &self,
        caller: &Caller,
        id: Uuid,
        new: UpdateItemValue,
        expected: Option<Vec<u64>>,
    ) -> Result<item::Item, Error> {
        self.check(caller, Scope::Items, AuditAction::Update)?;
        let item = self.write(caller, move |batch, caller| batch.update_item(caller, id, new, expected));
        self.shown(caller, &item.await?)
    }

    /// Changes an item's label or attributes. `expected` are the versions that `If-Match` names.
    pub(crate) async fn edit_item(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: PatchItem,
        expected: Option<Vec<u64>>,
    ) -> Result<item::Item, Error> {
        self.check(caller, Scope::Items, AuditAction::Edit)?;
        let item = self.write(caller, move |batch, caller| batch.edit_item(caller, id, patch, expected));
        self.shown(caller, &item.await?)
    }

    /// Moves an item to the trash, or destroys it with all its versions. `expected` are the versions that `If-Match` names.
    pub(crate) async fn delete_item(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
        purge: bool,
    ) -> Result<(), Error> {
        let action = if purge { AuditAction::Purge } else { AuditAction::Delete };
        self.check(caller, Scope::Items, action)?;
        self.write_again(caller, move |batch, caller| {
            let expected = expected.clone();
            if purge {
                batch.purge_item(caller, id, expected)
            } else {
                batch.delete_item(caller, id, expected)
            }
        })
        .await
    }

    /// Takes an item out of the trash.
    pub(crate) async fn restore_item(&self, caller: &Caller, id: Uuid) -> Result<item::Item, Error> {
        self.check(caller, Scope::Items, AuditAction::Restore)?;
        let item = self.write(caller, move |batch, caller| batch.restore_item(caller, id)).await?;
        self.shown(caller, &item)
    }

    /// Hands a value over, after the audit entry is durable.
    pub(crate) async fn reveal_item(&self, caller: &Caller, id: Uuid) -> Result<RevealedItem, Error> {
        self.check(caller, Scope::Items, AuditAction::Reveal)?;
        self.write_for_answer(caller, move |batch, caller| batch.reveal_item(caller, id)).await
    }

    /// The kept versions of an item's value, without the values.
    pub(crate) async fn item_versions(&self, caller: &Caller, id: Uuid) -> Result<ItemVersionList, Error> {
        // Each kept value is opened, on the thread that reveals wait for.
        let _permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Items, AuditAction::List)?;
        let versions = self.read(caller, move |reading| reading.item_versions(id)).await?;
        Ok(ItemVersionList { versions })
    }

    /// The deleted items, newest first, as `write` wrote them.
    pub(crate) async fn item_trash<T: Send + 'static>(
        &self,
        caller: &Caller,
        write: impl FnOnce(ItemTrash) -> T + Send + 'static,
    ) -> Result<Held<T>, Error> {
        let permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Items, AuditAction::List)?;
        let found: Vec<(Arc<Item>, bool)> = {
            let published = self.shared.read();
            let view = published.view()?;
            let sight = Sight::new(self, caller, view);
            view.catalog.items.trash().map(|item| sight.of(item)).collect()
        };
        let permit = permit.with(self.room.take(caller, length_of(&found)).await);
        let reply = self.at_leisure(caller, found.len(), move || {
            let trashed = |(item, locked): &(Arc<Item>, bool)| {
                let (deleted_at, purged_at) = (item.meta.deleted_at?, item.purged_at()?);
                Some(TrashedItem { item: item.to_wire(*locked), deleted_at, purged_at })
            };
            let items: Vec<TrashedItem> = found.iter().filter_map(trashed).collect();
            write(ItemTrash { total: items.len(), items })
        });
        Ok(Held { reply: reply.await?, permit: Some(permit) })
    }

    /// What holds all items.
    pub(crate) fn collection(&self, caller: &Caller) -> Result<Collection, Error> {
        self.check(caller, Scope::Items, AuditAction::List)?;
        Ok(describe(&self.shared.read().view()?.catalog))
    }

    /// Gives what holds all items this label; durable when this returns.
    pub(crate) async fn label_collection(
        &self,
        caller: &Caller,
        label: ItemLabel,
    ) -> Result<Collection, Error> {
        self.check(caller, Scope::Items, AuditAction::Edit)?;
        self.write(caller, move |batch, caller| batch.label_collection(caller, label)).await?;
        Ok(describe(&self.shared.read().view()?.catalog))
    }

    /// Whether the vault is open, and a number that changes with it and with the items. With `wait`, as soon as it is
    /// another than `after`, or than the one now.
    pub(crate) async fn item_changes(
        &self,
        caller: &Caller,
        wait: Duration,
        after: Option<u64>,
    ) -> Result<ItemChanges, Error> {
        self.check(caller, Scope::Items, AuditAction::List)?;
        let mut changes = self.shared.item_changes.subscribe();
        let before = after.unwrap_or(*changes.borrow());
        // That nothing has changed in time is an answer too, and so is that the daemon ends.
        let _ = timeout(wait, changes.wait_for(|now| *now != before)).await;
        self.check(caller, Scope::Items, AuditAction::List)?;
        let published = self.shared.read();
        let state = match &*published {
            Published::Uninitialized => VaultState::Uninitialized,
            Published::Locked => VaultState::Locked,
            Published::Unlocked(_) => VaultState::Unlocked,
        };
        let changes = *self.shared.item_changes.borrow();
        Ok(ItemChanges { state, changes })
    }

    /// Turns an item's guard on, or off with a proof. Scope `admin`, on all names.
    pub(crate) async fn set_item_guard(
        &self,
        caller: &Caller,
        id: Uuid,
        guarded: bool,
        proof: Option<Key>,
    ) -> Result<Guard, Error> {
        let action = if guarded { AuditAction::Guard } else { AuditAction::Unguard };
        self.check_whole(caller, action)?;
        let is_guarded = self.shared.read().view()?.catalog.items.by_id(id).map(|old| old.meta.guarded);
        let is_guarded = is_guarded.ok_or(Error::NotFound)?;
        let caller =
            if is_guarded && !guarded { self.prove(caller, proof, action).await? } else { caller.clone() };
        let weakened_by = self.guards_weakened_by(&caller, guarded).await?;
        let item =
            self.write(&caller, move |batch, caller| batch.set_item_guard(caller, id, guarded)).await?;
        Ok(Guard { guarded: item.meta.guarded, weakened_by, units: Vec::new(), machines: Vec::new() })
    }

    fn shown(&self, caller: &Caller, item: &Arc<Item>) -> Result<item::Item, Error> {
        let published = self.shared.read();
        let (item, locked) = Sight::new(self, caller, published.view()?).of(item);
        Ok(item.to_wire(locked))
    }
}

/// How a caller sees items.
struct Sight<'a> {
    vault: &'a Vault,
    caller: &'a Caller,
    catalog: &'a Catalog,
    /// What the caller runs for, read once for all items.
    client: OnceCell<Client>,
}

impl<'a> Sight<'a> {
    const fn new(vault: &'a Vault, caller: &'a Caller, view: &'a View) -> Self {
        Self { vault, caller, catalog: &view.catalog, client: OnceCell::new() }
    }

    /// The item, and whether its value would be kept from the caller.
    fn of(&self, item: &Arc<Item>) -> (Arc<Item>, bool) {
        let locked = item.meta.guarded && !self.may_have(item.id);
        (Arc::clone(item), locked)
    }

    fn may_have(&self, id: Uuid) -> bool {
        let Vault { shared, .. } = self.vault;
        let rules = |secret| self.catalog.approval_rules_of(secret);
        shared.approvals.would_allow(
            self.client.get_or_init(|| self.caller.client()),
            GuardedRight::Reveal,
            id,
            rules,
            shared.clock.now(),
        )
    }
}

fn describe(catalog: &Catalog) -> Collection {
    let meta = catalog.items.collection().map(|collection| &collection.meta);
    Collection {
        label: meta.map_or_else(stored::Collection::first_label, |meta| meta.label.clone()),
        total: catalog.items.live_count(),
        created_at: meta.map(|meta| meta.created_at),
        updated_at: meta.map(|meta| meta.updated_at).max(catalog.items.updated_at()),
    }
}

/// About how long these are as JSON.
fn length_of(items: &[(Arc<Item>, bool)]) -> usize {
    items.iter().map(|(item, _)| 400 + item.bytes()).sum()
}
