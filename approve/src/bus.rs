//! The session bus: notifications, and what their server says of them. Only the owner of the server's name is listened to,
//! whose messages the bus attests: anybody else can send to this connection, too.
//!
//! Source of the messages: the Desktop Notifications Specification, and "Message Bus Messages" of the D-Bus Specification.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde::Serialize;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, Variant};

use crate::notice::Notice;

/// The server's name, object and interface.
const SERVER: &str = "org.freedesktop.Notifications";
const OBJECT: &str = "/org/freedesktop/Notifications";

/// The bus itself.
const DRIVER: &str = "org.freedesktop.DBus";

/// The server may have to be started first.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most urgent: it stays until a person has seen it.
const CRITICAL: u8 = 2;

/// That the server decides when it goes. What no longer waits is taken away by us.
const AS_LONG_AS_USUAL: i32 = -1;

/// The keys of the buttons. None of them is `default`, which a click beside them would press.
pub(crate) const DENY: &str = "deny";
pub(crate) const ANSWER: &str = "answer";

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the session bus refused: {0}")]
    Bus(#[from] zbus::Error),
    #[error("there is no answer on the session bus")]
    Silent,
    #[error("nobody shows notifications on this desktop")]
    NoServer,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A button of a notification was pressed.
    Pressed(u32, String),
    /// A notification is gone.
    Closed(u32),
    /// There is another server, or none; what was shown is gone.
    Server,
}

/// A line to the server.
pub(crate) struct Notifications {
    connection: Connection,
    /// Who the server is.
    owner: Option<String>,
}

impl Notifications {
    /// Connects, and looks who shows notifications; one that can be started is.
    pub(crate) async fn connect() -> Result<(Self, MessageStream), Error> {
        let connection = bounded(Connection::session()).await?;
        let messages = MessageStream::from(&connection);
        let mut notifications = Self { connection, owner: None };
        let rules = [
            format!(
                "type='signal',sender='{DRIVER}',interface='{DRIVER}',member='NameOwnerChanged',arg0='{SERVER}'"
            ),
            format!("type='signal',sender='{SERVER}',path='{OBJECT}',interface='{SERVER}'"),
        ];
        for rule in rules {
            notifications.call_driver("AddMatch", &rule).await?;
        }
        // It may be there already, or not be one that can be started.
        let _ = notifications.call_driver("StartServiceByName", &(SERVER, 0_u32)).await;
        if let Ok(reply) = notifications.call_driver("GetNameOwner", &SERVER).await {
            notifications.owner = reply.body().deserialize().ok();
        }
        Ok((notifications, messages))
    }

    /// Whether anything can be shown.
    pub(crate) fn is_there(&self) -> bool {
        self.owner.is_some()
    }

    /// Shows a notification for as long as the server does that, and gives its number.
    pub(crate) async fn show(&self, notice: &Notice) -> Result<u32, Error> {
        let owner = self.owner.as_deref().ok_or(Error::NoServer)?;
        let hints = HashMap::from([("urgency", Variant::from(CRITICAL))]);
        let buttons = [DENY, "Deny", ANSWER, "Answer…"];
        let (title, text) = (notice.title.as_str(), notice.text.as_str());
        let body =
            ("secretsd", 0_u32, "dialog-password", title, text, buttons.as_slice(), hints, AS_LONG_AS_USUAL);
        let reply = self.call_server(owner, "Notify", &body).await?;
        Ok(reply.body().deserialize()?)
    }

    /// Takes a notification away.
    pub(crate) async fn close(&self, number: u32) {
        if let Some(owner) = self.owner.as_deref() {
            // It may have gone by itself.
            let _ = self.call_server(owner, "CloseNotification", &number).await;
        }
    }

    /// What a message says, if it is from one who may say it.
    pub(crate) fn hear(&mut self, message: &Message) -> Option<Heard> {
        let header = message.header();
        if message.message_type() != Type::Signal {
            return None;
        }
        let sender = header.sender()?.as_str();
        let (interface, member) = (header.interface()?.as_str(), header.member()?.as_str());
        let body = message.body();
        if sender == DRIVER && interface == DRIVER && member == "NameOwnerChanged" {
            let (name, _, new): (String, String, String) = body.deserialize().ok()?;
            if name != SERVER {
                return None;
            }
            self.owner = Some(new).filter(|new| !new.is_empty());
            return Some(Heard::Server);
        }
        if self.owner.as_deref() != Some(sender) || interface != SERVER {
            return None;
        }
        match member {
            "ActionInvoked" => body.deserialize().ok().map(|(number, key)| Heard::Pressed(number, key)),
            "NotificationClosed" => {
                body.deserialize().ok().map(|(number, _): (u32, u32)| Heard::Closed(number))
            }
            _ => None,
        }
    }

    async fn call_driver(&self, name: &str, body: &(impl Serialize + DynamicType)) -> Result<Message, Error> {
        bounded(self.connection.call_method(Some(DRIVER), "/org/freedesktop/DBus", Some(DRIVER), name, body))
            .await
    }

    /// Calls the server, and takes no answer of another's.
    async fn call_server(
        &self,
        owner: &str,
        name: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<Message, Error> {
        let reply =
            bounded(self.connection.call_method(Some(owner), OBJECT, Some(SERVER), name, body)).await?;
        let is_servers = reply.header().sender().is_some_and(|sender| sender.as_str() == owner);
        if is_servers { Ok(reply) } else { Err(Error::NoServer) }
    }
}

/// The next message; `None` when the bus is gone.
pub(crate) async fn next(messages: &mut MessageStream) -> Option<Message> {
    poll_fn(|cx| Pin::new(&mut *messages).poll_next(cx)).await?.ok()
}

async fn bounded<T>(call: impl Future<Output = zbus::Result<T>>) -> Result<T, Error> {
    Ok(tokio::time::timeout(PATIENCE, call).await.map_err(|_| Error::Silent)??)
}
