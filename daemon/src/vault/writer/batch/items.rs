//! The operations on items, inside a batch. They ask and check as those on secrets do.

use std::sync::Arc;

use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::item::{
    CreateItem, ItemLabel, ItemValue, MAX_ITEMS, PatchItem, RevealedItem, UpdateItemValue,
};
use secrets_proto::{Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::store::RecordKind;
use crate::vault::Error;
use crate::vault::format::item::{Collection, Item, StoredItemValue};
use crate::vault::writer::catalog::Change;
use crate::vault::writer::items::MAX_BYTES;

use super::approvals::Why;
use super::{Batch, VERSIONS_KEPT};

impl Batch<'_> {
    /// Stores a new item, or a new version of the one that has exactly its attributes. Says whether it was a new one.
    pub(in crate::vault) fn create_item(
        &mut self,
        caller: &Caller,
        new: CreateItem,
    ) -> Result<(Arc<Item>, bool), Error> {
        let CreateItem { label, attributes, content_type, value_base64: value, replace } = new;
        if replace && let Some(old) = self.catalog.items.equal(&attributes).cloned() {
            self.approve_item(caller, GuardedRight::Write, AuditAction::Update, &old)?;
            let mut item = old.next_with_value(self.catalog.items.next_order(), content_type, &value);
            item.meta.label = label;
            return Ok((self.renew_item(caller, &old, item, &value)?, false));
        }
        if self.catalog.items.live_count() >= MAX_ITEMS {
            return Err(Error::TooManyItems);
        }
        if self.catalog.items.collection().is_none() {
            self.put_collection(Collection::new(Collection::first_label()))?;
        }
        // Its beginning is what people type, so it is not alike in items of one moment.
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let order = self.catalog.items.next_order();
        let item = Item::new(id, order, label, attributes, content_type, &value);
        self.check_room_for(None, &item)?;
        self.insert_row(&StoredItemValue::seal(self.keys, &item, &value)?)?;
        Ok((self.put_item(None, item, caller, AuditAction::Create)?, true))
    }

    /// Gives an item a new value.
    pub(in crate::vault) fn update_item(
        &mut self,
        caller: &Caller,
        id: Uuid,
        new: UpdateItemValue,
        expected: Option<Vec<u64>>,
    ) -> Result<Arc<Item>, Error> {
        let UpdateItemValue { content_type, value_base64: value } = new;
        let old = self.item_to_change(caller, id, expected, AuditAction::Update)?;
        let item = old.next_with_value(self.catalog.items.next_order(), content_type, &value);
        self.renew_item(caller, &old, item, &value)
    }

    /// Changes an item's label or attributes.
    pub(in crate::vault) fn edit_item(
        &mut self,
        caller: &Caller,
        id: Uuid,
        patch: PatchItem,
        expected: Option<Vec<u64>>,
    ) -> Result<Arc<Item>, Error> {
        let old = self.item_to_change(caller, id, expected, AuditAction::Edit)?;
        let item = old.next(self.catalog.items.next_order(), |meta| {
            meta.label = patch.label.unwrap_or_else(|| meta.label.clone());
            meta.attributes = patch.attributes.unwrap_or_else(|| meta.attributes.clone());
        });
        self.check_room_for(Some(&old), &item)?;
        self.put_item(Some(&old), item, caller, AuditAction::Edit)
    }

    /// Moves an item to the trash. If that is full, the one that was deleted first leaves it.
    pub(in crate::vault) fn delete_item(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        let old = self.item_to_change(caller, id, expected, AuditAction::Delete)?;
        let item = old.next(self.catalog.items.next_order(), |meta| {
            meta.deleted_at = Some(meta.updated_at);
        });
        let oldest = self.catalog.items.trash().next_back().cloned();
        if let Some(oldest) = oldest.filter(|_| self.catalog.items.trash().len() >= MAX_ITEMS) {
            self.destroy_item(&Caller::daemon("trash"), &oldest)?;
        }
        self.put_item(Some(&old), item, caller, AuditAction::Delete).map(drop)
    }

    /// Destroys an item with all its versions, in the trash or not.
    pub(in crate::vault) fn purge_item(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        let old = self.catalog.items.any(id).cloned().ok_or(Error::NotFound)?;
        check_version(&old, expected)?;
        self.approve_item(caller, GuardedRight::Write, AuditAction::Purge, &old)?;
        self.destroy_item(caller, &old)
    }

    fn destroy_item(&mut self, caller: &Caller, old: &Arc<Item>) -> Result<(), Error> {
        if caller.is_daemon() {
            self.approve_item(caller, GuardedRight::Write, AuditAction::Purge, old)?;
        }
        self.check_allowed(old.id, old.meta.guarded, &[GuardedRight::Write])?;
        for row in self.writing.records_of(RecordKind::ItemValue, old.id.as_bytes())? {
            self.delete_row(&row)?;
        }
        self.delete_item_row(old)?;
        self.remove_approval_rules_of(old.id)?;
        self.apply(Change::RemoveItem(old.id));
        self.done.purged = true;
        self.audit_item(caller, AuditAction::Purge, old)
    }

    /// Takes an item out of the trash.
    pub(in crate::vault) fn restore_item(&mut self, caller: &Caller, id: Uuid) -> Result<Arc<Item>, Error> {
        let old = self.catalog.items.any(id).filter(|item| item.is_deleted());
        let old = old.cloned().ok_or(Error::NotFound)?;
        if self.catalog.items.live_count() >= MAX_ITEMS {
            return Err(Error::TooManyItems);
        }
        self.approve_item(caller, GuardedRight::Write, AuditAction::Restore, &old)?;
        let item = old.next(self.catalog.items.next_order(), |meta| meta.deleted_at = None);
        self.put_item(Some(&old), item, caller, AuditAction::Restore)
    }

    /// Opens an item's value. It may leave only after the commit: the audit entry is part of it.
    pub(in crate::vault) fn reveal_item(&mut self, caller: &Caller, id: Uuid) -> Result<RevealedItem, Error> {
        let item = self.catalog.items.by_id(id).cloned().ok_or(Error::NotFound)?;
        self.approve_item(caller, GuardedRight::Reveal, AuditAction::Reveal, &item)?;
        let StoredItemValue { content_type, value, .. } = self.open_item_value(&item)?;
        self.audit_item(caller, AuditAction::Reveal, &item)?;
        Ok(RevealedItem { id, content_type, value_base64: value })
    }

    /// Turns an item's guard on or off. Off, a person must have shown to be the owner.
    pub(in crate::vault) fn set_item_guard(
        &mut self,
        caller: &Caller,
        id: Uuid,
        guarded: bool,
    ) -> Result<Arc<Item>, Error> {
        let old = self.catalog.items.by_id(id).cloned().ok_or(Error::NotFound)?;
        if old.meta.guarded == guarded {
            return Ok(old);
        }
        if !guarded && !caller.is_proven() {
            return Err(Error::Unproven);
        }
        let action = if guarded { AuditAction::Guard } else { AuditAction::Unguard };
        self.allow_before(old.id, old.meta.guarded, GuardedRight::Write);
        // Whether it is guarded is no change of the item itself.
        let item = old.next(self.catalog.items.next_order(), |meta| {
            (meta.guarded, meta.updated_at) = (guarded, old.meta.updated_at);
        });
        self.put_item(Some(&old), item, caller, action)
    }

    /// Gives what holds all items this label.
    pub(in crate::vault) fn label_collection(
        &mut self,
        caller: &Caller,
        label: ItemLabel,
    ) -> Result<(), Error> {
        let next = match self.catalog.items.collection().cloned() {
            Some(old) => {
                let (id, version) = old.row_key();
                let row = self.writing.record(RecordKind::Collection, &id, version)?;
                self.delete_row(&row.ok_or(Error::Corrupt("the collection's row is missing"))?)?;
                old.next(label)
            }
            None => Collection::new(label),
        };
        self.put_collection(next)?;
        self.audit(caller, Event::done(AuditAction::Edit, Vec::new()))
    }

    /// Destroys what has been in the trash for too long by `now`.
    pub(super) fn empty_item_trash(&mut self, caller: &Caller, now: Timestamp) -> Result<(), Error> {
        let is_due = |item: &&Arc<Item>| item.purged_at().is_some_and(|time| time <= now);
        let due: Vec<Arc<Item>> = self.catalog.items.trash().filter(is_due).cloned().collect();
        due.iter().try_for_each(|item| self.destroy_item(caller, item))
    }

    fn put_collection(&mut self, collection: Collection) -> Result<(), Error> {
        self.insert_row(&collection.seal(self.keys)?)?;
        self.apply(Change::PutCollection(Arc::new(collection)));
        Ok(())
    }

    fn renew_item(
        &mut self,
        caller: &Caller,
        old: &Arc<Item>,
        item: Item,
        value: &ItemValue,
    ) -> Result<Arc<Item>, Error> {
        self.check_room_for(Some(old), &item)?;
        self.insert_row(&StoredItemValue::seal(self.keys, &item, value)?)?;
        let rows = self.writing.records_of(RecordKind::ItemValue, old.id.as_bytes())?;
        for row in rows.iter().rev().skip(VERSIONS_KEPT) {
            self.delete_row(row)?;
        }
        self.put_item(Some(old), item, caller, AuditAction::Update)
    }

    /// Refuses what would take more memory than all items may.
    fn check_room_for(&self, old: Option<&Item>, new: &Item) -> Result<(), Error> {
        let others = self.catalog.items.bytes().saturating_sub(old.map_or(0, Item::bytes));
        let grows = old.is_none_or(|old| new.bytes() > old.bytes());
        if grows && others + new.bytes() > MAX_BYTES { Err(Error::TooManyItems) } else { Ok(()) }
    }

    fn item_to_change(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
        action: AuditAction,
    ) -> Result<Arc<Item>, Error> {
        let item = self.catalog.items.by_id(id).cloned().ok_or(Error::NotFound)?;
        check_version(&item, expected)?;
        self.approve_item(caller, GuardedRight::Write, action, &item)?;
        Ok(item)
    }

    fn approve_item(
        &mut self,
        caller: &Caller,
        right: GuardedRight,
        action: AuditAction,
        item: &Item,
    ) -> Result<(), Error> {
        let guarded = if item.meta.guarded { vec![(item.id, item.named().into())] } else { Vec::new() };
        self.approve_guarded(caller, right, action, &guarded, Why::default())
    }

    /// Writes an item in place of `old`, if there was one, with its audit entry.
    fn put_item(
        &mut self,
        old: Option<&Arc<Item>>,
        item: Item,
        caller: &Caller,
        action: AuditAction,
    ) -> Result<Arc<Item>, Error> {
        if let Some(old) = old {
            self.check_allowed(old.id, old.meta.guarded, &[GuardedRight::Write])?;
            self.delete_item_row(old)?;
        }
        self.insert_row(&item.seal(self.keys)?)?;
        let item = Arc::new(item);
        self.apply(Change::PutItem(Arc::clone(&item)));
        self.audit_item(caller, action, &item)?;
        Ok(item)
    }

    fn audit_item(&mut self, caller: &Caller, action: AuditAction, item: &Item) -> Result<(), Error> {
        let event = Event::of_item(action, item.named());
        self.audit(caller, Event { approvals: self.approved_by(), ..event })
    }

    fn delete_item_row(&mut self, item: &Item) -> Result<(), Error> {
        let row = self.writing.record(RecordKind::Item, item.id.as_bytes(), item.version)?;
        self.delete_row(&row.ok_or(Error::Corrupt("an item's row is missing"))?)
    }

    fn open_item_value(&self, item: &Item) -> Result<StoredItemValue, Error> {
        self.check_allowed(item.id, item.meta.guarded, &[GuardedRight::Reveal])?;
        let version = item.meta.value_version;
        let row = self.writing.record(RecordKind::ItemValue, item.id.as_bytes(), version)?;
        StoredItemValue::open(self.keys, &row.ok_or(Error::Corrupt("an item's value is missing"))?)
    }
}

fn check_version(item: &Item, expected: Option<Vec<u64>>) -> Result<(), Error> {
    match expected {
        Some(versions) if !versions.contains(&item.version) => Err(Error::Stale),
        _ => Ok(()),
    }
}
