//! The two answers there are: a whole value, or more than any credential may have.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};
use rustix::net::{SendFlags, send as send_to};
use secrets_proto::SecretValue;
use tokio::net::UnixStream;

use super::Denial;

/// The most that systemd takes as one credential (`CREDENTIAL_SIZE_MAX`): one byte more fails the unit.
const CREDENTIAL: usize = 1 << 20;

/// How long a peer may take to read a refusal. A real service manager reads it at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel adds to a message of any size in its queue, several times over.
const OVERHEAD: usize = 16 * 1024;

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Sends a value by one call, or nothing of it: whatever ends this process ends it before or after. On an error the peer
/// is to be refused.
pub(super) fn send(stream: &UnixStream, value: &SecretValue) -> Result<(), Denial> {
    let bytes = value.expose().as_bytes();
    make_room(stream, bytes.len()).map_err(|_| Denial::Unsendable)?;
    match send_to(stream, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        // What follows of a refusal makes it too long for a credential.
        Ok(_) => Err(Denial::Unsendable),
        // It asks no more; that the value was let go is in the audit log.
        Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(_) => Err(Denial::Unsendable),
    }
}

/// Makes sure that the socket takes so many bytes at once. The kernel counts its own overhead along, and doubles what it
/// is asked for.
fn make_room(stream: &UnixStream, length: usize) -> io::Result<()> {
    let needed = 2 * length + OVERHEAD;
    if socket_send_buffer_size(stream)? < needed {
        set_socket_send_buffer_size(stream, needed)?;
    }
    if socket_send_buffer_size(stream)? < needed {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory));
    }
    Ok(())
}

/// Fails the unit that asks.
pub(super) async fn refuse(stream: &UnixStream) {
    // Whether the peer reads it is the peer's affair.
    let _ = tokio::time::timeout(PATIENCE, overfill(stream)).await;
}

async fn overfill(stream: &UnixStream) -> io::Result<()> {
    let mut left = CREDENTIAL + 1;
    while left > 0 {
        stream.writable().await?;
        let piece = ZEROS.get(..left.min(ZEROS.len())).unwrap_or(&ZEROS);
        match stream.try_write(piece) {
            Ok(written) => left -= written.min(left),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn read(mut peer: UnixStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_value_is_sent_whole_before_anybody_reads() {
        for value in ["x".repeat(SecretValue::MAX), "a\r\n\u{1}\u{feff}\u{e9}\n".to_owned()] {
            let (peer, stream) = UnixStream::pair().unwrap();
            send(&stream, &SecretValue::new(value.clone()).unwrap()).unwrap();
            drop(stream);
            assert_eq!(read(peer).await, value.into_bytes());
        }
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_is_made_to_take_all_of_it() {
        let (peer, stream) = UnixStream::pair().unwrap();
        set_socket_send_buffer_size(&stream, 4_096).unwrap();
        let value = "y".repeat(SecretValue::MAX);
        send(&stream, &SecretValue::new(value.clone()).unwrap()).unwrap();
        drop(stream);
        assert_eq!(read(peer).await, value.into_bytes());
    }

    #[tokio::test]
    async fn what_fits_in_part_only_is_made_useless() {
        let (peer, stream) = UnixStream::pair().unwrap();
        while stream.try_write(&ZEROS).is_ok() {}
        assert!(matches!(
            send(&stream, &SecretValue::new("z".repeat(SecretValue::MAX)).unwrap()),
            Err(Denial::Unsendable)
        ));
        let reading = tokio::spawn(read(peer));
        refuse(&stream).await;
        drop(stream);
        assert!(reading.await.unwrap().len() > CREDENTIAL);
    }

    #[tokio::test]
    async fn a_refusal_is_one_byte_too_long_and_survives_a_peer_that_leaves() {
        let (peer, stream) = UnixStream::pair().unwrap();
        let reading = tokio::spawn(read(peer));
        refuse(&stream).await;
        drop(stream);
        let bytes = reading.await.unwrap();
        assert_eq!(bytes.len(), CREDENTIAL + 1);
        assert!(bytes.iter().all(|byte| *byte == 0));
        let (peer, stream) = UnixStream::pair().unwrap();
        drop(peer);
        refuse(&stream).await;
        send(&stream, &SecretValue::new("x".into()).unwrap()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_left_in_time() {
        let (_peer, stream) = UnixStream::pair().unwrap();
        let began = tokio::time::Instant::now();
        refuse(&stream).await;
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
