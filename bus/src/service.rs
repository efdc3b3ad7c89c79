//! The methods of the service itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use secrets_proto::item::Attributes;
use tokio::task::JoinSet;
use zbus::{Message, ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use crate::call::{self, Call, Properties};
use crate::desk::{Asker, Desk};
use crate::error::Error;
use crate::held::{Locked, Work};
use crate::items;
use crate::path::{ItemId, Kept, NONE, Object};
use crate::transfer::{ENCRYPTED, PLAIN, Transfer};

/// How many values are asked for at the same time.
const AT_ONCE: usize = 16;

/// Answers a call of the service.
pub(crate) async fn answer(desk: &Arc<Desk>, asker: &Arc<Asker>, call: &Call) -> Result<Message, Error> {
    match call.member.as_str() {
        "OpenSession" => open_session(desk, asker, call),
        "CreateCollection" => create_collection(call),
        "SearchItems" => search(desk, asker, call).await,
        "Unlock" => unlock(desk, asker, call).await,
        "Lock" => lock(desk, asker, call).await,
        "GetSecrets" => secrets(desk, asker, call).await,
        "ReadAlias" => {
            let alias: String = call.arguments()?;
            call.answer(&Kept::by_alias(&alias).map_or_else(none, Kept::path))
        }
        "SetAlias" => set_alias(call),
        _ => Err(Error::UnknownMethod),
    }
}

fn none() -> ObjectPath<'static> {
    ObjectPath::from_string_unchecked(NONE.to_owned())
}

fn open_session(desk: &Desk, asker: &Asker, call: &Call) -> Result<Message, Error> {
    let (algorithm, input): (String, OwnedVariant) = call.arguments()?;
    let (transfer, output) = match algorithm.as_str() {
        PLAIN => (Transfer::Plain, Variant::from("")),
        ENCRYPTED => {
            let (transfer, ours) = Transfer::agree(&call::bytes(input))?;
            (transfer, Variant::from(ours))
        }
        _ => return Err(Error::NotSupported("this algorithm is not known here")),
    };
    let number = desk.held().open(&asker.name, transfer)?;
    call.answer(&(output, Object::numbered("session", number)))
}

fn create_collection(call: &Call) -> Result<Message, Error> {
    let (_, alias): (Properties, String) = call.arguments()?;
    if alias != "default" {
        return Err(Error::NotSupported("there is one collection; use that with the alias default"));
    }
    call.answer(&(Kept::Login.path(), none()))
}

fn set_alias(call: &Call) -> Result<Message, Error> {
    let (alias, path): (String, OwnedObjectPath) = call.arguments()?;
    match (Kept::by_alias(&alias), Object::at(path.as_str())) {
        (Some(has), Some(Object::Collection(wanted))) if has == wanted => call.answer(&()),
        _ => Err(Error::NotSupported("the aliases cannot be changed")),
    }
}

async fn search(desk: &Arc<Desk>, asker: &Asker, call: &Call) -> Result<Message, Error> {
    let attributes = wanted(call)?;
    let (mut unlocked, mut locked) = (Vec::new(), Vec::new());
    for kept in Kept::ALL {
        for found in items::search(desk, asker, kept, &attributes).await? {
            if found.is_locked { &mut locked } else { &mut unlocked }.push(found.item.path());
        }
    }
    call.answer(&(unlocked, locked))
}

/// The attributes that a search is for.
pub(crate) fn wanted(call: &Call) -> Result<Attributes, Error> {
    let attributes: BTreeMap<String, String> = call.arguments()?;
    Attributes::try_from(attributes)
        .map_err(|_| Error::LimitsExceeded("an item has at most 64 attributes of at most 1024 bytes"))
}

async fn unlock(desk: &Arc<Desk>, asker: &Arc<Asker>, call: &Call) -> Result<Message, Error> {
    let paths: Vec<OwnedObjectPath> = call.arguments()?;
    let (mut unlocked, mut waiting) = (Vec::new(), Vec::new());
    let mut is_open = None;
    for path in paths {
        let item = match Object::at(path.as_str()) {
            Some(Object::Collection(Kept::Login)) => None,
            Some(Object::Item(item)) if item.kept() == Kept::Login => Some(item),
            Some(Object::Collection(Kept::Session)) => {
                unlocked.push(path);
                continue;
            }
            Some(Object::Item(ItemId::Memory(id))) if desk.memory().get(id).is_ok() => {
                unlocked.push(path);
                continue;
            }
            // What is not there cannot be unlocked; the others can.
            _ => continue,
        };
        let is_open = match is_open {
            Some(is_open) => is_open,
            None => *is_open.insert(desk.is_open().await?),
        };
        let is_locked = match item {
            Some(item) if is_open => match items::shown(desk, asker, item).await {
                Ok(shown) => shown.is_locked,
                Err(Error::NoSuchObject) => continue,
                Err(error) => return Err(error),
            },
            _ => !is_open,
        };
        if is_locked {
            waiting.push(Locked { path: path.as_str().to_owned(), item });
        } else {
            unlocked.push(path);
        }
    }
    let prompt = if waiting.is_empty() {
        none()
    } else {
        let number = desk.held().prompt(&asker.name, Work::Unlock(waiting))?;
        Object::numbered("prompt", number)
    };
    call.answer(&(unlocked, prompt))
}

async fn lock(desk: &Arc<Desk>, asker: &Asker, call: &Call) -> Result<Message, Error> {
    let paths: Vec<OwnedObjectPath> = call.arguments()?;
    let mut locked = Vec::new();
    for path in paths {
        let is_there = match Object::at(path.as_str()) {
            Some(Object::Collection(Kept::Login)) => true,
            Some(Object::Item(item)) if item.kept() == Kept::Login => {
                items::shown(desk, asker, item).await.is_ok()
            }
            _ => false,
        };
        if is_there {
            locked.push(path);
        }
    }
    if !locked.is_empty() && desk.is_open().await? {
        desk.lock().await?;
    }
    call.answer(&(locked, none()))
}

async fn secrets(desk: &Arc<Desk>, asker: &Arc<Asker>, call: &Call) -> Result<Message, Error> {
    let (paths, session): (Vec<OwnedObjectPath>, OwnedObjectPath) = call.arguments()?;
    let transfer = transfer(desk, asker, session.as_str())?;
    let mut wanted: Vec<(OwnedObjectPath, ItemId)> = Vec::new();
    for path in paths {
        if let Some(Object::Item(item)) = Object::at(path.as_str()) {
            wanted.push((path, item));
        }
    }
    let mut values = HashMap::new();
    let mut asked = JoinSet::new();
    let mut wanted = wanted.into_iter();
    loop {
        while asked.len() < AT_ONCE
            && let Some((path, item)) = wanted.next()
        {
            let (desk, asker) = (Arc::clone(desk), Arc::clone(asker));
            asked.spawn(async move { (path, items::value(&desk, &asker, item).await) });
        }
        let Some(done) = asked.join_next().await else { break };
        let (path, outcome) = done.map_err(|_| Error::failed("a value could not be asked for"))?;
        match outcome {
            Ok((value, content_type)) => {
                let (parameters, carried) = transfer.wrap(value.expose())?;
                values.insert(path, (session.clone(), parameters, carried, content_type));
            }
            // What is locked or gone is left out, as the specification has it.
            Err(Error::IsLocked | Error::NoSuchObject | Error::Denied) => {}
            Err(error) => return Err(error),
        }
    }
    call.answer(&values)
}

/// The session at this path, if it is of this connection.
pub(crate) fn transfer(desk: &Desk, asker: &Asker, path: &str) -> Result<Arc<Transfer>, Error> {
    let Some(Object::Session(number)) = Object::at(path) else { return Err(Error::NoSession) };
    desk.held().session(&asker.name, number)
}
