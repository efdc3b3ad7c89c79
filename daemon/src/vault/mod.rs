//! The vault: check, act, audit, in that order, so that no handler can forget one. It knows nothing of HTTP.
//!
//! # Layout
//!
//! Three parts, each of which knows only those after it:
//!
//! - The facade, in this directory: [`Vault`], whose every operation takes a [`Caller`](crate::caller::Caller). They are
//!   on [`secrets`], on [many of them](listing), on [what units may load](unit_grants), on [access tokens](token_ops), on
//!   the [vault itself](vault_ops) and on its [audit log](audit_log). Each begins with [`authorization`]. Reads are served
//!   from what the writer has published; everything else goes through its [`mailbox`]. [`start`] takes possession of a
//!   vault; [`sources`] and [`derivation`] turn what a caller offers into a key. What takes long is done [`aside`].
//! - The [`writer`]: the one thread that touches the file, its state, and what it publishes.
//! - The [`mod@format`]: what is in the file, each kind of record in memory and sealed.

mod approval_rules;
mod approvals;
mod aside;
mod audit_log;
mod authorization;
mod auto_lock;
mod derivation;
mod error;
mod fleet;
mod format;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod items;
mod listing;
mod mailbox;
mod placeholder;
mod presets;
mod proof;
mod room;
mod rule_presets;
mod rules;
mod secrets;
mod sessions;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod token_ops;
mod unit_grants;
mod uses;
mod vault_ops;
mod writer;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use secrets_proto::vault::MemoryLock;
use secrets_proto::{Glob, Provider, SecretName, SensitiveString, Timestamp, Uuid};
use tokio::sync::{Semaphore, oneshot};

pub(crate) use crate::crypto::slot::KdfCost;
use crate::permits::{Permit, Permits};
use crate::reach::Lost;
use crate::triggers::Triggers;
pub(crate) use approval_rules::NewRule;
pub(crate) use approvals::AnswerTo;
pub(crate) use authorization::Right;
use auto_lock::AutoLock;
pub(crate) use error::{Error, FleetError, KeyField, Unusable};
pub(crate) use fleet::exchange_by_itself;
pub(crate) use sources::KeySources;
pub(crate) use start::StartError;
pub(crate) use token_ops::Unidentified;
pub(crate) use writer::pages::Form;

use derivation::Derivations;
use room::Room;
use writer::command::Command;
use writer::shared::Shared;

/// How long an operation may take before its caller is told that it did not answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the end of the process waits for the vault to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// What the vault needs to know of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where `vault.db` and `vault.lock` lie; made 0700 if absent.
    pub(crate) data_dir: PathBuf,
    /// Where the anchor lies; made 0700 if absent.
    pub(crate) state_dir: PathBuf,
    /// The cost of passphrase slots made from now on.
    pub(crate) kdf: KdfCost,
    /// Lock after this long without a reveal or write; zero is never.
    pub(crate) idle_lock: Duration,
    /// Lock this long after unlock; zero is never.
    pub(crate) max_lock: Duration,
    /// Whether this image ends after a lock, so that nothing is served from then on.
    pub(crate) lock_is_final: bool,
    /// Keys that callers only name.
    pub(crate) keys: KeySources,
    /// What else locks the vault, for its status.
    pub(crate) triggers: Arc<Triggers>,
    /// Which names that lead to the daemon are lost, for its status.
    pub(crate) lost: Arc<Lost>,
}

/// A key that a caller offers.
#[derive(Debug)]
pub(crate) enum Key {
    /// A passphrase.
    Passphrase(SensitiveString),
    /// The path of a key file.
    File(PathBuf),
    /// A recovery key as text.
    Recovery(SensitiveString),
    /// The credential that systemd hands to the daemon.
    Credential,
    /// The output of the key provider command of this name.
    Provider(String),
}

/// Which secrets a listing shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListFilter {
    /// Only this provider's.
    pub(crate) provider: Option<Provider>,
    /// Only names that match.
    pub(crate) name: Option<Glob>,
}

impl ListFilter {
    /// Whether it keeps nothing back.
    pub(crate) const fn is_of_everything(&self) -> bool {
        self.provider.is_none() && self.name.is_none()
    }
}

/// Which audit entries to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    /// Not older than this.
    pub(crate) since: Option<Timestamp>,
    /// Only those that concern this secret.
    pub(crate) name: Option<SecretName>,
    /// Only those of this session, by the id of its token.
    pub(crate) session: Option<Uuid>,
    /// Only those before the one with this number.
    pub(crate) before: Option<u64>,
    /// At most the newest this many.
    pub(crate) limit: Option<usize>,
}

/// The whole list or one secret as the router rendered it, and a tag that changes with it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// The body.
    pub(crate) body: Bytes,
    /// An opaque tag in quotes, as an `ETag` has it.
    pub(crate) tag: Bytes,
}

/// A reply that may be large. Its caller gets no other while it is on its way: what waits to be read stays bounded.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// The reply.
    pub(crate) reply: T,
    /// To be dropped when the reply was sent.
    pub(crate) permit: Option<Permit>,
}

/// A handle on the vault; cheap to clone.
#[derive(Clone)]
pub(crate) struct Vault {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    derivations: Arc<Derivations>,
    /// For what looks at many secrets: one asker's questions take turns among themselves, and not with others'.
    heavy: Arc<Permits>,
    /// For what is too long for the runtime's thread.
    readers: Arc<Semaphore>,
    /// For writing long lists for the owner: one at a time, since each takes more memory while it is written.
    owners_lists: Arc<Semaphore>,
    /// For reading a snapshot of the file.
    snapshots: Arc<Semaphore>,
    /// For large answers that are made for one caller.
    room: Arc<Room>,
    settings: Arc<Settings>,
    /// Locking by time.
    pub(crate) auto_lock: AutoLock,
    /// A machine that is being let in, or this one by another.
    pairing: Arc<std::sync::Mutex<Option<fleet::Pairing>>>,
    /// What lies in the exchange and was not taken.
    refused: Arc<std::sync::Mutex<fleet::Refused>>,
    /// The exchange with the other machines: one at a time.
    exchanging: Arc<tokio::sync::Mutex<()>>,
    /// The locked lock file.
    lock: Arc<File>,
    /// Whether the system lets memory be locked, tried once at the start.
    memory_lock: MemoryLock,
    /// Why the key for the start did not open the vault.
    start_failure: Arc<OnceLock<String>>,
}

impl Vault {
    /// Takes the vault's lock, or one that the image before this one held, and starts the vault's thread. The vault stays
    /// locked.
    pub(crate) fn start(settings: Settings, lock: Option<OwnedFd>) -> Result<Self, StartError> {
        start::start(settings, lock, &[])
    }

    /// Starts the vault in the image that goes on after a lock, with the lock that was handed over and the denials that the
    /// image before could not write.
    pub(crate) fn resume(settings: Settings, lock: OwnedFd, unwritten: &[u8]) -> Result<Self, StartError> {
        start::start(settings, Some(lock), unwritten)
    }

    /// The denials that are not written yet, to be handed over to the next image.
    pub(crate) fn unwritten(&self) -> Vec<u8> {
        self.shared.denials().to_bytes()
    }

    /// The lock on the vault, to be handed over to the next image.
    pub(crate) fn lock_file(&self) -> std::io::Result<OwnedFd> {
        self.lock.try_clone().map(OwnedFd::from)
    }

    /// Ready when the vault was locked: to be rid of the copies that nobody knows of takes a new image.
    pub(crate) async fn wiped(&self) {
        self.shared.wiped.notified().await;
    }

    /// Ready when the vault was opened, once for each time or for several.
    pub(crate) async fn opened(&self) {
        self.shared.opened.notified().await;
    }

    /// Whether the vault's thread answers; waits for what it is at, up to an operation's deadline.
    pub(crate) async fn answers(&self) -> bool {
        self.ask(Command::Ping).await.is_ok()
    }

    /// Completes what is in flight, checkpoints and wipes; for the end of the process.
    pub(crate) async fn shutdown(&self) {
        let (done, closed) = oneshot::channel();
        if self.send_urgent(Command::Shutdown(done)).is_ok()
            && tokio::time::timeout(CLOSE_DEADLINE, closed).await.is_err()
        {
            tracing::warn!("the vault did not close in time; it will be checked at the next unlock");
        }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}
