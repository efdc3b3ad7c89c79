//! Connections to the hosts: names looked up once, addresses that are not public refused, TLS checked against the machine's
//! roots, and a pool. Nothing else here connects to the network.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, Client};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use secrets_proto::ErrorType;
use secrets_proto::session::WhyRefused;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::address::is_public;
use crate::bodies::Outgoing;
use crate::denial::Denial;
use crate::grants::Target;

/// Until a host is connected and TLS is agreed.
const CONNECT: Duration = Duration::from_secs(10);

/// Until an answer begins.
const HEAD: Duration = Duration::from_secs(600);

/// How long a connection is kept that has carried no value.
const KEPT: Duration = Duration::from_secs(60);

/// How long a connection is kept that has: the request's head stays in its buffer until it is closed.
const KEPT_AFTER_A_VALUE: Duration = Duration::from_millis(300);

/// The most connections to a host that are kept.
const MOST_KEPT: usize = 16;

/// How much of an answer is read at once, and at least so long may its head be. A body is in a few buffers of this size on its
/// way: larger ones fit into no processor's cache, and the heap keeps them.
const PIECE: usize = 64 << 10;

type Pool = Client<Timed, Outgoing>;

/// Sends requests to hosts.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// For requests that carry no value, by how far they may go.
    pools: [Pool; 3],
    /// For those that carry one.
    carrying: [Pool; 3],
    /// For connections that become something else, which HTTP/1.1 alone has.
    becoming: [Pool; 3],
    plain: Client<Routed, Incoming>,
    /// For what is let through.
    unseen: Routed,
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

/// Which addresses of a host are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the public internet.
    Public,
    /// Those, and this machine's loopback: for hosts that no rule names, where a session learns. What else answers at an address
    /// that is not public, such as a cloud's metadata, is not for a program to find out by itself.
    Loopback,
    /// Any: a rule, or the user, says so.
    Any,
}

impl Reach {
    fn covers(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => is_public(address) || address.to_canonical().is_loopback(),
            Self::Any => true,
        }
    }
}

impl Upstream {
    /// Trusts these roots.
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        // One that cannot be read is one that is not trusted.
        store.add_parsable_certificates(roots);
        let config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        let pool = |reach, kept, versions| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(kept)
                .pool_max_idle_per_host(MOST_KEPT)
                .http1_max_buf_size(PIECE)
                .http2_initial_stream_window_size(1 << 20)
                .http2_initial_connection_window_size(2 << 20)
                .build(Timed(connector(config.clone(), reach, versions)))
        };
        let reaches = [Reach::Public, Reach::Loopback, Reach::Any];
        Self {
            pools: reaches.map(|reach| pool(reach, KEPT, Versions::All)),
            carrying: reaches.map(|reach| pool(reach, KEPT_AFTER_A_VALUE, Versions::All)),
            becoming: reaches.map(|reach| pool(reach, KEPT_AFTER_A_VALUE, Versions::First)),
            plain: Client::builder(TokioExecutor::new()).build(Routed::new(Reach::Any)),
            unseen: Routed::new(Reach::Any),
        }
    }

    /// Sends a request, whose target is a whole URL, and gives the answer's head.
    pub(crate) async fn send(
        &self,
        request: Request<Outgoing>,
        manner: Manner,
    ) -> Result<Response<Incoming>, Denial> {
        let [public, loopback, any] = match (manner.upgrades, manner.carries) {
            (true, _) => &self.becoming,
            (false, true) => &self.carrying,
            (false, false) => &self.pools,
        };
        let pool = match manner.reach {
            Reach::Public => public,
            Reach::Loopback => loopback,
            Reach::Any => any,
        };
        match timeout(HEAD, pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(not_sent(&error)),
            Err(_) => Err(late("response", "the host did not begin its answer within ten minutes")),
        }
    }

    /// Sends a request without TLS, which carries nothing, and gives the answer's head.
    pub(crate) async fn send_plain(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Denial> {
        match timeout(HEAD, self.plain.request(request)).await {
            Ok(sent) => sent.map_err(|error| not_sent(&error)),
            Err(_) => Err(late("response", "the host did not begin its answer within ten minutes")),
        }
    }

    /// Connects to a host whose traffic is not looked into: whatever the user has named may be there.
    pub(crate) async fn connect(&self, target: &Target) -> Result<TcpStream, Denial> {
        let uri = format!("https://{}:{}", target.bracketed(), target.port);
        let uri = uri.parse().map_err(|_| unreachable())?;
        match timeout(CONNECT, self.unseen.clone().call(uri)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(_)) => Err(unreachable()),
            Err(_) => Err(late("connect", "the host was not connected within ten seconds")),
        }
    }
}

/// Which versions of HTTP a host is offered.
#[derive(Debug, Clone, Copy)]
enum Versions {
    All,
    /// HTTP/1.1.
    First,
}

fn connector(config: ClientConfig, reach: Reach, versions: Versions) -> HttpsConnector<Routed> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    match versions {
        Versions::All => builder.enable_all_versions().wrap_connector(Routed::new(reach)),
        Versions::First => builder.enable_http1().wrap_connector(Routed::new(reach)),
    }
}

/// Connects to a host, or to the proxy that this process was started with, which connects to it.
#[derive(Debug, Clone)]
struct Routed {
    http: HttpConnector<Resolver>,
    /// Connects to proxies, which may have any address.
    to_proxy: HttpConnector<Resolver>,
    proxies: Arc<Matcher>,
}

impl Routed {
    fn new(reach: Reach) -> Self {
        let http = |reach| {
            let mut http = HttpConnector::new_with_resolver(Resolver { reach });
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(CONNECT));
            http
        };
        Self { http: http(reach), to_proxy: http(Reach::Any), proxies: Arc::new(Matcher::from_env()) }
    }
}

impl Service<Uri> for Routed {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.http.poll_ready(context).map_err(Failure::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&uri) else {
            let connecting = self.http.call(uri);
            return Box::pin(async { connecting.await.map_err(Failure::from) });
        };
        // It looks names up itself, so that it alone can tell which are on a network of its own.
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let connecting = tunnel.call(uri);
        Box::pin(async {
            connecting.await.map_err(|error| {
                tracing::warn!(%error, "the proxy that this process was started with does not connect");
                Failure::from(Reason::Proxy)
            })
        })
    }
}

/// A connector with a deadline for all of it.
#[derive(Debug, Clone)]
struct Timed(HttpsConnector<Routed>);

type Stream = <HttpsConnector<Routed> as Service<Uri>>::Response;
type Failure = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Timed {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { timeout(CONNECT, connecting).await.map_err(|_| Reason::Late)? })
    }
}

/// Looks names up, and leaves out addresses that are not within reach.
#[derive(Debug, Clone)]
struct Resolver {
    reach: Reach,
}

/// Why no connection is tried.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("the name has no address")]
    NoAddress,
    #[error("the name has no public address")]
    Private,
    #[error("too late")]
    Late,
    #[error("the proxy does not connect")]
    Proxy,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.reach;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Reason::NoAddress)?;
            let mut addresses: Vec<SocketAddr> = found.collect();
            if addresses.is_empty() {
                return Err(Reason::NoAddress.into());
            }
            addresses.retain(|address| reach.covers(address.ip()));
            if addresses.is_empty() {
                return Err(Reason::Private.into());
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Why a request was not sent, or not answered.
fn not_sent(error: &legacy::Error) -> Denial {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(reason) = cause.downcast_ref::<Reason>() {
            return match reason {
                Reason::NoAddress => {
                    bad("name_resolution", "the host's name has no address; check the name and the network")
                }
                Reason::Private => Denial::refusal(
                    WhyRefused::PrivateAddress,
                    "the host has an address that is not public; if it is meant, allow it with: secretctl proxy rule set NAME --host HOST --private, then start the program again",
                ),
                Reason::Proxy => bad(
                    "connect",
                    "the proxy that the session was started with (HTTPS_PROXY) does not connect to the host",
                ),
                Reason::Late => late("connect", "the host was not connected within ten seconds"),
            };
        }
        // An error of I/O may wrap one of TLS, which it does not give as its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.or_else(|| cause.downcast_ref::<rustls::Error>()) {
            return bad("upstream_tls", not_trusted(tls));
        }
        if let Some(inner) = wrapped.and_then(|wrapped| wrapped.downcast_ref::<Reason>()) {
            source = Some(inner);
            continue;
        }
        source = wrapped.map_or_else(|| cause.source(), |wrapped| Some(wrapped as &(dyn StdError + 'static)));
    }
    if error.is_connect() {
        return unreachable();
    }
    bad("upstream_protocol", "the host ended the connection, or its answer is no HTTP")
}

fn not_trusted(error: &rustls::Error) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(reason) = error else {
        return "TLS could not be agreed with the host; no value was sent";
    };
    if matches!(reason, Expired | ExpiredContext { .. }) {
        "the host's certificate has expired; no value was sent"
    } else if matches!(reason, NotValidYet | NotValidYetContext { .. }) {
        "the host's certificate is not valid yet; check this machine's clock. No value was sent"
    } else if matches!(reason, NotValidForName | NotValidForNameContext { .. }) {
        "the host's certificate is for another name; no value was sent"
    } else if matches!(reason, UnknownIssuer) {
        "the host's certificate is signed by nobody whom this machine trusts; no value was sent. An authority of your own goes into the machine's store, or into SSL_CERT_FILE of the command that starts the session"
    } else {
        "the host's certificate is malformed; no value was sent"
    }
}

fn bad(item: &'static str, message: &'static str) -> Denial {
    Denial::failure(ErrorType::BadGatewayError, item, message)
}

fn late(item: &'static str, message: &'static str) -> Denial {
    Denial::failure(ErrorType::GatewayTimeoutError, item, message)
}

fn unreachable() -> Denial {
    bad("connect", "the host cannot be connected to")
}

/// The machine's roots: those of the store, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(crate) fn roots() -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(
            "no certificate authority is found to check hosts against; install ca-certificates, or correct SSL_CERT_FILE",
        );
    }
    Ok(found.certs)
}

/// Makes ring the one library of this process that TLS is done with.
pub(crate) fn use_ring() {
    let _ = Arc::new(rustls::crypto::ring::default_provider()).as_ref().clone().install_default();
}
