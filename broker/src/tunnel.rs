//! What the program asks of its proxy: a tunnel to a host, into which the broker looks or not, or a plain request. TLS
//! towards the program is agreed on in [`handshake`], and spoken here and nowhere else.

mod handshake;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::Acceptor;
use secrets_proto::ErrorType;
use secrets_proto::session::WhyRefused;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use handshake::{Held, agree};

use crate::body::Body;
use crate::certificate::Authority;
use crate::decide::told_of;
use crate::denial::Denial;
use crate::forward::Forwarder;
use crate::grants::Target;
use crate::stream::Stream;

/// How long a head may take to arrive, and TLS to be agreed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of a request's head.
const HEAD: usize = 64 << 10;

/// The most fields of a request's head.
const FIELDS: usize = 100;

/// The most bytes that a program may say before its TLS is understood: one record.
const HELLO: usize = 17 << 10;

/// How much goes on at once through a tunnel that is let through, to the host and from it: answers are longer.
const SENT: usize = 16 << 10;
const RECEIVED: usize = 64 << 10;

/// What serves the connections of one session.
pub(crate) struct Tunnels {
    forwarder: Forwarder,
    authority: Authority,
}

impl Tunnels {
    /// Serves tunnels with certificates of this authority.
    pub(crate) const fn new(forwarder: Forwarder, authority: Authority) -> Self {
        Self { forwarder, authority }
    }

    /// Waits until a request carries a value.
    pub(crate) async fn carried(&self) {
        self.forwarder.carried.notified().await;
    }

    /// Forgets the values that no request has carried for a moment. Says whether there are others.
    pub(crate) fn forget(&self) -> bool {
        self.forwarder.forget()
    }

    /// What a session that learns would be allowed by.
    pub(crate) fn learned(&self) -> String {
        self.forwarder.notes.commands()
    }

    /// Who ends the session.
    pub(crate) const fn daemon(&self) -> &crate::decide::Daemon {
        &self.forwarder.daemon
    }

    /// Serves a connection of the program to its proxy, to the end.
    pub(crate) async fn serve(self: Arc<Self>, stream: impl Into<Stream>, permit: OwnedSemaphorePermit) {
        // A tunnel goes on after the connection has been given to it.
        let permit = Arc::new(permit);
        let service = service_fn(|request| {
            let (tunnels, permit) = (self.clone(), permit.clone());
            async move { Ok::<_, hyper::Error>(tunnels.open(request, permit).await) }
        });
        let connection = plain().serve_connection(TokioIo::new(stream.into()), service).with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the proxy ended");
        }
    }

    async fn open(
        self: Arc<Self>,
        request: Request<Incoming>,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Response<Body> {
        if request.method() != Method::CONNECT {
            return self.plain(request).await;
        }
        let uri = request.uri();
        let target = uri.authority().filter(|_| uri.scheme().is_none());
        let target = target.and_then(|target| Target::parse(target.as_str(), None));
        let Some(target) = target else {
            return malformed("CONNECT names a host and a port").response();
        };
        let through = if self.forwarder.grants.lets_through(&target) {
            match self.forwarder.upstream.connect(&target).await {
                Ok(stream) => Some(stream),
                Err(denial) => return self.forwarder.deny(&denial, None),
            }
        } else {
            None
        };
        tokio::spawn(async move {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let Some(stream) = Prefixed::from(upgraded) else { return };
            let outcome = match through {
                Some(host) => pass(stream, host, &target).await,
                None => self.look_into(stream, target).await,
            };
            if let Err(error) = outcome {
                // Why a program does not take a certificate shows as an alert, or as an end without a word.
                tracing::debug!(%error, "a tunnel ended");
            }
            drop(permit);
        });
        Response::new(Body::full(Bytes::new()))
    }

    /// Speaks TLS in the host's place, and serves each request.
    async fn look_into(self: Arc<Self>, stream: Prefixed, target: Target) -> io::Result<()> {
        let start = timeout(PATIENCE, LazyConfigAcceptor::new(Acceptor::default(), stream)).await??;
        let named = start.client_hello().server_name().map(str::to_ascii_lowercase);
        // An address is never named in TLS.
        let differs = named.as_ref().is_some_and(|named| *named != target.host);
        let host = named.unwrap_or_else(|| target.host.clone());
        let config = self.authority.config_for(&host).map_err(io::Error::other)?;
        let stream = timeout(PATIENCE, agree(start, config)).await??;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let target = Arc::new(target);
        let service = service_fn(|request: Request<Incoming>| {
            let (tunnels, target) = (self.clone(), target.clone());
            async move { Ok::<_, hyper::Error>(tunnels.answer(&target, differs, request).await) }
        });
        let stream: TokioIo<TlsStream<Held<Prefixed>>> = TokioIo::new(stream);
        let ended = if is_h2 {
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(32)
                .max_send_buf_size(128 << 10)
                .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(2 << 20)
                .serve_connection(stream, service)
                .await
        } else {
            plain().serve_connection(stream, service).with_upgrades().await
        };
        ended.map_err(io::Error::other)
    }

    async fn answer(&self, target: &Target, differs: bool, request: Request<Incoming>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let response = self.answer_whole(target, differs, request).await;
        // hyper leaves a body out that must not be there in HTTP/1.1 alone.
        if is_head { response.map(|_| Body::full(Bytes::new())) } else { response }
    }

    async fn answer_whole(
        &self,
        target: &Target,
        differs: bool,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if differs {
            let denial = Denial::refusal(
                WhyRefused::HostMismatch,
                "TLS names another host than the tunnel is to; connect to that host",
            );
            let told = told_of(request.method().as_str(), target, request.uri().path());
            return self.forwarder.deny(&denial, told);
        }
        self.forwarder.answer(target, request).await
    }

    /// A request without a tunnel and without TLS: it carries nothing, and goes to hosts alone that the user has named.
    async fn plain(&self, request: Request<Incoming>) -> Response<Body> {
        let uri = request.uri();
        if uri.scheme_str() != Some("http") {
            return malformed("this is a proxy; ask it for a tunnel with CONNECT").response();
        }
        let target = uri.authority().and_then(|target| Target::parse(target.as_str(), Some(80)));
        let Some(target) = target else {
            return malformed("the request names no host").response();
        };
        let told = told_of(request.method().as_str(), &target, uri.path());
        match self.forwarder.forward_plain(&target, request).await {
            Ok(response) => response,
            Err(denial) => self.forwarder.deny(&denial, told),
        }
    }
}

/// How HTTP/1.1 is read from the program.
fn plain() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD).max_headers(FIELDS);
    builder
}

fn malformed(message: &'static str) -> Denial {
    Denial::failure(ErrorType::InvalidRequestError, "proxy_request", message)
}

/// Lets a tunnel pass unseen, once its TLS has named the host that it is to.
async fn pass(mut stream: Prefixed, mut host: TcpStream, target: &Target) -> io::Result<()> {
    let hello = timeout(PATIENCE, hello(&mut stream, target)).await??;
    host.write_all(&hello).await?;
    copy_bidirectional_with_sizes(&mut stream, &mut host, SENT, RECEIVED).await.map(drop)
}

/// The first bytes of a tunnel, if they begin TLS to this host.
async fn hello(stream: &mut Prefixed, target: &Target) -> io::Result<Vec<u8>> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut read = Vec::with_capacity(2 << 10);
    loop {
        if read.len() > HELLO || stream.read_buf(&mut read).await? == 0 {
            return Err(refused("a tunnel that is let through does not begin with TLS"));
        }
        match named_in(&read)? {
            Hello::Cut => {}
            Hello::Names(Some(name)) if name == target.host => return Ok(read),
            // An address is never named in TLS.
            Hello::Names(None) if target.name().is_none() => return Ok(read),
            Hello::Names(_) => return Err(refused("TLS names another host than the tunnel is to")),
        }
    }
}

/// What the beginning of TLS says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// More is needed.
    Cut,
    /// A beginning that names this host, or none.
    Names(Option<String>),
}

/// Reads the host's name out of a ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3).
pub(crate) fn named_in(mut bytes: &[u8]) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes)?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                return Ok(Hello::Names(accepted.client_hello().server_name().map(str::to_ascii_lowercase)));
            }
            Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no TLS")),
        }
    }
    Ok(Hello::Cut)
}

/// A program's connection, behind what of it was read with the request for a tunnel.
pub(crate) struct Prefixed {
    prefix: Bytes,
    stream: Stream,
}

impl Prefixed {
    fn from(upgraded: Upgraded) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
        Some(Self { prefix: parts.read_buf, stream: parts.io.into_inner() })
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let length = self.prefix.len().min(into.remaining());
        into.put_slice(self.prefix.get(..length).unwrap_or_default());
        self.prefix.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
