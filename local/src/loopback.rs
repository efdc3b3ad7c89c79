//! Whose a connection over the loopback is. Every user of a machine can connect to a port of it; the kernel tells which of
//! them has the other end (sock_diag(7)).

use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv, sendmsg_addr,
    socket_with,
};

/// Asks the kernel for one socket (sock_diag(7)): struct nlmsghdr and struct inet_diag_req_v2 of linux/inet_diag.h.
const REQUEST: u32 = 16 + 56;

/// struct nlmsghdr and struct inet_diag_msg.
const REPLY: usize = 16 + 72;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Asks the kernel whose connections are, over one socket.
#[derive(Debug)]
pub struct Owners {
    socket: OwnedFd,
    /// How many questions there were: an answer says to which it is.
    asked: AtomicU32,
}

impl Owners {
    /// Begins to ask about the network that this process is in.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        Ok(Self { socket, asked: AtomicU32::new(0) })
    }

    /// Which user has the other end of a connection on this machine, `peer` as it is seen from `local`.
    ///
    /// # Errors
    /// `NotFound` for a connection that is not of this network, `Unsupported` but for IPv4, and what the kernel says.
    pub fn uid_of(&self, peer: SocketAddr, local: SocketAddr) -> io::Result<u32> {
        let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let kernel = SocketAddrNetlink::new(0, 0);
        let mut none = SendAncillaryBuffer::default();
        let request = request(peer, local, number);
        sendmsg_addr(&self.socket, &kernel, &[IoSlice::new(&request)], &mut none, SendFlags::empty())?;
        loop {
            let mut reply = [0; 256];
            // The kernel has answered before it returns from the question.
            let (length, _) = recv(&self.socket, &mut reply, RecvFlags::DONTWAIT)?;
            let field = |at: usize| {
                reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
            };
            // An answer that nobody has read is of another connection.
            if field(8) != Some(number) {
                continue;
            }
            let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
            if length < REPLY || kind != Some(SOCK_DIAG_BY_FAMILY) {
                return Err(io::ErrorKind::NotFound.into());
            }
            // idiag_uid, behind the family, the socket's id and three counts.
            return field(16 + 4 + 48 + 12).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}

fn request(peer: SocketAddrV4, local: SocketAddrV4, number: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST as usize);
    request.extend_from_slice(&REQUEST.to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST: this one socket, not all.
    request.extend_from_slice(&1_u16.to_ne_bytes());
    request.extend_from_slice(&number.to_ne_bytes());
    request.extend_from_slice(&[0; 4]);
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
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_whose_the_other_end_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        let owners = Owners::new().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(owners.uid_of(peer, local).unwrap(), own);
        // An answer that was not read, of a connection that does not exist: it is not taken for the next one's.
        let (SocketAddr::V4(nobody), SocketAddr::V4(local_v4)) = ("127.0.0.1:1".parse().unwrap(), local)
        else {
            unreachable!()
        };
        let unread = request(nobody, local_v4, 77);
        let kernel = SocketAddrNetlink::new(0, 0);
        let mut none = SendAncillaryBuffer::default();
        sendmsg_addr(&owners.socket, &kernel, &[IoSlice::new(&unread)], &mut none, SendFlags::empty())
            .unwrap();
        assert_eq!(owners.uid_of(peer, local).unwrap(), own);
        let error = owners.uid_of(SocketAddr::V4(nobody), local).unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound, "{error}");
        drop(client);
    }
}
