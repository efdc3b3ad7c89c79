//! What can be done with one item, wherever it is kept.

use std::sync::Arc;

use secrets_proto::Uuid;
use secrets_proto::item::{
    Attributes, ContentType, CreateItem, Item, ItemLabel, ItemValue, PatchItem, UpdateItemValue,
};
use zbus::{ObjectPath, Variant};

use crate::daemon::ask_of;
use crate::desk::{Asker, COLLECTION, Desk, ITEM};
use crate::error::Error;
use crate::path::{ItemId, Kept};

/// What is known of an item.
pub(crate) struct Shown {
    /// What it is shown as.
    pub(crate) label: String,
    /// What it is found by.
    pub(crate) attributes: Attributes,
    /// When it was stored and last changed, in seconds since 1970.
    pub(crate) created: u64,
    pub(crate) modified: u64,
    /// Whether its value would not be given to who asks.
    pub(crate) is_locked: bool,
}

/// Where an item is.
enum Place {
    Vault(Uuid),
    Memory(u64),
}

/// What has become of an item that was to be stored.
pub(crate) enum Stored {
    /// It is there.
    As(ItemId),
    /// A person must be asked first; nothing was stored.
    Waits(Box<CreateItem>),
}

/// An item that was found.
pub(crate) struct Found {
    /// Which.
    pub(crate) item: ItemId,
    /// Whether its value would not be given to who asks.
    pub(crate) is_locked: bool,
}

/// All items of a collection that have at least these attributes, the newest change first. In a locked vault it is one
/// that stands for them.
pub(crate) async fn search(
    desk: &Arc<Desk>,
    asker: &Asker,
    kept: Kept,
    attributes: &Attributes,
) -> Result<Vec<Found>, Error> {
    if kept == Kept::Session {
        let found = desk.memory().search(attributes);
        return Ok(found
            .into_iter()
            .map(|id| Found { item: ItemId::Memory(id), is_locked: false })
            .collect());
    }
    let outcome = desk.daemon.search(&asker.facts(), attributes.clone()).await;
    match desk.heard(outcome).await {
        Ok(found) => {
            let found = found.into_iter();
            Ok(found.map(|item| Found { item: ItemId::Vault(item.id), is_locked: item.locked }).collect())
        }
        Err(Error::IsLocked) => {
            Ok(vec![Found { item: desk.held().stand_in(attributes.clone()), is_locked: true }])
        }
        Err(error) => Err(error),
    }
}

/// Where an item is. What a stand-in stands for is looked for.
async fn place(desk: &Arc<Desk>, asker: &Asker, item: ItemId) -> Result<Place, Error> {
    match item {
        ItemId::Vault(id) => Ok(Place::Vault(id)),
        ItemId::Memory(id) => Ok(Place::Memory(id)),
        ItemId::StandIn(number) => {
            let attributes = desk.held().searched(number)?;
            let found = desk.heard(desk.daemon.search(&asker.facts(), attributes).await).await?;
            found.first().map(|item| Place::Vault(item.id)).ok_or(Error::NoSuchObject)
        }
    }
}

/// What is known of an item; of one in a locked vault next to nothing.
pub(crate) async fn shown(desk: &Arc<Desk>, asker: &Asker, item: ItemId) -> Result<Shown, Error> {
    let outcome = match place(desk, asker, item).await {
        Ok(Place::Memory(id)) => {
            let memory = desk.memory();
            let item = memory.get(id)?;
            return Ok(Shown {
                label: item.label.as_str().to_owned(),
                attributes: item.attributes.clone(),
                created: item.created,
                modified: item.modified,
                is_locked: false,
            });
        }
        Ok(Place::Vault(id)) => desk.heard(desk.daemon.item(&asker.facts(), id).await).await,
        Err(error) => Err(error),
    };
    let seconds = |time: secrets_proto::Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
    match outcome {
        Ok(found) => Ok(Shown {
            created: seconds(found.created_at),
            modified: seconds(found.updated_at),
            label: found.label.into(),
            attributes: found.attributes,
            is_locked: found.locked,
        }),
        Err(Error::IsLocked) => {
            let attributes = match item {
                ItemId::StandIn(number) => desk.held().searched(number)?,
                ItemId::Vault(_) | ItemId::Memory(_) => Attributes::default(),
            };
            Ok(Shown { label: String::new(), attributes, created: 0, modified: 0, is_locked: true })
        }
        Err(error) => Err(error),
    }
}

/// An item's value and what it is.
pub(crate) async fn value(
    desk: &Arc<Desk>,
    asker: &Asker,
    item: ItemId,
) -> Result<(ItemValue, String), Error> {
    match place(desk, asker, item).await? {
        Place::Vault(id) => desk.heard(desk.daemon.reveal(&asker.facts(), id).await).await,
        Place::Memory(id) => {
            let memory = desk.memory();
            let item = memory.get(id)?;
            Ok((item.value.clone(), item.content_type.clone()))
        }
    }
}

/// Gives an item another value.
pub(crate) async fn set_value(
    desk: &Arc<Desk>,
    asker: &Asker,
    item: ItemId,
    value: ItemValue,
    content_type: ContentType,
) -> Result<(), Error> {
    match place(desk, asker, item).await? {
        Place::Vault(id) => {
            let update = UpdateItemValue { content_type, value_base64: value };
            desk.heard(desk.daemon.set_value(&asker.facts(), id, &update).await).await?;
        }
        Place::Memory(id) => desk.memory().set_value(id, value, content_type.into())?,
    }
    told_changed(desk, item).await;
    Ok(())
}

/// Changes an item's label or attributes.
pub(crate) async fn change(
    desk: &Arc<Desk>,
    asker: &Asker,
    item: ItemId,
    label: Option<ItemLabel>,
    attributes: Option<Attributes>,
) -> Result<(), Error> {
    match place(desk, asker, item).await? {
        Place::Vault(id) => {
            let change = PatchItem { label: label.clone(), attributes: attributes.clone() };
            desk.heard(desk.daemon.change(&asker.facts(), id, &change).await).await?;
        }
        Place::Memory(id) => {
            let mut memory = desk.memory();
            let item = memory.change(id)?;
            if let Some(label) = label.clone() {
                item.label = label;
            }
            if let Some(attributes) = attributes.clone() {
                item.attributes = attributes;
            }
        }
    }
    let path = item.path();
    if let Some(label) = label {
        desk.changed(&path, ITEM, [("Label", Variant::from(String::from(label)))]).await;
    }
    if let Some(attributes) = attributes {
        desk.changed(&path, ITEM, [("Attributes", Variant::from(attributes.pairs().clone()))]).await;
    }
    told_changed(desk, item).await;
    Ok(())
}

/// Deletes an item.
pub(crate) async fn delete(desk: &Arc<Desk>, asker: &Asker, item: ItemId) -> Result<(), Error> {
    let place = place(desk, asker, item).await?;
    match place {
        Place::Vault(id) => desk.heard(desk.daemon.delete(&asker.facts(), id).await).await?,
        Place::Memory(id) => desk.memory().delete(id)?,
    }
    told(desk, item, "ItemDeleted").await;
    Ok(())
}

/// Stores an item, unless a person must be asked first.
pub(crate) async fn store(
    desk: &Arc<Desk>,
    asker: &Asker,
    kept: Kept,
    item: Box<CreateItem>,
) -> Result<Stored, Error> {
    let (id, is_new) = if kept == Kept::Session {
        let CreateItem { label, attributes, content_type, value_base64, replace } = *item;
        let value = (value_base64, content_type.into());
        let (id, is_new) = desk.memory().create(label, attributes, value, replace)?;
        (ItemId::Memory(id), is_new)
    } else {
        let outcome = desk.daemon.create(&asker.facts(), &item).await;
        match desk.heard(outcome).await {
            Ok(Item { id, version, .. }) => (ItemId::Vault(id), version == 1),
            Err(Error::IsLocked) => return Ok(Stored::Waits(item)),
            Err(error) => return Err(error),
        }
    };
    if is_new {
        told(desk, id, "ItemCreated").await;
    } else {
        told_changed(desk, id).await;
    }
    Ok(Stored::As(id))
}

/// The ask that must be answered before the item's value is given to who asks; `None` if nothing is in the way. A lock is
/// not looked at.
pub(crate) async fn ask_for(desk: &Arc<Desk>, asker: &Asker, item: ItemId) -> Result<Option<Uuid>, Error> {
    let Place::Vault(id) = place(desk, asker, item).await? else { return Ok(None) };
    let facts = asker.facts();
    if !desk.heard(desk.daemon.item(&facts, id).await).await?.locked {
        return Ok(None);
    }
    // An ask is made by doing what it is about.
    let outcome = desk.daemon.reveal(&facts, id).await;
    if let Err(refusal) = &outcome
        && let Some(ask) = ask_of(refusal)
    {
        return Ok(Some(ask));
    }
    desk.heard(outcome).await.map(|_| None)
}

async fn told(desk: &Arc<Desk>, item: ItemId, member: &str) {
    let (collection, path): (_, ObjectPath<'_>) = (item.kept().path(), item.path());
    desk.signal(None, collection.as_str(), COLLECTION, member, &path).await;
}

async fn told_changed(desk: &Arc<Desk>, item: ItemId) {
    told(desk, item, "ItemChanged").await;
}

/// The ask that must be answered before the item may be deleted.
pub(crate) async fn ask_for_delete(
    desk: &Arc<Desk>,
    asker: &Asker,
    item: ItemId,
) -> Result<Option<Uuid>, Error> {
    let Place::Vault(id) = place(desk, asker, item).await? else { return Ok(None) };
    let outcome = desk.daemon.delete(&asker.facts(), id).await;
    Ok(outcome.err().as_ref().and_then(ask_of))
}
