//! Addresses of hosts, and the way to them: names looked up once, addresses that are not public left out, and the proxy
//! of the machine's own gone through, if there is one.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::reason::{Failure, Reason};
use crate::address::is_public;

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
    /// Whether this address is one of them.
    pub(super) fn covers(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => is_public(address) || address.to_canonical().is_loopback(),
            Self::Any => true,
        }
    }
}

/// Connects to a host, or to the proxy that this process was started with, which connects to it.
#[derive(Debug, Clone)]
pub(super) struct Route {
    http: HttpConnector<Resolver>,
    /// Connects to proxies, which may have any address.
    to_proxy: HttpConnector<Resolver>,
    proxies: Arc<Matcher>,
}

impl Route {
    /// To hosts at these addresses; each attempt takes so long at most.
    pub(super) fn new(reach: Reach, patience: Duration) -> Self {
        let http = |reach| {
            let mut http = HttpConnector::new_with_resolver(Resolver { reach });
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(patience));
            http
        };
        Self { http: http(reach), to_proxy: http(Reach::Any), proxies: Arc::new(Matcher::from_env()) }
    }

    /// The host's address. Behind a proxy it is the proxy that knows it.
    pub(super) fn address(&self, uri: &Uri, stream: &TcpStream) -> std::io::Result<Option<IpAddr>> {
        if self.proxies.intercept(uri).is_some() {
            return Ok(None);
        }
        stream.peer_addr().map(|peer| Some(peer.ip()))
    }
}

impl Service<Uri> for Route {
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

/// Looks names up, and leaves out addresses that are not within reach.
#[derive(Debug, Clone)]
struct Resolver {
    reach: Reach,
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
