//! An item in memory, and its sealed form: what is known of it, the versions of its value, and what holds all items. The
//! sealed forms are types of their own, so that the wire can change without the file.

use secrets_proto::item::{self, Attributes, ContentType, ItemLabel, ItemValue, ItemVersion, NamedItem};
use secrets_proto::{Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;

use super::record::{purged_at, record_context};
use super::rest::{self, Rest};

/// Everything about an item but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Item {
    /// The id, which is also the row's.
    pub(in crate::vault) id: Uuid,
    /// Counts every change; the row's version.
    pub(in crate::vault) version: u64,
    /// What changes with the item.
    pub(in crate::vault) meta: Meta,
    /// What a newer program has added to that.
    rest: Rest,
}

/// The sealed part of an item, stored as JSON. It may get more fields that have a default, and [`rest`] says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Meta {
    pub(in crate::vault) label: ItemLabel,
    pub(in crate::vault) attributes: Attributes,
    /// What the present value is; each version of it says so too.
    pub(in crate::vault) content_type: ContentType,
    /// How many bytes the present value has.
    pub(in crate::vault) size: u64,
    pub(in crate::vault) created_at: Timestamp,
    pub(in crate::vault) updated_at: Timestamp,
    /// Counts the changes of all items, since the clock does not: the one that was changed last has the largest.
    pub(in crate::vault) order: u64,
    /// The version in which the present value was stored; the value's row has this version.
    pub(in crate::vault) value_version: u64,
    /// When it was moved to the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) deleted_at: Option<Timestamp>,
    /// Whether a person decides who may have or change it. While this is true of any item, the manifest has a mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::vault) guarded: bool,
}

impl Item {
    /// A new item's first version.
    pub(in crate::vault) fn new(
        id: Uuid,
        order: u64,
        label: ItemLabel,
        attributes: Attributes,
        content_type: ContentType,
        value: &ItemValue,
    ) -> Self {
        let now = Timestamp::now();
        let meta = Meta {
            label,
            attributes,
            content_type,
            size: value.expose().len() as u64,
            created_at: now,
            updated_at: now,
            order,
            value_version: 1,
            deleted_at: None,
            guarded: false,
        };
        Self { id, version: 1, meta, rest: Rest::default() }
    }

    /// The next version, changed by `change`.
    pub(in crate::vault) fn next(&self, order: u64, change: impl FnOnce(&mut Meta)) -> Self {
        let mut next = self.clone();
        next.version += 1;
        (next.meta.updated_at, next.meta.order) = (Timestamp::now(), order);
        change(&mut next.meta);
        next
    }

    /// The next version, with this value.
    pub(in crate::vault) fn next_with_value(
        &self,
        order: u64,
        content_type: ContentType,
        value: &ItemValue,
    ) -> Self {
        let version = self.version + 1;
        self.next(order, |meta| {
            meta.content_type = content_type;
            meta.size = value.expose().len() as u64;
            meta.value_version = version;
        })
    }

    /// Whether it is in the trash.
    pub(in crate::vault) const fn is_deleted(&self) -> bool {
        self.meta.deleted_at.is_some()
    }

    /// When it leaves the trash for good, if it is there.
    pub(in crate::vault) fn purged_at(&self) -> Option<Timestamp> {
        self.meta.deleted_at.map(purged_at)
    }

    /// How many bytes of label and attributes it has.
    pub(in crate::vault) fn bytes(&self) -> usize {
        self.meta.label.as_str().len() + self.meta.attributes.bytes()
    }

    /// As the audit log and asks name it.
    pub(in crate::vault) fn named(&self) -> NamedItem {
        NamedItem::new(self.id, &self.meta.label)
    }

    /// All that the wire shows of it, for a caller from whom it is `locked` or not.
    pub(in crate::vault) fn to_wire(&self, locked: bool) -> item::Item {
        item::Item {
            id: self.id,
            label: self.meta.label.clone(),
            attributes: self.meta.attributes.clone(),
            content_type: self.meta.content_type.clone(),
            size: self.meta.size,
            created_at: self.meta.created_at,
            updated_at: self.meta.updated_at,
            version: self.version,
            guarded: self.meta.guarded,
            locked,
        }
    }

    /// Its row.
    pub(in crate::vault) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let plaintext =
            rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("an item does not encode"))?;
        seal_row(keys, RecordKind::Item, self.id, self.version, &plaintext)
    }

    /// Reads its row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
            .map_err(|_| Error::Corrupt("an item is not authentic"))?;
        let (meta, rest) = rest::decode(&plaintext).ok_or(Error::Corrupt("an item is not of its form"))?;
        Ok(Self { id: Uuid::from_bytes(row.id), version: row.version, meta, rest })
    }
}

/// One version of an item's value in its row. The plaintext is the time it was stored (seconds since 1970, i64, big-endian),
/// the length of the content type (u8), the content type, and then the value's bytes.
pub(in crate::vault) struct StoredItemValue {
    pub(in crate::vault) stored_at: Timestamp,
    pub(in crate::vault) content_type: ContentType,
    pub(in crate::vault) value: ItemValue,
}

impl StoredItemValue {
    /// The row of the item's present value.
    pub(in crate::vault) fn seal(keys: &Keys, item: &Item, value: &ItemValue) -> Result<RecordRow, Error> {
        let plaintext = Self::encode(item.meta.updated_at, &item.meta.content_type, value)?;
        seal_row(keys, RecordKind::ItemValue, item.id, item.meta.value_version, &plaintext)
    }

    fn encode(
        stored_at: Timestamp,
        content_type: &ContentType,
        value: &ItemValue,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (content_type, value) = (content_type.as_str().as_bytes(), value.expose());
        let length = u8::try_from(content_type.len())
            .map_err(|_| Error::Internal("a content type is too long for its row"))?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(9 + content_type.len() + value.len()));
        plaintext.extend_from_slice(&stored_at.as_second().to_be_bytes());
        plaintext.push(length);
        plaintext.extend_from_slice(content_type);
        plaintext.extend_from_slice(value);
        Ok(plaintext)
    }

    /// Reads its row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
            .map_err(|_| Error::Corrupt("an item's value is not authentic"))?;
        Self::decode(plaintext).ok_or(Error::Corrupt("an item's value is not of its form"))
    }

    fn decode(mut plaintext: Zeroizing<Vec<u8>>) -> Option<Self> {
        let (seconds, rest) = plaintext.split_first_chunk::<8>()?;
        let stored_at = Timestamp::from_second(i64::from_be_bytes(*seconds))?;
        let (length, rest) = rest.split_first()?;
        let length = usize::from(*length);
        let (content_type, _) = rest.split_at_checked(length)?;
        let content_type = String::from_utf8(content_type.to_vec()).ok()?.try_into().ok()?;
        plaintext.drain(..9 + length);
        let value = ItemValue::new(std::mem::take(&mut *plaintext)).ok()?;
        Some(Self { stored_at, content_type, value })
    }

    /// What the wire shows of a version.
    pub(in crate::vault) fn describe(
        keys: &Keys,
        row: &RecordRow,
        current: u64,
    ) -> Result<ItemVersion, Error> {
        let Self { stored_at, content_type, value } = Self::open(keys, row)?;
        Ok(ItemVersion {
            version: row.version,
            content_type,
            size: value.expose().len() as u64,
            created_at: stored_at,
            current: row.version == current,
        })
    }
}

/// What holds all items. There is one at most, whose row has the nil UUID as its id; a vault in which nobody has stored an
/// item has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Collection {
    /// Counts every change; the row's version.
    version: u64,
    /// What changes with it.
    pub(in crate::vault) meta: CollectionMeta,
    /// What a newer program has added to that.
    rest: Rest,
}

/// The sealed part of the collection, stored as JSON, as that of an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct CollectionMeta {
    pub(in crate::vault) label: ItemLabel,
    pub(in crate::vault) created_at: Timestamp,
    pub(in crate::vault) updated_at: Timestamp,
}

impl Collection {
    /// The id of its row.
    const ID: Uuid = Uuid::nil();

    /// The label that it has until it is given another.
    pub(in crate::vault) fn first_label() -> ItemLabel {
        ItemLabel::try_from("Login".to_owned()).unwrap_or_default()
    }

    /// A new one.
    pub(in crate::vault) fn new(label: ItemLabel) -> Self {
        let now = Timestamp::now();
        let meta = CollectionMeta { label, created_at: now, updated_at: now };
        Self { version: 1, meta, rest: Rest::default() }
    }

    /// The next version, with this label.
    pub(in crate::vault) fn next(&self, label: ItemLabel) -> Self {
        let mut next = self.clone();
        next.version += 1;
        (next.meta.label, next.meta.updated_at) = (label, Timestamp::now());
        next
    }

    /// Where its row is: id and version.
    pub(in crate::vault) const fn row_key(&self) -> ([u8; 16], u64) {
        (*Self::ID.as_bytes(), self.version)
    }

    /// Its row.
    pub(in crate::vault) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let plaintext =
            rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("the collection does not encode"))?;
        seal_row(keys, RecordKind::Collection, Self::ID, self.version, &plaintext)
    }

    /// Reads its row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
            .map_err(|_| Error::Corrupt("the collection is not authentic"))?;
        let (meta, rest) = rest::decode(&plaintext)
            .filter(|_| row.id == *Self::ID.as_bytes())
            .ok_or(Error::Corrupt("the collection is not of its form"))?;
        Ok(Self { version: row.version, meta, rest })
    }
}

fn seal_row(
    keys: &Keys,
    kind: RecordKind,
    id: Uuid,
    version: u64,
    plaintext: &[u8],
) -> Result<RecordRow, Error> {
    let id = *id.as_bytes();
    let sealed = seal::seal(keys, record_context(kind, &id, version), plaintext)?;
    Ok(RecordRow { kind, id, version, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::keys;

    fn item(value: &ItemValue) -> Item {
        let label = ItemLabel::try_from("l".to_owned()).unwrap();
        let content_type = ContentType::try_from("text/plain".to_owned()).unwrap();
        Item::new(Uuid::from_u128(7), 3, label, Attributes::default(), content_type, value)
    }

    #[test]
    fn what_was_sealed_is_opened_and_nothing_that_was_moved() {
        let keys = keys();
        let value = ItemValue::new((0..=255).collect()).unwrap();
        let item = item(&value);
        let (row, of_value) =
            (item.seal(&keys).unwrap(), StoredItemValue::seal(&keys, &item, &value).unwrap());
        assert_eq!(Item::open(&keys, &row).unwrap(), item);
        let opened = StoredItemValue::open(&keys, &of_value).unwrap();
        assert_eq!((&opened.value, &opened.content_type), (&value, &item.meta.content_type));
        let moved = RecordRow { version: 2, ..row };
        assert!(matches!(Item::open(&keys, &moved), Err(Error::Corrupt(_))));
        let moved = RecordRow { id: [9; 16], ..of_value };
        assert!(matches!(StoredItemValue::open(&keys, &moved), Err(Error::Corrupt(_))));
    }

    #[test]
    fn a_value_has_the_form_that_is_described() {
        let value = ItemValue::new(b"\0v".to_vec()).unwrap();
        let item = item(&value);
        let time = Timestamp::from_second(1).unwrap();
        let plaintext = StoredItemValue::encode(time, &item.meta.content_type, &value).unwrap();
        assert_eq!(*plaintext, b"\0\0\0\0\0\0\0\x01\x0atext/plain\0v");
        for short in 0..=18 {
            let cut = Zeroizing::new(plaintext[..short].to_vec());
            assert!(StoredItemValue::decode(cut).is_none(), "{short} bytes");
        }
    }

    #[test]
    fn what_a_newer_program_has_added_to_an_item_is_kept() {
        let keys = keys();
        let value = ItemValue::new(Vec::new()).unwrap();
        let item = item(&value);
        let mut plaintext = rest::encode(&item.meta, &item.rest).unwrap();
        plaintext.pop();
        plaintext.extend_from_slice(br#","future":{"a":1}}"#);
        let row = seal_row(&keys, RecordKind::Item, item.id, item.version, &plaintext).unwrap();
        let next = Item::open(&keys, &row).unwrap().next(4, |_| ());
        let kept = rest::encode(&next.meta, &next.rest).unwrap();
        assert!(kept.ends_with(br#","future":{"a":1}}"#), "{}", String::from_utf8_lossy(&kept));
    }
}
