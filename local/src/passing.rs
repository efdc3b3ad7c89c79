//! Messages with open descriptors from one process to another, over a connected pair of Unix stream sockets (unix(7),
//! `SCM_RIGHTS`). A message is its length, four bytes with the largest first, and that many bytes; the descriptors travel
//! with the length.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use zeroize::Zeroizing;

/// The most descriptors of a message.
pub const MOST_DESCRIPTORS: usize = 4;

/// The most bytes of a message: what a session's rules may come to, and some more.
pub const MOST_BYTES: usize = 16 << 20;

/// Sends a message with these descriptors, of which there may be [`MOST_DESCRIPTORS`]. They stay open here.
///
/// # Errors
/// `InvalidInput` for a message that is too large; what the system says otherwise.
pub fn send(socket: &UnixStream, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MOST_BYTES);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !with.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Four bytes into a socket that holds none of this message yet go as a whole.
    if sendmsg(socket, &[IoSlice::new(&length)], &mut with, SendFlags::NOSIGNAL)? != length.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    (&*socket).write_all(message)
}

/// Waits for a message, and gives it with its descriptors, which are closed in every program that this one executes.
///
/// # Errors
/// `UnexpectedEof` if the other side has closed the socket, `InvalidData` for what is no message, and what the system says,
/// the socket's own deadline too.
pub fn receive(socket: &UnixStream) -> io::Result<(Zeroizing<Vec<u8>>, Vec<OwnedFd>)> {
    let (head, descriptors) = receive_head(socket)?;
    let mut length = [0; 4];
    (head.as_slice()).chain(socket).read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = Zeroizing::new(vec![0; length]);
    (&*socket).read_exact(&mut message)?;
    Ok((message, descriptors))
}

/// Receives the beginning of a message: one to four bytes of its length, with its descriptors. What follows is read as
/// from any other socket.
///
/// # Errors
/// `UnexpectedEof` if the other side has closed the socket, and what the system says.
pub fn receive_head(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    // A socket with a deadline is not waited for again by itself after a signal that somebody handles (signal(7)).
    let received = retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(&mut length)], &mut with, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    for part in with.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let head = length.get(..received.bytes).unwrap_or_default();
    if head.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head.to_vec(), descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut inside, passed) = UnixStream::pair().unwrap();
        send(&here, b"with", &[passed.as_fd()]).unwrap();
        send(&here, b"", &[]).unwrap();
        drop((passed, here));
        let (message, mut descriptors) = receive(&there).unwrap();
        assert_eq!((&**message, descriptors.len()), (&b"with"[..], 1));
        UnixStream::from(descriptors.remove(0)).write_all(b"x").unwrap();
        let mut byte = [0];
        inside.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(
            receive(&there).is_ok_and(|(message, descriptors)| message.is_empty() && descriptors.is_empty())
        );
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_that_no_message_has_is_refused_unread() {
        let (here, there) = UnixStream::pair().unwrap();
        (&here).write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
