//! Agreeing on TLS with a program. What TLS says meanwhile goes out when it waits for an answer, and what the program does not
//! wait for goes out with the next that is said: the ticket with which a program may come back would be a packet of its own,
//! for which both ends wake up once more on every new connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// Agrees on TLS with a program that has begun it.
///
/// # Errors
/// Why there is no agreement, which the program is told too, or the stream's.
pub(super) async fn agree<S: AsyncRead + AsyncWrite + Unpin>(
    start: StartHandshake<S>,
    config: Arc<ServerConfig>,
) -> io::Result<TlsStream<Held<S>>> {
    let start = StartHandshake::from_parts(start.accepted, Held::new(start.io));
    match start.into_stream(config).into_fallible().await {
        Ok(mut stream) => {
            let (held, tls) = stream.get_mut();
            // Since TLS 1.3 the program goes on without waiting for the last that is said (RFC 8446, section 4.6.1).
            let is_awaited = tls.protocol_version() != Some(ProtocolVersion::TLSv1_3);
            held.agreed(is_awaited).await?;
            Ok(stream)
        }
        Err((error, mut held)) => {
            let _ = held.agreed(true).await;
            Err(error)
        }
    }
}

/// A stream that holds what is written to it.
pub(super) struct Held<S> {
    stream: S,
    held: BytesMut,
    /// Whether all that is written is held until a read has to wait. Otherwise what is still held goes out before the next.
    is_agreeing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Held<S> {
    /// Holds what is written until a read has to wait.
    fn new(stream: S) -> Self {
        Self { stream, held: BytesMut::new(), is_agreeing: true }
    }

    /// From now on what is written goes out at once, behind what is held; that goes out now if the other end waits for it.
    ///
    /// # Errors
    /// The stream's.
    async fn agreed(&mut self, is_awaited: bool) -> io::Result<()> {
        self.is_agreeing = false;
        if is_awaited { poll_fn(|context| self.poll_send(context)).await } else { Ok(()) }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(sent);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if self.is_agreeing
            && read.is_pending()
            && let Poll::Ready(Err(error)) = self.poll_send(context)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_agreeing {
            this.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        loop {
            let held = this.held.len();
            let both = [IoSlice::new(&this.held), IoSlice::new(bytes)];
            let sent = match held {
                0 => ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?,
                _ => ready!(Pin::new(&mut this.stream).poll_write_vectored(context, &both))?,
            };
            this.held.advance(sent.min(held));
            if sent > held || sent == 0 || bytes.is_empty() && sent == held {
                return Poll::Ready(Ok(sent.saturating_sub(held)));
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_agreeing || !self.held.is_empty() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return self.poll_write(context, first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_agreeing {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::server::Acceptor;
    use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion, version};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::UnixStream;
    use tokio::time::timeout;
    use tokio_rustls::client::TlsStream as Program;
    use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

    use super::*;
    use crate::certificate::{Authority, Keys};

    const HOST: &str = "api.example.com";

    /// What a program and the broker have once they have agreed.
    async fn agreed(
        version: &'static SupportedProtocolVersion,
        alpn: &[u8],
    ) -> (io::Result<Program<UnixStream>>, io::Result<TlsStream<Held<UnixStream>>>) {
        let authority = Authority::new(Keys::new().unwrap(), 3_600).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = config.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let (near, far) = UnixStream::pair().unwrap();
        let program = TlsConnector::from(Arc::new(config)).connect(HOST.try_into().unwrap(), near);
        let broker = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), far).await?;
            agree(start, authority.config_for(HOST).unwrap()).await
        };
        timeout(Duration::from_secs(60), async { tokio::join!(program, broker) }).await.unwrap()
    }

    #[tokio::test]
    async fn the_ticket_goes_out_with_the_first_answer() {
        let (program, broker) = agreed(&version::TLS13, b"http/1.1").await;
        let (mut program, mut broker) = (program.unwrap(), broker.unwrap());
        broker.flush().await.unwrap();
        let nothing = program.get_ref().0.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert!(!broker.get_ref().0.held.is_empty(), "there is no ticket");
        for text in [b"first", b"other"] {
            broker.write_all(text).await.unwrap();
            broker.flush().await.unwrap();
            let mut read = [0; 5];
            program.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, text);
            assert!(broker.get_ref().0.held.is_empty());
        }
        program.write_all(b"asked").await.unwrap();
        let mut read = [0; 5];
        broker.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"asked");
    }

    #[tokio::test]
    async fn what_the_program_waits_for_goes_out_at_once() {
        let (program, broker) = agreed(&version::TLS12, b"http/1.1").await;
        let (mut program, mut broker) = (program.unwrap(), broker.unwrap());
        program.write_all(b"asked").await.unwrap();
        let mut read = [0; 5];
        broker.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"asked");
    }

    #[tokio::test]
    async fn a_program_is_told_why_there_is_no_agreement() {
        let (program, broker) = agreed(&version::TLS13, b"unknown").await;
        let told = program.unwrap_err().into_inner().unwrap().downcast::<rustls::Error>().unwrap();
        assert_eq!(*told, rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
        assert!(broker.is_err());
    }

    #[tokio::test]
    async fn what_is_held_stays_in_order_in_small_pieces() {
        let (mut near, far) = duplex(3);
        let mut held = Held::new(far);
        held.write_all(b"what is held, ").await.unwrap();
        held.agreed(false).await.unwrap();
        let write = async {
            held.write_all(b"and what comes behind it").await.unwrap();
            held.write_all(b".").await.unwrap();
            held.shutdown().await.unwrap();
        };
        let mut read = String::new();
        let (_, all) = tokio::join!(write, near.read_to_string(&mut read));
        all.unwrap();
        assert_eq!(read, "what is held, and what comes behind it.");
    }
}
