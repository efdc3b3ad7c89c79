//! An index of items in memory, while the vault is open: searches and look-ups are served from it, since the attributes are
//! sealed in the file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use secrets_proto::item::Attributes;
use secrets_proto::{Timestamp, Uuid};

use crate::vault::format::item::{Collection, Item};

/// The most bytes of labels and attributes that all items have together, those in the trash too: all of them are in memory.
pub(in crate::vault) const MAX_BYTES: usize = 64 << 20;

/// Every item by id, and by when it was changed.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Items {
    by_id: HashMap<Uuid, Arc<Item>>,
    /// Those outside the trash, the oldest change first.
    live: BTreeMap<u64, Arc<Item>>,
    /// Those in the trash, the oldest deletion first.
    trash: BTreeMap<u64, Arc<Item>>,
    /// The largest of all numbers of changes that were ever seen.
    last: u64,
    guarded: usize,
    bytes: usize,
    collection: Option<Arc<Collection>>,
}

impl Items {
    /// Puts an item in the place of the one with its id.
    pub(in crate::vault) fn put(&mut self, item: Arc<Item>) {
        self.remove(item.id);
        self.last = self.last.max(item.meta.order);
        self.guarded += usize::from(item.meta.guarded);
        self.bytes += item.bytes();
        let place = if item.is_deleted() { &mut self.trash } else { &mut self.live };
        place.insert(item.meta.order, Arc::clone(&item));
        self.by_id.insert(item.id, item);
    }

    /// Removes the item with this id, if it is here.
    pub(in crate::vault) fn remove(&mut self, id: Uuid) {
        let Some(old) = self.by_id.remove(&id) else { return };
        self.guarded = self.guarded.saturating_sub(usize::from(old.meta.guarded));
        self.bytes = self.bytes.saturating_sub(old.bytes());
        let place = if old.is_deleted() { &mut self.trash } else { &mut self.live };
        place.remove(&old.meta.order);
    }

    /// Sets what holds all items.
    pub(in crate::vault) fn set_collection(&mut self, collection: Arc<Collection>) {
        self.collection = Some(collection);
    }

    /// What holds all items, if there ever was one.
    pub(in crate::vault) const fn collection(&self) -> Option<&Arc<Collection>> {
        self.collection.as_ref()
    }

    /// The item with this id, in the trash or not.
    pub(in crate::vault) fn any(&self, id: Uuid) -> Option<&Arc<Item>> {
        self.by_id.get(&id)
    }

    /// The item with this id, unless it is in the trash.
    pub(in crate::vault) fn by_id(&self, id: Uuid) -> Option<&Arc<Item>> {
        self.any(id).filter(|item| !item.is_deleted())
    }

    /// Whether an item has changed last by this number.
    pub(in crate::vault) fn has_order(&self, order: u64) -> bool {
        self.live.contains_key(&order) || self.trash.contains_key(&order)
    }

    /// The number of the next change.
    pub(in crate::vault) const fn next_order(&self) -> u64 {
        self.last + 1
    }

    /// The items outside the trash that have all of these, the newest change first.
    pub(in crate::vault) fn search<'a>(
        &'a self,
        wanted: &'a Attributes,
    ) -> impl Iterator<Item = &'a Arc<Item>> {
        self.live.values().rev().filter(|item| item.meta.attributes.has_all(wanted))
    }

    /// The item outside the trash that has exactly these; of several, the one that was changed last.
    pub(in crate::vault) fn equal(&self, attributes: &Attributes) -> Option<&Arc<Item>> {
        self.live.values().rev().find(|item| item.meta.attributes == *attributes)
    }

    /// Those in the trash, the newest first.
    pub(in crate::vault) fn trash(&self) -> impl DoubleEndedIterator<Item = &Arc<Item>> + ExactSizeIterator {
        self.trash.values().rev()
    }

    /// How many are outside the trash.
    pub(in crate::vault) fn live_count(&self) -> usize {
        self.live.len()
    }

    /// How many bytes of labels and attributes all of them have.
    pub(in crate::vault) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether any is guarded, in the trash or not.
    pub(in crate::vault) const fn has_guarded(&self) -> bool {
        self.guarded > 0
    }

    /// When one was changed last, or deleted.
    pub(in crate::vault) fn updated_at(&self) -> Option<Timestamp> {
        let last =
            |items: &BTreeMap<u64, Arc<Item>>| items.values().next_back().map(|item| item.meta.updated_at);
        last(&self.live).max(last(&self.trash))
    }
}
