//! Another Secret Service on the bus, as its client. What it sends is checked like all that comes from elsewhere; its errors
//! are never repeated, since they may quote what was stored.

use std::collections::{BTreeMap, HashMap};

use secrets_proto::item::{Attributes, ContentType, ItemLabel, ItemValue};
use serde::Serialize;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DynamicType, OwnedObjectPath, OwnedVariant, Variant};
use zeroize::Zeroizing;

use crate::call::{self, Carried};
use crate::desk::{COLLECTION, ITEM, PROPERTIES, SERVICE, SERVICE_PATH};
use crate::path::NONE;
use crate::transfer::{ENCRYPTED, Offer, Transfer};

/// The service, with a session that shows no value to who listens on the bus.
pub(crate) struct Elsewhere {
    connection: Connection,
    /// Its unique name: nobody else can take that over meanwhile.
    owner: String,
    session: OwnedObjectPath,
    transfer: Transfer,
}

/// A collection there.
pub(crate) struct Collection {
    /// What it is shown as.
    pub(crate) label: String,
    /// Whether its items cannot be read.
    pub(crate) is_locked: bool,
    /// Its items.
    pub(crate) items: Vec<OwnedObjectPath>,
}

/// An item there, without its value.
pub(crate) struct Described {
    path: OwnedObjectPath,
    /// What it is shown as.
    pub(crate) label: String,
    /// What it is found by, unless the vault cannot keep it.
    pub(crate) kept: Result<(ItemLabel, Attributes), &'static str>,
}

type Said<T> = Result<T, &'static str>;

/// Why an item cannot be read.
const LOCKED: &str = "it is locked there";
const UNREADABLE: &str = "it cannot be read there";
const TOO_LARGE: &str = "it is larger than an item of the vault can be";

impl Elsewhere {
    /// Opens a session.
    pub(crate) async fn open(connection: Connection, owner: String) -> Said<Self> {
        const NONE: &str = "it opens no encrypted session";
        let offer = Offer::new().map_err(|_| "there is no random number")?;
        let body = (ENCRYPTED, Variant::from(offer.public()));
        let (theirs, session): (OwnedVariant, OwnedObjectPath) =
            ask(&connection, &owner, SERVICE_PATH, SERVICE, "OpenSession", &body).await.ok_or(NONE)?;
        let transfer = offer.accepted(&call::bytes(theirs)).map_err(|_| NONE)?;
        Ok(Self { connection, owner, session, transfer })
    }

    /// Its lasting collections.
    pub(crate) async fn collections(&self) -> Said<Vec<Collection>> {
        const UNNAMED: &str = "it does not name its collections";
        let mut paths = self.properties(SERVICE_PATH, SERVICE).await.ok_or(UNNAMED)?;
        let paths =
            paths.remove("Collections").and_then(|paths| Vec::<OwnedObjectPath>::try_from(paths).ok());
        let fleeting: Option<OwnedObjectPath> =
            self.ask(SERVICE_PATH, SERVICE, "ReadAlias", &"session").await;
        let mut collections = Vec::new();
        for path in paths.ok_or(UNNAMED)? {
            if fleeting.as_ref().is_some_and(|fleeting| fleeting.as_str() != NONE && *fleeting == path) {
                continue;
            }
            let mut properties = self.properties(path.as_str(), COLLECTION).await.ok_or(UNNAMED)?;
            if flag(properties.get("Locked")) == Some(true) && self.unlock(&path).await {
                properties = self.properties(path.as_str(), COLLECTION).await.ok_or(UNNAMED)?;
            }
            let items = properties.remove("Items").and_then(|items| Vec::try_from(items).ok());
            collections.push(Collection {
                label: text(properties.get("Label")).unwrap_or_default(),
                // What is not said is taken for a lock: then it is named.
                is_locked: flag(properties.get("Locked")).unwrap_or(true),
                items: items.ok_or(UNNAMED)?,
            });
        }
        Ok(collections)
    }

    /// Whether a collection can be unlocked without a person: some have no password.
    async fn unlock(&self, path: &OwnedObjectPath) -> bool {
        let unlocked: Option<(Vec<OwnedObjectPath>, OwnedObjectPath)> =
            self.ask(SERVICE_PATH, SERVICE, "Unlock", &vec![path]).await;
        unlocked.is_some_and(|(unlocked, _)| unlocked.contains(path))
    }

    /// What is known of an item; nothing if it is gone.
    pub(crate) async fn describe(&self, path: OwnedObjectPath) -> Option<Described> {
        let mut properties = self.properties(path.as_str(), ITEM).await?;
        let label = text(properties.get("Label")).unwrap_or_default();
        let attributes = properties.remove("Attributes").and_then(|found| call::attributes(found).ok());
        Some(Described { path, kept: fitting(&label, attributes), label })
    }

    /// An item's value.
    pub(crate) async fn value(&self, item: &Described) -> Said<(ItemValue, ContentType)> {
        let path = item.path.as_str();
        let found: Option<(Carried,)> = self.ask(path, ITEM, "GetSecret", &self.session).await;
        let Some(((_, parameters, carried, content_type),)) = found else {
            let properties = self.properties(path, ITEM).await.unwrap_or_default();
            let is_locked = flag(properties.get("Locked")).unwrap_or(false);
            return Err(if is_locked { LOCKED } else { UNREADABLE });
        };
        let value = self.transfer.unwrap(&parameters, Zeroizing::new(carried));
        let mut value = value.map_err(|_| UNREADABLE)?;
        let value = ItemValue::new(std::mem::take(&mut *value)).map_err(|_| TOO_LARGE)?;
        Ok((value, ContentType::try_from(content_type).map_err(|_| TOO_LARGE)?))
    }

    async fn properties(&self, path: &str, interface: &str) -> Option<HashMap<String, OwnedVariant>> {
        self.ask(path, PROPERTIES, "GetAll", &interface).await
    }

    async fn ask<T: for<'a> DynamicDeserialize<'a>>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Option<T> {
        ask(&self.connection, &self.owner, path, interface, member, body).await
    }
}

async fn ask<T: for<'a> DynamicDeserialize<'a>>(
    connection: &Connection,
    owner: &str,
    path: &str,
    interface: &str,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> Option<T> {
    let reply = connection.call_method(Some(owner), path, Some(interface), member, body).await.ok()?;
    reply.body().deserialize().ok()
}

fn fitting(label: &str, attributes: Option<BTreeMap<String, String>>) -> Said<(ItemLabel, Attributes)> {
    let label = ItemLabel::try_from(label.to_owned()).map_err(|_| TOO_LARGE)?;
    let attributes = Attributes::try_from(attributes.ok_or(UNREADABLE)?).map_err(|_| TOO_LARGE)?;
    Ok((label, attributes))
}

fn text(value: Option<&OwnedVariant>) -> Option<String> {
    value?.downcast_ref::<&str>().map(ToOwned::to_owned).ok()
}

fn flag(value: Option<&OwnedVariant>) -> Option<bool> {
    value?.downcast_ref::<bool>().ok()
}
