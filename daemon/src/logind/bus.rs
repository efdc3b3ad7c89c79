//! The system bus: a connection, calls whose answers come with everything else that arrives, and who has sent what. It
//! knows nothing of what logind says.

use std::future::poll_fn;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde::Serialize;
use zbus::message::Flags;
use zbus::{Connection, DynamicType, Message, MessageStream};

/// The bus itself, as a sender and a destination.
pub(super) const DRIVER: &str = "org.freedesktop.DBus";

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("DBUS_SYSTEM_BUS_ADDRESS is not of the form unix:path=/…")]
    Address,
    #[error("there is no system bus: {0}")]
    Socket(#[from] io::Error),
    #[error("the system bus refused the connection: {0}")]
    Bus(#[from] zbus::Error),
    #[error("the system bus does not answer")]
    Silent,
}

/// A connection to it.
pub(super) struct Bus {
    connection: Connection,
}

/// A call's target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) name: &'a str,
}

impl Bus {
    /// Connects as the process's user.
    pub(super) async fn connect(socket: Option<&Path>) -> Result<Self, Error> {
        let socket = socket.ok_or(Error::Address)?;
        // A Unix socket is connected at once, or its queue is full and this fails.
        let stream = tokio::net::UnixStream::connect(socket).await?;
        let stream: UnixStream = stream.into_std()?;
        let building = zbus::connection::Builder::unix_stream(stream).build();
        let connection = tokio::time::timeout(DEADLINE, building).await.map_err(|_| Error::Silent)??;
        Ok(Self { connection })
    }

    /// Everything that arrives from now on.
    pub(super) fn messages(&self) -> Messages {
        Messages(MessageStream::from(&self.connection))
    }

    /// Sends a call and does not wait: the answer arrives among the messages, for the number that is returned. No service is
    /// started for it.
    pub(super) async fn call(
        &self,
        method: Method<'_>,
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<NonZeroU32> {
        let call = Message::method_call(method.path, method.name)
            .destination(method.destination)
            .interface(method.interface)
            .with_flags(Flags::NO_AUTO_START)
            .build(body)?;
        self.connection.send(&call).await?;
        Ok(call.primary_header().serial_num())
    }

    /// Calls a method of the bus itself.
    pub(super) async fn call_driver(
        &self,
        name: &str,
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<NonZeroU32> {
        self.call(
            Method { destination: DRIVER, path: "/org/freedesktop/DBus", interface: DRIVER, name },
            body,
        )
        .await
    }
}

/// What arrives.
pub(super) struct Messages(MessageStream);

impl Messages {
    /// The next message; `None` when the connection is gone.
    pub(super) async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await?.ok()
    }
}

/// How long the bus may take to let somebody in.
const DEADLINE: Duration = Duration::from_secs(5);
