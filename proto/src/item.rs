//! The operations on `/items`: secrets that are found by their attributes, as the Secret Service has them. They are no
//! secrets of `/user/secrets`, and those are no items.
//!
//! What is larger than an item can be is refused as that ([`FieldErrorType::LimitExceeded`](crate::FieldErrorType::LimitExceeded)); nothing is cut.

pub(crate) mod field;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::vault::VaultState;
use crate::{Timestamp, printable};

pub use field::{Attributes, ContentType, ItemLabel, ItemValue};

/// The most items that there can be outside the trash, and the most that the trash keeps.
pub const MAX_ITEMS: usize = 10_000;

/// An item as the audit log and asks name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NamedItem {
    /// The item's id.
    pub id: Uuid,
    /// The beginning of the label that it had, safe to print.
    pub label: String,
}

impl NamedItem {
    /// The most characters of a label.
    pub const MAX_LABEL: usize = 100;

    /// Names an item.
    pub fn new(id: Uuid, label: &ItemLabel) -> Self {
        let shown = printable::each(label.as_str()).map(|(_, shown)| shown);
        Self { id, label: shown.take(Self::MAX_LABEL).collect() }
    }
}

/// What the API tells about an item: all but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Item {
    /// The item's id, which never changes.
    pub id: Uuid,
    /// What it is shown as.
    pub label: ItemLabel,
    /// What it is found by.
    pub attributes: Attributes,
    /// What its value is.
    pub content_type: ContentType,
    /// How many bytes the value has.
    pub size: u64,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts every change; `If-Match` compares it.
    pub version: u64,
    /// Whether a person decides who may have or change it; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guarded: bool,
    /// Whether it is guarded and its value would not be given to who asks, because nobody has allowed that yet or it was
    /// denied; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
}

/// Answer of `POST /items/search`, the newest change first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemList {
    /// The items.
    pub items: Vec<Item>,
    /// How many there are in `items`.
    pub total: usize,
}

/// Body of `POST /items/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct SearchItems {
    /// Items that have all of these are found; with none, all items.
    pub attributes: Attributes,
}

/// Body of `POST /items`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct CreateItem {
    /// What it is to be shown as.
    pub label: ItemLabel,
    /// What it is to be found by.
    pub attributes: Attributes,
    /// What the value is; absent is empty.
    #[serde(default)]
    pub content_type: ContentType,
    /// The value.
    pub value_base64: ItemValue,
    /// Whether an item that has exactly these attributes gets the label and the value, as a new version. Of several that
    /// have them it is the one that was changed last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

/// Body of `PATCH /items/{id}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct PatchItem {
    /// A new label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "ItemLabel"))]
    pub label: Option<ItemLabel>,
    /// New attributes in the place of all that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Attributes"))]
    pub attributes: Option<Attributes>,
}

/// Body of `PUT /items/{id}/value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct UpdateItemValue {
    /// What the value is; absent is empty.
    #[serde(default)]
    pub content_type: ContentType,
    /// The new value.
    pub value_base64: ItemValue,
}

/// Answer of `POST /items/{id}/reveal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RevealedItem {
    /// The item's id.
    pub id: Uuid,
    /// What the value is.
    pub content_type: ContentType,
    /// The value.
    pub value_base64: ItemValue,
}

/// Answer of `GET /items/{id}/versions`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemVersionList {
    /// The versions of the value that are kept, the present one included; at most 10.
    pub versions: Vec<ItemVersion>,
}

/// One version of an item's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemVersion {
    /// The item's version in which this value was stored. Changes of label and attributes count too, so there may be gaps.
    pub version: u64,
    /// What the value is.
    pub content_type: ContentType,
    /// How many bytes it has.
    pub size: u64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Whether it is the present value.
    pub current: bool,
}

/// Answer of `GET /items/trash`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemTrash {
    /// The deleted items.
    pub items: Vec<TrashedItem>,
    /// How many there are in `items`.
    pub total: usize,
}

/// A deleted item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TrashedItem {
    /// The item.
    #[serde(flatten)]
    pub item: Item,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// When it will be destroyed: 30 days later, at the first unlock from then on.
    pub purged_at: Timestamp,
}

/// Answer of `GET /items/collection`: what holds all items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Collection {
    /// What it is shown as; `Login` unless it was given another label.
    pub label: ItemLabel,
    /// How many items there are.
    pub total: usize,
    /// When its label was set or the first item was stored; null if neither was ever done.
    pub created_at: Option<Timestamp>,
    /// When it or an item was last changed; null if that was never done.
    pub updated_at: Option<Timestamp>,
}

/// Body of `PATCH /items/collection`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct PatchCollection {
    /// A new label.
    pub label: ItemLabel,
}

/// Answer of `GET /items/changes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemChanges {
    /// Whether the vault is open. A lock closes the connections of those who wait.
    pub state: VaultState,
    /// Is another number after every lock, unlock and change of an item, its guard, what is allowed of it or the
    /// collection's label: a client that waits `after` it misses none. It is nothing but a number to wait with.
    pub changes: u64,
}
