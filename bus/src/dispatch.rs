//! Which method a call is of.

use std::sync::Arc;

use zbus::Message;

use crate::call::Call;
use crate::desk::{
    Asker, COLLECTION, Desk, INTROSPECTABLE, ITEM, PEER, PROMPT, PROPERTIES, SERVICE, SESSION,
};
use crate::error::Error;
use crate::path::Object;
use crate::{introspect, objects, properties, service};

/// Answers a call.
pub(crate) async fn answer(desk: &Arc<Desk>, asker: &Arc<Asker>, call: &Call) -> Result<Message, Error> {
    if call.interface.as_deref() == Some(PEER) {
        return peer(call);
    }
    let object = call.object.ok_or(Error::NoSuchObject)?;
    if let Object::Session(number) = object {
        // Another connection's is none.
        desk.held().session(&asker.name, number)?;
    }
    let own = properties::interface(object);
    // Without an interface it is the object's own method of that name.
    let interface = call.interface.as_deref().unwrap_or(match call.member.as_str() {
        "Introspect" => INTROSPECTABLE,
        "Get" | "GetAll" | "Set" => PROPERTIES,
        "Ping" | "GetMachineId" => PEER,
        _ => own,
    });
    match interface {
        INTROSPECTABLE => {
            if call.member != "Introspect" {
                return Err(Error::UnknownMethod);
            }
            call.nothing()?;
            call.answer(&introspect::description(object))
        }
        PEER => peer(call),
        PROPERTIES if !own.is_empty() => properties::answer(desk, asker, object, call).await,
        _ if interface != own => Err(Error::UnknownInterface),
        SERVICE => service::answer(desk, asker, call).await,
        COLLECTION | ITEM | SESSION | PROMPT => match object {
            Object::Collection(kept) => objects::collection(desk, asker, kept, call).await,
            Object::Item(item) => objects::item(desk, asker, item, call).await,
            Object::Session(number) => objects::session(desk, asker, number, call),
            Object::Prompt(number) => objects::prompt(desk, asker, number, call).await,
            Object::Service | Object::Branch(_) => Err(Error::UnknownMethod),
        },
        _ => Err(Error::UnknownInterface),
    }
}

fn peer(call: &Call) -> Result<Message, Error> {
    match call.member.as_str() {
        "Ping" => {
            call.nothing()?;
            call.answer(&())
        }
        "GetMachineId" => {
            call.nothing()?;
            let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
            call.answer(&id.trim())
        }
        _ => Err(Error::UnknownMethod),
    }
}
