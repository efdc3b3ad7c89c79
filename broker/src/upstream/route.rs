//! Addresses of hosts, and the way to them: names looked up once, addresses that are not public left out, and the proxy
//! of the machine's own gone through, if there is one.

use std::net::SocketAddr;
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

/// Connects to a host, or to the proxy that this process was started with, which connects to it.
#[derive(Debug, Clone)]
pub(super) struct Route {
    http: HttpConnector<Resolver>,
    /// Connects to proxies, which may have any address.
    to_proxy: HttpConnector<Resolver>,
    proxies: Arc<Matcher>,
}

impl Route {
    /// To hosts that may have an address that is not public, or may not; each attempt takes so long at most.
    pub(super) fn new(private: bool, patience: Duration) -> Self {
        let http = |private| {
            let mut http = HttpConnector::new_with_resolver(Resolver { private });
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(patience));
            http
        };
        Self { http: http(private), to_proxy: http(true), proxies: Arc::new(Matcher::from_env()) }
    }

    /// Whether this connection is to a public address. Behind a proxy it is the proxy that can tell.
    pub(super) fn is_public(&self, uri: &Uri, stream: &TcpStream) -> bool {
        let is_there = || stream.peer_addr().is_ok_and(|peer| is_public(peer.ip()));
        self.proxies.intercept(uri).is_some() || is_there()
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

/// Looks names up, and leaves out addresses that are not public unless a rule allows them.
#[derive(Debug, Clone)]
struct Resolver {
    private: bool,
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
