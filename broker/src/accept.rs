//! Connections of the program: taken from this user's processes alone, and so many at a time.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv, sendmsg_addr,
    socket_with,
};
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
    uid: u32,
}

impl Connections {
    /// Listens there.
    pub(crate) fn new(listener: TcpListener) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self { listener, permits: Arc::new(Semaphore::new(MOST as usize)), uid }
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
            match stream.local_addr().and_then(|local| uid_of(peer, local)) {
                Ok(uid) if uid == self.uid => {}
                Ok(uid) => {
                    tracing::warn!(uid, "a connection of another user is refused");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "whose a connection is cannot be told; it is refused");
                    continue;
                }
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

/// Asks the kernel for one socket (sock_diag(7)): struct nlmsghdr and struct inet_diag_req_v2 of linux/inet_diag.h.
const REQUEST: u32 = 16 + 56;

/// struct nlmsghdr and struct inet_diag_msg.
const REPLY: usize = 16 + 72;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Which user has the other end of a connection on this machine.
pub(crate) fn uid_of(peer: SocketAddr, local: SocketAddr) -> io::Result<u32> {
    let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut request = Vec::with_capacity(REQUEST as usize);
    request.extend_from_slice(&REQUEST.to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST: this one socket, not all.
    request.extend_from_slice(&1_u16.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    // AF_INET, IPPROTO_TCP, no extension, any state.
    request.extend_from_slice(&[2, 6, 0, 0]);
    request.extend_from_slice(&u32::MAX.to_ne_bytes());
    request.extend_from_slice(&peer.port().to_be_bytes());
    request.extend_from_slice(&local.port().to_be_bytes());
    for address in [peer.ip(), local.ip()] {
        request.extend_from_slice(&address.octets());
        request.extend_from_slice(&[0; 12]);
    }
    request.extend_from_slice(&[0; 4]);
    // INET_DIAG_NOCOOKIE.
    request.extend_from_slice(&[0xff; 8]);
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    let mut none = SendAncillaryBuffer::default();
    sendmsg_addr(&socket, &kernel, &[IoSlice::new(&request)], &mut none, SendFlags::empty())?;
    let mut reply = [0; 256];
    let (length, _) = recv(&socket, &mut reply, RecvFlags::DONTWAIT)?;
    let field =
        |at: usize| reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    if length < REPLY || kind != Some(SOCK_DIAG_BY_FAMILY) {
        return Err(io::ErrorKind::NotFound.into());
    }
    // idiag_uid, behind the family, the socket's id and three counts.
    field(16 + 4 + 48 + 12).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_whose_the_other_end_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let uid = uid_of(peer, server.local_addr().unwrap()).unwrap();
        assert_eq!(uid, rustix::process::geteuid().as_raw());
        drop(client);
    }
}
