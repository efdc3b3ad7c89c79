//! What all calls share: the bus, the daemon, what connections hold, and how the vault was seen last. Who learns
//! something of the vault says so here, so that programs on the bus hear that it was locked or opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrets_client::Error as Unanswered;
use secrets_proto::ErrorType;
use secrets_proto::item::Attributes;
use secrets_proto::vault::VaultState;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use zbus::{Connection, DynamicType, ObjectPath, Variant};

use crate::daemon::Daemon;
use crate::error::Error;
use crate::held::Held;
use crate::memory::Memory;
use crate::path::{ItemId, Kept};
use crate::who::{Facts, Process};

/// The interfaces.
pub(crate) const SERVICE: &str = "org.freedesktop.Secret.Service";
pub(crate) const COLLECTION: &str = "org.freedesktop.Secret.Collection";
pub(crate) const ITEM: &str = "org.freedesktop.Secret.Item";
pub(crate) const SESSION: &str = "org.freedesktop.Secret.Session";
pub(crate) const PROMPT: &str = "org.freedesktop.Secret.Prompt";
pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(crate) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(crate) const PEER: &str = "org.freedesktop.DBus.Peer";

/// Where the service is.
pub(crate) const SERVICE_PATH: &str = "/org/freedesktop/secrets";

/// The least time between two locks of the vault by programs on the bus: each is a new start of the daemon.
const LOCKS_APART: Duration = Duration::from_secs(10);

/// A connection that calls.
pub(crate) struct Asker {
    /// Its unique name, which no other connection of this bus ever gets.
    pub(crate) name: String,
    /// The process behind it, if the bus tells.
    pub(crate) process: Option<Process>,
}

impl Asker {
    /// What is known of it now.
    pub(crate) fn facts(&self) -> Facts {
        self.process.as_ref().map(Process::facts).unwrap_or_default()
    }
}

/// The locks of the vault by programs on the bus.
#[derive(Default)]
struct Locks {
    last: Option<Instant>,
}

impl Locks {
    /// One more, unless the last one was a moment ago.
    fn another(&mut self, now: Instant) -> Result<(), Error> {
        if self.last.is_some_and(|last| now.duration_since(last) < LOCKS_APART) {
            return Err(Error::LimitsExceeded("the vault was locked a moment ago; try again in 10 seconds"));
        }
        self.last = Some(now);
        Ok(())
    }
}

/// All of it.
pub(crate) struct Desk {
    /// The bus.
    pub(crate) connection: Connection,
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// The longest that a prompt waits.
    pub(crate) patience: Duration,
    held: Mutex<Held>,
    memory: Mutex<Memory>,
    /// Whether the vault was open when it was seen last.
    seen: Mutex<Option<bool>>,
    locks: Mutex<Locks>,
    /// Told of each call, for who watches the vault.
    pub(crate) called: Notify,
}

impl Desk {
    pub(crate) fn new(connection: Connection, daemon: Daemon, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            connection,
            daemon,
            patience,
            held: Mutex::new(Held::default()),
            memory: Mutex::new(Memory::new()),
            seen: Mutex::new(None),
            locks: Mutex::new(Locks::default()),
            called: Notify::new(),
        })
    }

    /// What connections hold.
    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items of the collection `session`.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the daemon has answered; whether the vault is open is seen by it.
    pub(crate) async fn heard<T>(self: &Arc<Self>, outcome: Result<T, Unanswered>) -> Result<T, Error> {
        match outcome {
            Ok(answer) => {
                self.see(true);
                Ok(answer)
            }
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    fn refused(self: &Arc<Self>, refusal: &Unanswered) -> Error {
        let Unanswered::Refused(body) = refusal else { return Error::Failed(refusal.to_string()) };
        match body.kind {
            ErrorType::VaultLockedError => {
                self.see(false);
                Error::IsLocked
            }
            ErrorType::ApprovalRequiredError => Error::IsLocked,
            ErrorType::ApprovalDeniedError => Error::Denied,
            ErrorType::NotFoundError => Error::NoSuchObject,
            ErrorType::LimitExceededError => {
                Error::LimitsExceeded("it is too large, or there are too many items; nothing was stored")
            }
            ErrorType::ValidationError => {
                let said = body.errors.first().map_or(&body.detail, |error| &error.msg);
                Error::Refused(said.clone().into_owned())
            }
            ErrorType::InvalidRequestError
            | ErrorType::AuthenticationError
            | ErrorType::ExpiredTokenError
            | ErrorType::ForbiddenError
            | ErrorType::WrongKeyError
            | ErrorType::AlreadyExistsError
            | ErrorType::ConflictError
            | ErrorType::UpgradeRequiredError
            | ErrorType::RateLimitError
            | ErrorType::InternalError
            | ErrorType::StorageError
            | ErrorType::VaultCorruptError
            | ErrorType::BadGatewayError
            | ErrorType::GatewayTimeoutError => Error::Failed(body.detail.clone().into_owned()),
        }
    }

    /// Whether the vault is open.
    pub(crate) async fn is_open(self: &Arc<Self>) -> Result<bool, Error> {
        let state = self.daemon.state().await.map_err(|refusal| self.refused(&refusal))?;
        self.see(state == VaultState::Unlocked);
        Ok(state == VaultState::Unlocked)
    }

    /// Locks the vault, unless that was done a moment ago.
    pub(crate) async fn lock(self: &Arc<Self>) -> Result<(), Error> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).another(Instant::now())?;
        self.daemon.lock().await.map_err(|refusal| self.refused(&refusal))?;
        self.see(false);
        Ok(())
    }

    /// Notes whether the vault is open. If that has changed, the bus is told.
    pub(crate) fn see(self: &Arc<Self>, is_open: bool) {
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(is_open);
        if before.is_some_and(|before| before != is_open) {
            let desk = Arc::clone(self);
            tokio::spawn(async move { desk.tell(is_open).await });
        }
    }

    async fn tell(self: Arc<Self>, is_open: bool) {
        let mut items = Vec::new();
        if is_open {
            let found = self.daemon.search(&Facts::default(), Attributes::default()).await;
            items = found.unwrap_or_default().iter().map(|item| ItemId::Vault(item.id).path()).collect();
        }
        let path = Kept::Login.path();
        let changed = [("Locked", Variant::from(!is_open)), ("Items", Variant::from(items))];
        self.changed(&path, COLLECTION, changed).await;
        self.signal(None, SERVICE_PATH, SERVICE, "CollectionChanged", &path).await;
    }

    /// Tells that properties of an object have changed.
    pub(crate) async fn changed<const N: usize>(
        &self,
        path: &ObjectPath<'_>,
        interface: &str,
        properties: [(&str, Variant<'_>); N],
    ) {
        let body = (interface, HashMap::from(properties), Vec::<&str>::new());
        self.signal(None, path.as_str(), PROPERTIES, "PropertiesChanged", &body).await;
    }

    /// Tells everybody, or one connection, something.
    pub(crate) async fn signal(
        &self,
        to: Option<&str>,
        path: &str,
        interface: &str,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) {
        // Who is gone hears nothing, and without a bus this process ends.
        let _ = self.connection.emit_signal(to, path, interface, member, body).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_ten_seconds_apart() {
        let mut locks = Locks::default();
        let first = Instant::now();
        let at = |milliseconds: u64| first + Duration::from_millis(milliseconds);
        assert!(locks.another(first).is_ok());
        for early in [0, 1, 5_000, 9_999] {
            assert!(matches!(locks.another(at(early)), Err(Error::LimitsExceeded(_))), "{early}");
        }
        // What was refused puts nothing off.
        assert!(locks.another(at(10_000)).is_ok());
        assert!(locks.another(at(19_999)).is_err());
        assert!(locks.another(at(20_000)).is_ok());
    }
}
