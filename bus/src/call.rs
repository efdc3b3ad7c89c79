//! A call as it came from the bus, and the answers to it.

use std::collections::BTreeMap;

use serde::Serialize;
use zbus::message::Type as Kind;
use zbus::wire::DynamicDeserialize;
use zbus::{DynamicType, Message, OwnedObjectPath, OwnedVariant, Type, Variant};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::path::Object;

/// A value on its way: the session, the parameters, the bytes, what they are.
pub(crate) type Carried = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// A method that is called.
pub(crate) struct Call {
    message: Message,
    /// Whose connection it came from; the bus vouches for that.
    pub(crate) sender: String,
    /// What is called, if there can be something at its path.
    pub(crate) object: Option<Object>,
    /// The interface, which may be left out.
    pub(crate) interface: Option<String>,
    /// The method.
    pub(crate) member: String,
}

impl Call {
    /// Reads a message; what is no call is nothing.
    pub(crate) fn read(message: Message) -> Option<Self> {
        if message.message_type() != Kind::MethodCall {
            return None;
        }
        let header = message.header();
        let sender = header.sender()?.to_string();
        let object = Object::at(header.path()?.as_str());
        let interface = header.interface().map(ToString::to_string);
        let member = header.member()?.to_string();
        Some(Self { message, sender, object, interface, member })
    }

    /// The arguments, which must be of exactly these types.
    pub(crate) fn arguments<A>(&self) -> Result<A, Error>
    where
        A: for<'a> DynamicDeserialize<'a> + Type,
    {
        let body = self.message.body();
        if *body.signature() != *A::SIGNATURE {
            return Err(MISTAKEN);
        }
        body.deserialize().map_err(|_| MISTAKEN)
    }

    /// Nothing, if there are no arguments.
    pub(crate) fn nothing(&self) -> Result<(), Error> {
        if self.message.body().is_empty() { Ok(()) } else { Err(MISTAKEN) }
    }

    /// The answer with this body.
    pub(crate) fn answer(&self, body: &(impl Serialize + DynamicType)) -> Result<Message, Error> {
        Ok(Message::method_return(&self.message.header()).build(body)?)
    }

    /// The refusal, unless it is one that nobody waits for.
    pub(crate) fn refusal(&self, error: &Error) -> Option<Message> {
        Message::error(&self.message.header(), error.name()).build(&error.to_string()).ok()
    }

    /// How many bytes it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        self.message.data().len()
    }

    /// Whether it is more than any call here can need: the largest are those that name all items.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes() > LARGEST || !self.message.data().fds().is_empty()
    }

    /// Whether an answer is waited for.
    pub(crate) fn wants_answer(&self) -> bool {
        !self.message.primary_header().flags().contains(zbus::message::Flags::NO_REPLY_EXPECTED)
    }
}

/// The most bytes of a call. A message of D-Bus can have 128 MiB.
const LARGEST: usize = 2 << 20;

const MISTAKEN: Error = Error::InvalidArgs("the arguments are not those that the method takes");

/// Properties by their names.
pub(crate) type Properties = BTreeMap<String, OwnedVariant>;

/// A text in a variant.
pub(crate) fn text(value: &Variant<'_>) -> Result<String, Error> {
    value.downcast_ref::<&str>().map(ToOwned::to_owned).map_err(|_| WRONG_TYPE)
}

/// Attributes in a variant.
pub(crate) fn attributes(value: OwnedVariant) -> Result<BTreeMap<String, String>, Error> {
    if *value.value_signature() != *<BTreeMap<String, String>>::SIGNATURE {
        return Err(WRONG_TYPE);
    }
    BTreeMap::try_from(value).map_err(|_| WRONG_TYPE)
}

/// Bytes in a variant; anything else is none.
pub(crate) fn bytes(value: OwnedVariant) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::try_from(value).unwrap_or_default())
}

const WRONG_TYPE: Error = Error::InvalidArgs("a property has another type");
