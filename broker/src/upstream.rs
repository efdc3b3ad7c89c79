//! Connections to the hosts: names looked up once, addresses that are not public refused, TLS checked against the machine's
//! roots, and a pool. Nothing else here connects to the network.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use secrets_proto::ErrorType;
use secrets_proto::session::WhyRefused;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

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

/// As much of an answer is read at once, and at least so long may its head be. A body is in a few buffers of this size on its
/// way: larger ones fit into no processor's cache, and the heap keeps them.
const PIECE: usize = 64 << 10;

type Pool = Client<Timed, Incoming>;

/// Sends requests to hosts.
#[derive(Debug)]
pub(crate) struct Upstream {
    pools: [Pool; 4],
    plain: Client<HttpConnector<Resolver>, Incoming>,
}

/// How a request may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// It carries a value.
    pub(crate) carries: bool,
    /// The host may have an address that is not public.
    pub(crate) private: bool,
}

impl Upstream {
    /// Trusts these roots.
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        // One that cannot be read is one that is not trusted.
        store.add_parsable_certificates(roots);
        let config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        let pool = |private, kept| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(kept)
                .pool_max_idle_per_host(MOST_KEPT)
                .http1_max_buf_size(PIECE)
                .http2_initial_stream_window_size(1 << 20)
                .http2_initial_connection_window_size(2 << 20)
                .build(Timed(connector(config.clone(), private)))
        };
        Self {
            pools: [
                pool(false, KEPT),
                pool(true, KEPT),
                pool(false, KEPT_AFTER_A_VALUE),
                pool(true, KEPT_AFTER_A_VALUE),
            ],
            plain: Client::builder(TokioExecutor::new()).build(http(true)),
        }
    }

    /// Sends a request, whose target is a whole URL, and gives the answer's head.
    pub(crate) async fn send(
        &self,
        request: Request<Incoming>,
        manner: Manner,
    ) -> Result<Response<Incoming>, Denial> {
        let [public, private, carrying, carrying_private] = &self.pools;
        let pool = match (manner.carries, manner.private) {
            (false, false) => public,
            (false, true) => private,
            (true, false) => carrying,
            (true, true) => carrying_private,
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
        let connected = timeout(CONNECT, TcpStream::connect((target.host.as_str(), target.port)));
        let stream = match connected.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(unreachable()),
            Err(_) => return Err(late("connect", "the host was not connected within ten seconds")),
        };
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

fn connector(config: ClientConfig, private: bool) -> HttpsConnector<HttpConnector<Resolver>> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    builder.enable_all_versions().wrap_connector(http(private))
}

fn http(private: bool) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(Resolver { private });
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http
}

/// A connector with a deadline for all of it.
#[derive(Debug, Clone)]
struct Timed(HttpsConnector<HttpConnector<Resolver>>);

type Stream = <HttpsConnector<HttpConnector<Resolver>> as Service<Uri>>::Response;
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

/// Looks names up, and leaves out addresses that are not public unless a rule allows them.
#[derive(Debug, Clone)]
struct Resolver {
    private: bool,
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
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Reason::NoAddress)?;
            let mut addresses: Vec<SocketAddr> = found.collect();
            if addresses.is_empty() {
                return Err(Reason::NoAddress.into());
            }
            addresses.retain(|address| private || is_public(address.ip()));
            if addresses.is_empty() {
                return Err(Reason::Private.into());
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Whether an address is one of the public internet, by the special-purpose registries of IANA (RFC 6890 and what came
/// after it). An address of IPv6 that stands for one of IPv4 is as public as that one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = address.segments();
    let bytes = address.octets();
    let v4 = |at: usize| {
        let octets: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|octets| octets.try_into().ok());
        octets.is_some_and(|octets| is_public_v4(octets.into()))
    };
    match (a, b) {
        // Unspecified, loopback, mapped and compatible addresses of IPv4.
        (0, 0) => [c, d, e] == [0; 3] && f == 0xffff && v4(12),
        // NAT64 (RFC 6052), and its prefix for networks of one's own (RFC 8215).
        (0x64, 0xff9b) => [c, d, e, f] == [0; 4] && v4(12),
        // 6to4 (RFC 3056).
        (0x2002, _) => v4(2),
        // Teredo, benchmarking, ORCHID and documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // What is not global unicast, 2000::/3: private, link-local, site-local, multicast, discarded.
        _ => (0x2000..=0x3fff).contains(&a),
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
                    "the host has an address that is not public; if it is meant, allow it with: secretctl proxy rule set NAME --host HOST --private",
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
    match error {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "the host's certificate has expired; no value was sent"
        }
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "the host's certificate is not valid yet; check this machine's clock. No value was sent"
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "the host's certificate is for another name; no value was sent"
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "the host's certificate is signed by nobody whom this machine trusts; no value was sent. An authority of your own goes into the machine's store, or into SSL_CERT_FILE of the command that starts the session"
        }
        _ => "TLS could not be agreed with the host; no value was sent",
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
        return Err("this machine trusts no certificate authority; install ca-certificates");
    }
    Ok(found.certs)
}

/// Makes ring the one library of this process that TLS is done with.
pub(crate) fn use_ring() {
    let _ = Arc::new(rustls::crypto::ring::default_provider()).as_ref().clone().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_known_in_every_form() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.0.1",
            "192.0.2.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.1.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860::8888",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
