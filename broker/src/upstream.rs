//! Connections to the hosts: names looked up once, addresses that are not public refused, TLS checked against the machine's
//! roots. Nothing else here connects to the network.
//!
//! - [`route`]: addresses, and the way to them
//! - [`lines`]: connections that are kept
//! - [`reason`]: why there is none

mod lines;
mod reason;
mod route;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

use crate::bodies::Outgoing;
use crate::denial::Denial;
use crate::grants::Target;

pub(crate) use lines::Line;
use lines::{Lines, Sender};
pub(crate) use reason::private;
use reason::{Failure, late_to_connect, no_answer, not_connected, not_sent, unreachable};
pub(crate) use route::Reach;
use route::Route;

/// Until a host is connected and TLS is agreed.
const CONNECT: Duration = Duration::from_secs(10);

/// Until an answer begins.
const HEAD: Duration = Duration::from_secs(600);

/// How long a connection is kept that has carried no value.
const KEPT: Duration = Duration::from_secs(60);

/// How long a connection is kept that has: the request's head stays in its buffer until it is closed.
const KEPT_AFTER_A_VALUE: Duration = Duration::from_millis(300);

/// How much of an answer is read at once, and at least so long may its head be. A body is in a few buffers of this size on its
/// way: larger ones fit into no processor's cache, and the heap keeps them.
const PIECE: usize = 64 << 10;

/// How much that is encrypted is read from a host at once: TLS alone would ask for 4 KiB.
const READ_AHEAD: usize = 32 << 10;

/// Sends requests to hosts.
pub(crate) struct Upstream {
    /// Offers both versions of HTTP.
    tls: TlsConnector,
    /// Offers HTTP/1.1, in which connections can become something else.
    tls_first: TlsConnector,
    to_public: Route,
    to_loopback: Route,
    /// Also for what is let through.
    to_any: Route,
    /// Those that have carried no value.
    lines: Lines,
    lines_after_a_value: Lines,
    plain: Client<Route, Incoming>,
}

/// How a request may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The request carries a value.
    pub(crate) carries: bool,
    /// Which addresses the host may have.
    pub(crate) reach: Reach,
    /// The connection is to become a WebSocket.
    pub(crate) upgrades: bool,
}

/// What became of a request that has no answer.
pub(crate) enum Unsent {
    /// Nothing of it was sent, because the host had closed the connection, which was kept.
    Again(Box<Request<Outgoing>>),
    /// It failed.
    Failed(Denial),
}

impl Upstream {
    /// Trusts these roots.
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        // One that cannot be read is one that is not trusted.
        store.add_parsable_certificates(roots);
        let config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        let tls = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        let to_any = Route::new(Reach::Any, CONNECT);
        Self {
            tls: tls(&[b"h2", b"http/1.1"]),
            tls_first: tls(&[b"http/1.1"]),
            to_public: Route::new(Reach::Public, CONNECT),
            to_loopback: Route::new(Reach::Loopback, CONNECT),
            lines: Lines::new(KEPT),
            lines_after_a_value: Lines::new(KEPT_AFTER_A_VALUE),
            plain: Client::builder(TokioExecutor::new()).build(to_any.clone()),
            to_any,
        }
    }

    /// A connection to the host, for one request: one that is kept, or a new one. If it must be `fresh`, a new one.
    pub(crate) async fn line(&self, target: &Target, manner: Manner, fresh: bool) -> Result<Line, Denial> {
        let host = target.parsed_authority().ok_or_else(unreachable)?;
        if !fresh
            && !manner.upgrades
            && let Some(line) = self.lines(manner.carries).take(&host, manner.reach)
        {
            return Ok(line);
        }
        match timeout(CONNECT, self.connected(target, host, manner)).await {
            Ok(Ok(line)) => {
                // Others need not wait for its answer.
                if let Some(copy) = line.copy() {
                    self.lines(manner.carries).keep(copy);
                }
                Ok(line)
            }
            Ok(Err(failure)) => Err(not_connected(&failure)),
            Err(_) => Err(late_to_connect()),
        }
    }

    async fn connected(&self, target: &Target, host: Authority, manner: Manner) -> Result<Line, Failure> {
        let mut route = match manner.reach {
            Reach::Public => self.to_public.clone(),
            Reach::Loopback => self.to_loopback.clone(),
            Reach::Any => self.to_any.clone(),
        };
        let tls = if manner.upgrades { &self.tls_first } else { &self.tls };
        let uri = url(host.clone(), PathAndQuery::from_static("/"))?;
        let stream = route.call(uri.clone()).await?.into_inner();
        let address = route.address(&uri, &stream)?;
        let name = ServerName::try_from(target.host.clone())?;
        let stream = tls.connect(name, BufReader::with_capacity(READ_AHEAD, stream)).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let line = |sender| Line { sender, host, address, is_kept: false, is_for_more: !manner.upgrades };
        if is_h2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(2 << 20);
            let (sender, connection) = builder.handshake(stream).await?;
            tokio::spawn(connection);
            let line = line(Sender::Http2(sender));
            return Ok(line);
        }
        let (sender, connection) = http1::Builder::new().max_buf_size(PIECE).handshake(stream).await?;
        if manner.upgrades {
            tokio::spawn(connection.with_upgrades());
        } else {
            tokio::spawn(connection);
        }
        Ok(line(Sender::Http1(sender)))
    }

    fn lines(&self, carries: bool) -> &Lines {
        if carries { &self.lines_after_a_value } else { &self.lines }
    }

    /// Sends a request over this connection, and gives the answer's head.
    pub(crate) async fn send(
        &self,
        mut line: Line,
        mut request: Request<Outgoing>,
        carries: bool,
    ) -> Result<Response<Incoming>, Unsent> {
        address(&mut request, &line).map_err(|_| Unsent::Failed(unreachable()))?;
        let mut error = match timeout(HEAD, line.sender.send(request)).await {
            Ok(Ok(response)) => {
                self.lines(carries).keep(line);
                return Ok(response);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(Unsent::Failed(no_answer())),
        };
        match error.take_message().filter(|_| line.is_kept) {
            Some(request) => Err(Unsent::Again(Box::new(request))),
            None => Err(Unsent::Failed(not_sent(&error.into_error()))),
        }
    }

    /// Sends a request without TLS, which carries nothing, and gives the answer's head.
    pub(crate) async fn send_plain(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Denial> {
        match timeout(HEAD, self.plain.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(not_connected(&error.into())),
            Ok(Err(error)) => Err(not_sent(&error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// Connects to a host whose traffic is not looked into: whatever the user has named may be there.
    pub(crate) async fn connect(&self, target: &Target) -> Result<TcpStream, Denial> {
        let host = target.parsed_authority().ok_or_else(unreachable)?;
        let uri = url(host, PathAndQuery::from_static("/")).map_err(|_| unreachable())?;
        match timeout(CONNECT, self.to_any.clone().call(uri)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(_)) => Err(unreachable()),
            Err(_) => Err(late_to_connect()),
        }
    }
}

/// Writes where a request goes, in the way of the version that its connection speaks.
fn address(request: &mut Request<Outgoing>, line: &Line) -> Result<(), Failure> {
    match &line.sender {
        Sender::Http1(_) => {
            let uri = request.uri_mut();
            if uri.scheme().is_some() || uri.authority().is_some() {
                let path = std::mem::take(uri).into_parts().path_and_query;
                *uri = path.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
            }
            let host = line.host.as_str();
            let headers = request.headers_mut();
            if headers.get(HOST).is_none_or(|written| written != host) {
                headers.insert(HOST, HeaderValue::from_str(host)?);
            }
        }
        Sender::Http2(_) => {
            let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
            *request.uri_mut() =
                url(line.host.clone(), path.unwrap_or_else(|| PathAndQuery::from_static("/")))?;
            request.headers_mut().remove(HOST);
        }
    }
    Ok(())
}

fn url(host: Authority, path: PathAndQuery) -> Result<Uri, hyper::http::Error> {
    Uri::builder().scheme(Scheme::HTTPS).authority(host).path_and_query(path).build()
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// Makes ring the one library of this process that TLS is done with.
pub(crate) fn use_ring() {
    let _ = Arc::new(rustls::crypto::ring::default_provider()).as_ref().clone().install_default();
}
