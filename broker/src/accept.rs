//! Connections of programs: taken from this user's processes alone, or from those of a network that is not ours; and so
//! many at a time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use secrets_local::loopback::Owners;
use secrets_local::peer::network_of;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most connections at a time.
const MOST: u32 = 256;

/// How long what is under way may take when the session ends.
const GRACE: Duration = Duration::from_secs(5);

/// After a failure that may pass, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections from a listener.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    /// Whether the listener is in another network than we are, whose sockets the kernel does not show us: a container's
    /// loopback, on which the container's programs are alone.
    is_elsewhere: bool,
    owners: Arc<Owners>,
    uid: u32,
}

impl Connections {
    /// Listens there.
    ///
    /// # Errors
    /// If the kernel cannot be asked whose a connection is.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let is_elsewhere = is_elsewhere(&listener);
        let permits = Arc::new(Semaphore::new(MOST as usize));
        Ok(Self { listener, permits, is_elsewhere, owners: Arc::new(Owners::new()?), uid })
    }

    /// Listens there too; both have as many connections together as one.
    pub(crate) fn beside(&self, listener: TcpListener) -> Self {
        let (permits, owners) = (self.permits.clone(), self.owners.clone());
        let is_elsewhere = is_elsewhere(&listener);
        Self { listener, permits, is_elsewhere, owners, uid: self.uid }
    }

    /// One of the connections that there may be, for one that did not come over a listener. `None` if there are too many.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_owned().ok()
    }

    /// Whether a connection may be served.
    fn is_ours(&self, stream: &TcpStream, peer: SocketAddr) -> bool {
        if self.is_elsewhere {
            return true;
        }
        match stream.local_addr().and_then(|local| self.owners.uid_of(peer, local)) {
            Ok(uid) if uid == self.uid => true,
            Ok(uid) => {
                tracing::warn!(uid, "a connection of another user is refused");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "cannot find out whose connection this is; refused it");
                false
            }
        }
    }

    /// Serves each connection of a process of this user by a task of its own, which holds the permit for as long as the
    /// connection is open. It never ends by itself.
    pub(crate) async fn serve<F>(&self, serve: impl Fn(TcpStream, OwnedSemaphorePermit) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if !self.is_ours(&stream, peer) {
                continue;
            }
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream, permit));
        }
    }

    /// Waits until all connections have ended, for a while.
    pub(crate) async fn drain(&self) {
        let _ = tokio::time::timeout(GRACE, self.permits.acquire_many(MOST)).await;
    }
}

/// Whether a listener is in another network namespace than we are. Where the kernel does not tell, it is not.
fn is_elsewhere(listener: &TcpListener) -> bool {
    let Ok(own) = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None) else {
        return false;
    };
    let networks = network_of(listener.as_fd()).ok().zip(network_of(own.as_fd()).ok());
    networks.is_some_and(|(its, own)| its != own)
}
