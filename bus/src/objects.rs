//! The methods of collections, items, sessions and prompts.

use std::sync::Arc;

use secrets_proto::item::{Attributes, ContentType, CreateItem, ItemLabel, ItemValue};
use zbus::{Message, ObjectPath, OwnedObjectPath};
use zeroize::Zeroizing;

use crate::call::{self, Call, Carried, Properties};
use crate::desk::{Asker, Desk};
use crate::error::Error;
use crate::held::Work;
use crate::items::{self, Stored};
use crate::path::{ItemId, Kept, NONE, Object};
use crate::{prompts, service};

/// The properties of a new item.
const LABEL: &str = "org.freedesktop.Secret.Item.Label";
const ATTRIBUTES: &str = "org.freedesktop.Secret.Item.Attributes";

fn none() -> ObjectPath<'static> {
    ObjectPath::from_string_unchecked(NONE.to_owned())
}

/// Answers a call of a collection.
pub(crate) async fn collection(
    desk: &Arc<Desk>,
    asker: &Arc<Asker>,
    kept: Kept,
    call: &Call,
) -> Result<Message, Error> {
    match call.member.as_str() {
        "SearchItems" => {
            let attributes = service::wanted(call)?;
            let found = items::search(desk, asker, kept, &attributes).await?;
            let paths: Vec<ObjectPath<'_>> = found.iter().map(|found| found.item.path()).collect();
            call.answer(&paths)
        }
        "CreateItem" => create(desk, asker, kept, call).await,
        "Delete" => {
            call.nothing()?;
            Err(Error::NotSupported("a collection cannot be deleted"))
        }
        _ => Err(Error::UnknownMethod),
    }
}

async fn create(desk: &Arc<Desk>, asker: &Arc<Asker>, kept: Kept, call: &Call) -> Result<Message, Error> {
    let (properties, carried, replace): (Properties, Carried, bool) = call.arguments()?;
    let (value, content_type) = opened(desk, asker, carried)?;
    let (mut label, mut attributes) = (ItemLabel::default(), Attributes::default());
    for (name, property) in properties {
        match name.as_str() {
            LABEL => label = self::label(call::text(&property)?)?,
            ATTRIBUTES => attributes = self::attributes(call::attributes(property)?)?,
            // Others are allowed, and mean nothing here.
            _ => {}
        }
    }
    let item = CreateItem { label, attributes, content_type, value_base64: value, replace };
    match items::store(desk, asker, kept, Box::new(item)).await? {
        Stored::As(id) => call.answer(&(id.path(), none())),
        Stored::Waits(item) => {
            let number = desk.held().prompt(&asker.name, Work::Create(item))?;
            call.answer(&(none(), Object::numbered("prompt", number)))
        }
    }
}

/// A label that can be kept.
pub(crate) fn label(text: String) -> Result<ItemLabel, Error> {
    ItemLabel::try_from(text).map_err(|_| Error::LimitsExceeded("a label has at most 1000 bytes"))
}

/// Attributes that can be kept.
pub(crate) fn attributes(pairs: std::collections::BTreeMap<String, String>) -> Result<Attributes, Error> {
    Attributes::try_from(pairs)
        .map_err(|_| Error::LimitsExceeded("an item has at most 64 attributes of at most 1024 bytes"))
}

/// The value that came over a session of this connection, and what it is.
fn opened(desk: &Desk, asker: &Asker, carried: Carried) -> Result<(ItemValue, ContentType), Error> {
    let (session, parameters, bytes, content_type) = carried;
    let bytes = Zeroizing::new(bytes);
    let transfer = service::transfer(desk, asker, session.as_str())?;
    let mut value = transfer.unwrap(&parameters, bytes)?;
    let value = ItemValue::new(std::mem::take(&mut *value))
        .map_err(|_| Error::LimitsExceeded("a value has at most 65536 bytes; nothing was stored"))?;
    let content_type = ContentType::try_from(content_type)
        .map_err(|_| Error::LimitsExceeded("a content type has at most 255 bytes"))?;
    Ok((value, content_type))
}

/// Answers a call of an item.
pub(crate) async fn item(
    desk: &Arc<Desk>,
    asker: &Arc<Asker>,
    item: ItemId,
    call: &Call,
) -> Result<Message, Error> {
    match call.member.as_str() {
        "GetSecret" => {
            let session: OwnedObjectPath = call.arguments()?;
            let transfer = service::transfer(desk, asker, session.as_str())?;
            let (value, content_type) = items::value(desk, asker, item).await?;
            let (parameters, carried) = transfer.wrap(value.expose())?;
            // One argument, which is a structure.
            call.answer(&((session, parameters, carried, content_type),))
        }
        "SetSecret" => {
            let carried: Carried = call.arguments()?;
            let (value, content_type) = opened(desk, asker, carried)?;
            items::set_value(desk, asker, item, value, content_type).await?;
            call.answer(&())
        }
        "Delete" => {
            call.nothing()?;
            match items::delete(desk, asker, item).await {
                Ok(()) => call.answer(&none()),
                Err(Error::IsLocked) => {
                    let number = desk.held().prompt(&asker.name, Work::Delete(item))?;
                    call.answer(&Object::numbered("prompt", number))
                }
                Err(error) => Err(error),
            }
        }
        _ => Err(Error::UnknownMethod),
    }
}

/// Answers a call of a session.
pub(crate) fn session(desk: &Desk, asker: &Asker, number: u64, call: &Call) -> Result<Message, Error> {
    match call.member.as_str() {
        "Close" => {
            call.nothing()?;
            desk.held().close(&asker.name, number)?;
            call.answer(&())
        }
        _ => Err(Error::UnknownMethod),
    }
}

/// Answers a call of a prompt.
pub(crate) async fn prompt(
    desk: &Arc<Desk>,
    asker: &Arc<Asker>,
    number: u64,
    call: &Call,
) -> Result<Message, Error> {
    match call.member.as_str() {
        "Prompt" => {
            // The window that it is for is nothing to us: the approver has its own.
            let _window: String = call.arguments()?;
            prompts::show(desk, asker, number)?;
            call.answer(&())
        }
        "Dismiss" => {
            call.nothing()?;
            prompts::dismiss(desk, asker, number).await?;
            call.answer(&())
        }
        _ => Err(Error::UnknownMethod),
    }
}
