//! Serves the bus until it is gone.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream};

use crate::call::Call;
use crate::daemon::Daemon;
use crate::desk::Desk;
use crate::name;
use crate::peers::{DRIVER, Peers};
use crate::watch::watch;

/// How many messages may wait to be looked at, which is done at once: each can have 128 MiB.
const QUEUED: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// How long the bus may take for an answer of its own.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to the session bus.
pub(crate) async fn connect() -> Result<Connection, String> {
    connect_for(PATIENCE).await
}

/// A connection on which each call may take so long.
pub(crate) async fn connect_for(patience: Duration) -> Result<Connection, String> {
    let connecting = zbus::connection::Builder::session().method_timeout(patience).max_queued(QUEUED).build();
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    let no_bus = || {
        "there is no session bus; DBUS_SESSION_BUS_ADDRESS says where it is, and a login session has one"
            .to_owned()
    };
    connected.map_err(|_| no_bus())?.map_err(|_| no_bus())
}

/// Serves under this name, where no prompt waits longer than that.
pub(crate) async fn run(daemon: Daemon, own_name: &str, patience: Duration) -> Result<(), String> {
    let connection = connect().await?;
    // Before the name is ours, so that no call is lost.
    let mut messages = MessageStream::from(&connection);
    name::take(&connection, own_name).await?;
    let desk = Desk::new(connection, daemon, patience);
    tokio::spawn(watch(Arc::clone(&desk)));
    let (unheard, mut ended) = mpsc::unbounded_channel();
    let mut peers = Peers::new(desk, unheard);
    loop {
        let message = tokio::select! {
            message = next(&mut messages) => message,
            Some(name) = ended.recv() => {
                peers.gone(&name);
                continue;
            }
        };
        let Some(message) = message else { break };
        match message.message_type() {
            Type::MethodCall => {
                if let Some(call) = Call::read(message) {
                    peers.take(call);
                }
            }
            Type::Signal => {
                if let Some(gone) = gone(&message) {
                    peers.gone(&gone);
                }
            }
            Type::MethodReturn | Type::Error => {}
        }
    }
    Err("the session bus is gone".to_owned())
}

/// The connection that the bus says has ended.
fn gone(message: &Message) -> Option<String> {
    let header = message.header();
    let is_drivers = header.sender()?.as_str() == DRIVER && header.interface()?.as_str() == DRIVER;
    if !is_drivers || header.member()?.as_str() != "NameOwnerChanged" {
        return None;
    }
    let body = message.body();
    let (name, _, new): (String, String, String) = body.deserialize().ok()?;
    (new.is_empty() && name.starts_with(':')).then_some(name)
}

async fn next(messages: &mut MessageStream) -> Option<Message> {
    poll_fn(|cx| Pin::new(&mut *messages).poll_next(cx)).await?.ok()
}
