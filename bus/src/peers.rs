//! The connections that call. The calls of one are answered one after the other, in their order; connections do not wait
//! for each other. What one holds ends with it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zbus::message::Flags;
use zbus::{Message, OwnedVariant};

use crate::call::Call;
use crate::desk::{Asker, Desk};
use crate::dispatch;
use crate::error::Error;
use crate::who::{Found, Process};

/// The bus itself.
pub(crate) const DRIVER: &str = "org.freedesktop.DBus";
const DRIVER_PATH: &str = "/org/freedesktop/DBus";

/// How many connections are answered, how many calls of each may wait, and how many bytes of all.
const MOST: usize = 512;
const WAITING: usize = 256;
const WAITING_BYTES: usize = 16 << 20;

/// All of them.
pub(crate) struct Peers {
    desk: Arc<Desk>,
    known: HashMap<String, Sender<Waiting>>,
    /// Told of connections that had ended before the bus could be asked to tell of that.
    unheard: UnboundedSender<String>,
    /// How many bytes of calls may wait still.
    room: Arc<Semaphore>,
}

/// A call that waits, with the room that it takes.
struct Waiting {
    call: Call,
    _room: OwnedSemaphorePermit,
}

impl Peers {
    /// With where to tell of connections that are gone.
    pub(crate) fn new(desk: Arc<Desk>, unheard: UnboundedSender<String>) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_BYTES));
        Self { desk, known: HashMap::new(), unheard, room }
    }

    /// Has a call answered; never waits.
    pub(crate) fn take(&mut self, call: Call) {
        if call.is_too_large() {
            return self.refuse(call, &Error::LimitsExceeded("no call of this service is so large"));
        }
        let bytes = u32::try_from(call.bytes()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            return self.refuse(call, &Error::LimitsExceeded("too many calls wait"));
        };
        self.desk.called.notify_one();
        if !self.known.contains_key(&call.sender) {
            if self.known.len() >= MOST {
                return self.refuse(call, &Error::LimitsExceeded("too many programs use this service"));
            }
            let (sender, calls) = mpsc::channel(WAITING);
            self.known.insert(call.sender.clone(), sender);
            let (desk, unheard) = (Arc::clone(&self.desk), self.unheard.clone());
            tokio::spawn(answer(desk, call.sender.clone(), calls, unheard));
        }
        let Some(sender) = self.known.get(&call.sender) else { return };
        let waiting = Waiting { call, _room: room };
        if let Err(TrySendError::Full(waiting) | TrySendError::Closed(waiting)) = sender.try_send(waiting) {
            self.refuse(waiting.call, &Error::LimitsExceeded("too many calls of this program wait"));
        }
    }

    /// A connection is gone.
    pub(crate) fn gone(&mut self, name: &str) {
        if self.known.remove(name).is_some() {
            self.desk.held().forget(name);
            let (desk, rule) = (Arc::clone(&self.desk), rule(name));
            tokio::spawn(async move { tell_driver(&desk, "RemoveMatch", &rule).await });
        }
    }

    fn refuse(&self, call: Call, error: &Error) {
        let Some(refusal) = call.refusal(error).filter(|_| call.wants_answer()) else { return };
        let desk = Arc::clone(&self.desk);
        tokio::spawn(async move {
            let _ = desk.connection.send(&refusal).await;
        });
    }
}

/// That this connection ends.
fn rule(name: &str) -> String {
    format!("type='signal',sender='{DRIVER}',interface='{DRIVER}',member='NameOwnerChanged',arg0='{name}'")
}

async fn answer(
    desk: Arc<Desk>,
    name: String,
    mut calls: Receiver<Waiting>,
    unheard: UnboundedSender<String>,
) {
    // The bus does one after the other: a connection that it still knows after this cannot end unheard.
    tell_driver(&desk, "AddMatch", &rule(&name)).await;
    let process = process(&desk, &name).await;
    if process.is_none() && !is_there(&desk, &name).await {
        // Nobody else forgets it, and nobody waits for its answers.
        let _ = unheard.send(name);
        return;
    }
    let asker = Arc::new(Asker { name, process });
    while let Some(Waiting { call, .. }) = calls.recv().await {
        let outcome = dispatch::answer(&desk, &asker, &call).await;
        if !call.wants_answer() {
            continue;
        }
        let message = match outcome {
            Ok(message) => Some(message),
            Err(error) => call.refusal(&error),
        };
        if let Some(message) = message {
            // Who is gone waits for nothing.
            let _ = desk.connection.send(&message).await;
        }
    }
    desk.held().forget(&asker.name);
}

/// The process behind a connection.
async fn process(desk: &Desk, name: &str) -> Option<Process> {
    match Process::find(&credentials(desk, name).await?)? {
        Found::Sure(process) => Some(process),
        Found::Unsure(process) => {
            let again = credentials(desk, name).await?;
            process.is(&again).then_some(process)
        }
    }
}

async fn credentials(desk: &Desk, name: &str) -> Option<HashMap<String, OwnedVariant>> {
    let reply = desk
        .connection
        .call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), "GetConnectionCredentials", &name)
        .await
        .ok()?;
    reply.body().deserialize().ok()
}

/// Whether the bus knows this connection still. If it does not say, it does.
async fn is_there(desk: &Desk, name: &str) -> bool {
    let call =
        desk.connection.call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), "NameHasOwner", &name).await;
    call.ok().and_then(|reply| reply.body().deserialize().ok()).unwrap_or(true)
}

/// Tells the bus something, and waits for no answer.
async fn tell_driver(desk: &Desk, method: &str, argument: &str) {
    let Some(own) = desk.connection.unique_name() else { return };
    let message = Message::method_call(DRIVER_PATH, method)
        .interface(DRIVER)
        .destination(DRIVER)
        .sender(own)
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .build(&argument);
    if let Ok(message) = message {
        let _ = desk.connection.send(&message).await;
    }
}
