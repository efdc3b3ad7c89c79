//! The properties of objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrets_proto::item::Attributes;
use zbus::{Message, ObjectPath, OwnedVariant, Variant};

use crate::call::{self, Call};
use crate::desk::{Asker, COLLECTION, Desk, ITEM, PROMPT, SERVICE, SESSION};
use crate::error::Error;
use crate::path::{ItemId, Kept, Object};
use crate::{items, objects};

type All = BTreeMap<&'static str, Variant<'static>>;

/// Answers a call of `org.freedesktop.DBus.Properties`.
pub(crate) async fn answer(
    desk: &Arc<Desk>,
    asker: &Arc<Asker>,
    object: Object,
    call: &Call,
) -> Result<Message, Error> {
    match call.member.as_str() {
        "Get" => {
            let (interface, name): (String, String) = call.arguments()?;
            check(object, &interface)?;
            let value = match (object, name.as_str()) {
                // Asked for often, and known without the rest.
                (Object::Collection(kept), "Locked") => Variant::from(is_locked(desk, kept).await?),
                _ => all(desk, asker, object).await?.remove(name.as_str()).ok_or(Error::UnknownProperty)?,
            };
            call.answer(&value)
        }
        "GetAll" => {
            let interface: String = call.arguments()?;
            check(object, &interface)?;
            call.answer(&all(desk, asker, object).await?)
        }
        "Set" => {
            let (interface, name, value): (String, String, OwnedVariant) = call.arguments()?;
            check(object, &interface)?;
            set(desk, asker, object, &name, value).await?;
            call.answer(&())
        }
        _ => Err(Error::UnknownMethod),
    }
}

/// The interface that an object's own methods and properties are of.
pub(crate) const fn interface(object: Object) -> &'static str {
    match object {
        Object::Service => SERVICE,
        Object::Collection(_) => COLLECTION,
        Object::Item(_) => ITEM,
        Object::Session(_) => SESSION,
        Object::Prompt(_) => PROMPT,
        Object::Branch(_) => "",
    }
}

fn check(object: Object, named: &str) -> Result<(), Error> {
    if named.is_empty() || named == interface(object) { Ok(()) } else { Err(Error::UnknownInterface) }
}

async fn is_locked(desk: &Arc<Desk>, kept: Kept) -> Result<bool, Error> {
    Ok(kept == Kept::Login && !desk.is_open().await?)
}

async fn all(desk: &Arc<Desk>, asker: &Asker, object: Object) -> Result<All, Error> {
    match object {
        Object::Service => {
            Ok(All::from([("Collections", Variant::from(Kept::ALL.map(Kept::path).to_vec()))]))
        }
        Object::Collection(Kept::Session) => {
            let memory = desk.memory();
            let paths = memory.ids().into_iter().map(|id| ItemId::Memory(id).path()).collect();
            Ok(of_collection(paths, memory.label.as_str(), false, memory.created, memory.created))
        }
        Object::Collection(Kept::Login) => login(desk, asker).await,
        Object::Item(item) => {
            let shown = items::shown(desk, asker, item).await?;
            Ok(All::from([
                ("Locked", Variant::from(shown.is_locked)),
                ("Attributes", Variant::from(shown.attributes.pairs().clone())),
                ("Label", Variant::from(shown.label)),
                ("Created", Variant::from(shown.created)),
                ("Modified", Variant::from(shown.modified)),
            ]))
        }
        Object::Session(_) | Object::Prompt(_) | Object::Branch(_) => Ok(All::new()),
    }
}

async fn login(desk: &Arc<Desk>, asker: &Asker) -> Result<All, Error> {
    if !desk.is_open().await? {
        return Ok(of_collection(Vec::new(), "Login", true, 0, 0));
    }
    let found = items::search(desk, asker, Kept::Login, &Attributes::default()).await?;
    let paths: Vec<ObjectPath<'_>> = found.iter().map(|found| found.item.path()).collect();
    let collection = desk.heard(desk.daemon.collection().await).await?;
    let seconds = |time: Option<secrets_proto::Timestamp>| {
        time.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or(0)
    };
    let (created, modified) = (seconds(collection.created_at), seconds(collection.updated_at));
    Ok(of_collection(paths, collection.label.as_str(), false, created, modified))
}

fn of_collection(
    items: Vec<ObjectPath<'static>>,
    label: &str,
    is_locked: bool,
    created: u64,
    modified: u64,
) -> All {
    All::from([
        ("Items", Variant::from(items)),
        ("Label", Variant::from(label.to_owned())),
        ("Locked", Variant::from(is_locked)),
        ("Created", Variant::from(created)),
        ("Modified", Variant::from(modified)),
    ])
}

async fn set(
    desk: &Arc<Desk>,
    asker: &Asker,
    object: Object,
    name: &str,
    value: OwnedVariant,
) -> Result<(), Error> {
    match (object, name) {
        (Object::Collection(kept), "Label") => {
            let label = objects::label(call::text(&value)?)?;
            if kept == Kept::Session {
                desk.memory().label = label.clone();
            } else {
                desk.heard(desk.daemon.label_collection(&asker.facts(), label.clone()).await).await?;
            }
            let label = String::from(label);
            desk.changed(&kept.path(), COLLECTION, [("Label", Variant::from(label))]).await;
            Ok(())
        }
        (Object::Item(item), "Label") => {
            let label = objects::label(call::text(&value)?)?;
            items::change(desk, asker, item, Some(label), None).await
        }
        (Object::Item(item), "Attributes") => {
            let attributes = objects::attributes(call::attributes(value)?)?;
            items::change(desk, asker, item, None, Some(attributes)).await
        }
        (Object::Service, "Collections")
        | (Object::Collection(_), "Items" | "Locked" | "Created" | "Modified")
        | (Object::Item(_), "Locked" | "Created" | "Modified") => Err(Error::PropertyReadOnly),
        _ => Err(Error::UnknownProperty),
    }
}
