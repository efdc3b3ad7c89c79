//! The socket that systemd's service managers load credentials from: `LoadCredential=NAME:…/credentials.sock`. Each
//! connection is one unit that asks for one secret, by the address it comes from, and that is answered without being
//! read from. It knows no HTTP and no token.
//!
//! The protocol has no refusal: a connection that is closed without data starts the unit with an empty credential, and
//! one that ends early with a part of it. So a unit gets the whole value, or more bytes than any credential may have,
//! whereupon its start fails.

mod address;
mod answer;

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrets_local::peer::Process;
use secrets_proto::audit::Refusal;
use secrets_proto::{SecretName, SecretValue, UnitName};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::address::Claim;
use crate::caller::{Caller, Peer};
use crate::listening::Listening;
use crate::memory;
use crate::vault::{self, Vault};

/// Who is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Whether anybody is.
    pub(crate) on: bool,
    /// The user whose service manager is.
    pub(crate) uid: u32,
    /// Whether the system's service manager is, too.
    pub(crate) system_manager: bool,
}

/// What every connection shares.
pub(crate) struct CredentialSocket {
    vault: Vault,
    policy: Policy,
    /// Connections at once. More wait to be accepted.
    connections: Arc<Semaphore>,
    most: u32,
    /// Permits for connections that are no service manager's at all and are refused all the same. More are just closed.
    strangers: Semaphore,
    /// Connections that are to be refused by the next image.
    left: Mutex<Vec<OwnedFd>>,
}

/// Why a unit gets nothing.
#[derive(Debug, thiserror::Error)]
enum Denial {
    #[error("the settings turn loading off")]
    Off,
    #[error("the peer is another user's")]
    OtherUser,
    #[error("the peer is no service manager that asks for a unit")]
    NoUnit,
    #[error("the credential's name is no secret's name")]
    NoName,
    #[error("the peer is not in the unit it claims to be")]
    OtherUnit,
    #[error("the vault did not answer in time")]
    Late,
    #[error("the socket cannot take the value as a whole")]
    Unsendable,
    /// The vault refused, and has noted that itself.
    #[error(transparent)]
    Vault(#[from] vault::Error),
}

impl Denial {
    /// Whether the peer is no service manager that is served here, whatever it wants.
    const fn is_of_a_stranger(&self) -> bool {
        matches!(self, Self::OtherUser | Self::NoUnit)
    }

    /// How the audit log says it, unless it has it already.
    const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Off => Some(Refusal::Off),
            Self::OtherUser => Some(Refusal::OtherUser),
            Self::NoUnit => Some(Refusal::NoUnit),
            Self::NoName => Some(Refusal::Missing),
            Self::OtherUnit => Some(Refusal::OtherUnit),
            Self::Late | Self::Unsendable => Some(Refusal::Failed),
            Self::Vault(_) => None,
        }
    }
}

/// A peer, with what it asks for.
struct Asking {
    peer: Peer,
    process: Arc<Process>,
    unit: Option<UnitName>,
    name: Option<SecretName>,
}

impl CredentialSocket {
    /// Serves at most so many connections at once.
    pub(crate) fn new(vault: Vault, policy: Policy, most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX).clamp(2, 256);
        let connections = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1)));
        Self {
            vault,
            policy,
            connections,
            most,
            strangers: Semaphore::new(STRANGERS),
            left: Mutex::default(),
        }
    }

    /// Serves until `stop` is ready, and lets what is in flight finish for as long as that says. First of all refuses
    /// those whom an image before had no time to. Returns whom this one had no time to refuse.
    pub(crate) async fn run(
        self,
        listener: Option<Arc<Listening>>,
        refused: Vec<OwnedFd>,
        stop: impl Future<Output = Duration>,
    ) -> Vec<OwnedFd> {
        let socket = Arc::new(self);
        let (stopping, _) = watch::channel(());
        for stream in refused {
            socket.resume(stream, &stopping);
        }
        let mut stop = pin!(stop);
        let mut failing = false;
        let drain = loop {
            // Only then: who is not accepted yet is not cut off by our end.
            let permit = tokio::select! {
                biased;
                drain = &mut stop => break drain,
                Ok(permit) = Arc::clone(&socket.connections).acquire_owned() => permit,
            };
            let accepted = tokio::select! {
                biased;
                drain = &mut stop => break drain,
                accepted = accept(listener.as_deref()) => accepted,
            };
            match accepted {
                Ok(stream) => {
                    failing = false;
                    tokio::spawn(Arc::clone(&socket).serve(stream, permit, stopping.subscribe()));
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept units at the moment");
                    }
                    failing = true;
                    tokio::select! {
                        drain = &mut stop => break drain,
                        () = tokio::time::sleep(BACKOFF) => {}
                    }
                }
            }
        };
        drop(listener);
        let finished = socket.connections.acquire_many(socket.most);
        if tokio::time::timeout(drain, finished).await.is_err() {
            stopping.send_replace(());
            stopping.closed().await;
        }
        std::mem::take(&mut *socket.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn resume(self: &Arc<Self>, stream: OwnedFd, stopping: &watch::Sender<()>) {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { return };
        let stream = std::os::unix::net::UnixStream::from(stream);
        let Ok(stream) = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) else {
            return;
        };
        let (credentials, mut stopping) = (Arc::clone(self), stopping.subscribe());
        tokio::spawn(async move {
            credentials.unless(&mut stopping, stream, async |stream| answer::refuse(stream).await).await;
            drop(permit);
        });
    }

    /// Answers one connection.
    async fn serve(
        self: Arc<Self>,
        stream: UnixStream,
        permit: OwnedSemaphorePermit,
        mut stopping: watch::Receiver<()>,
    ) {
        self.unless(&mut stopping, stream, async |stream| {
            match self.give(stream).await {
                Ok(()) => {}
                Err(denial) if denial.is_of_a_stranger() => {
                    // Who starts no unit has no use for a refusal; it gets one while that costs little.
                    if let Ok(_place) = self.strangers.try_acquire() {
                        let _ = tokio::time::timeout(MOMENT, answer::refuse(stream)).await;
                    }
                }
                Err(_) => answer::refuse(stream).await,
            }
        })
        .await;
        drop(permit);
        memory::worked();
    }

    /// Works on a connection, or leaves it to the next image.
    async fn unless(
        &self,
        stopping: &mut watch::Receiver<()>,
        stream: UnixStream,
        work: impl AsyncFnOnce(&UnixStream),
    ) {
        let done = tokio::select! {
            biased;
            () = work(&stream) => true,
            _ = stopping.changed() => false,
        };
        if !done && let Ok(stream) = stream.into_std() {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(stream.into());
        }
    }

    /// Hands the value over that the peer asks for, or says why not.
    async fn give(&self, stream: &UnixStream) -> Result<(), Denial> {
        let asking = Asking::of(stream);
        self.vault.auto_lock.lock_if_due().await;
        let caller = Caller::unit(asking.peer, &asking.process, asking.name.as_ref());
        let decided = tokio::time::timeout(DECISION, self.decide(&caller, &asking)).await;
        let given = decided.unwrap_or(Err(Denial::Late)).and_then(|value| answer::send(stream, &value));
        let Asking { unit, name, .. } = asking;
        let (shown, secret) =
            (unit.as_ref().map(tracing::field::display), name.as_ref().map(tracing::field::display));
        match &given {
            Ok(()) => tracing::info!(unit = shown, secret, "a unit has loaded a secret"),
            // The vault says it once of many.
            Err(denial) if denial.is_of_a_stranger() => tracing::debug!(why = %denial, "a peer is refused"),
            Err(denial) => tracing::warn!(unit = shown, secret, why = %denial, "a unit is refused a secret"),
        }
        if let Err(denial) = &given
            && let Some(refusal) = denial.refusal()
        {
            self.vault.refused_unit(&caller, unit.as_ref(), name, refusal);
        }
        given
    }

    /// The value, if the peer may have it.
    async fn decide(&self, caller: &Caller, asking: &Asking) -> Result<SecretValue, Denial> {
        let Policy { on, uid, system_manager } = self.policy;
        if asking.peer.uid != uid && !(system_manager && asking.peer.uid == 0) {
            return Err(Denial::OtherUser);
        }
        let unit = asking.unit.as_ref().ok_or(Denial::NoUnit)?;
        if !on {
            return Err(Denial::Off);
        }
        // Anyone who runs as this user can bind any address; it takes more to be in the unit's control group.
        if asking.process.facts().unit.as_deref() != Some(unit.as_str()) {
            return Err(Denial::OtherUnit);
        }
        let name = asking.name.as_ref().ok_or(Denial::NoName)?;
        Ok(self.vault.load(caller, unit.clone(), name.clone()).await?)
    }
}

impl Asking {
    fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let peer = Peer {
            // No user's, if the kernel does not tell.
            uid: credentials.as_ref().map_or(u32::MAX, tokio::net::unix::UCred::uid),
            pid: credentials.and_then(|credentials| credentials.pid()).unwrap_or(0),
        };
        let process = Arc::new(Process::of(stream, peer.pid));
        let claim = address::claim(stream);
        let (unit, name) = claim.map_or((None, None), |Claim { unit, name }| (Some(unit), name));
        Self { peer, process, unit, name }
    }
}

/// How long until it is known what a unit gets. Every answer begins within 5 s.
const DECISION: Duration = Duration::from_secs(3);
/// How many strangers are refused at once, and how long each may take to read it.
const STRANGERS: usize = 32;
const MOMENT: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept.
const BACKOFF: Duration = Duration::from_millis(100);

async fn accept(listener: Option<&Listening>) -> io::Result<UnixStream> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
