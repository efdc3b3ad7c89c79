//! The least that such a proxy does, in a process of its own: a tunnel, TLS in the host's place, and each request over a
//! connection that is kept. It asks nobody whose a connection is, decides nothing, puts nothing in and looks for nothing.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use secretsd_tests::origin::{Odd, TestAuthority};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::origin::{HOST, UNSEEN};

/// The argument with which this program is such a proxy.
pub const BARE: &str = "--serve-as-bare-proxy";

/// Serves at this port until killed, on one thread, with an authority in this directory, and trusts the one in this file.
pub fn serve(port: &str, directory: &str, trusted: &str) {
    let certificate =
        TestAuthority::new(Path::new(directory)).config(&[HOST, UNSEEN], Odd::Not, &[]).cert_resolver;
    // TLS as the broker speaks it.
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == TLS13_AES_128_GCM_SHA256);
    let config =
        ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_no_client_auth().with_cert_resolver(certificate);
    config.send_tls13_tickets = 1;
    let proxy = Rc::new(Proxy {
        program: TlsAcceptor::from(Arc::new(config)),
        host: super::driver::tls(trusted),
        kept: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(proxy.clone().connect(stream));
        }
    });
}

struct Proxy {
    program: TlsAcceptor,
    host: TlsConnector,
    kept: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Proxy {
    /// Answers CONNECT, and serves what comes then.
    async fn connect(self: Rc<Self>, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| {
            spawn_local(self.clone().look_into(request));
            async { Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new())) }
        });
        Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
    }

    async fn look_into(self: Rc<Self>, request: Request<Incoming>) {
        let port = request.uri().port_u16().unwrap_or(443);
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let stream = upgraded.downcast::<TokioIo<TcpStream>>().unwrap().io.into_inner();
        let Ok(stream) = self.program.accept(stream).await else { return };
        let service = service_fn(|request| self.ask(port, request));
        Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
    }

    async fn ask(&self, port: u16, request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
        let free = self.kept.borrow().iter().position(SendRequest::is_ready);
        let mut host = match free {
            Some(at) => self.kept.borrow_mut().swap_remove(at),
            None => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let stream = self.host.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
                let (host, connection) = handshake(TokioIo::new(stream)).await?;
                spawn_local(connection);
                host
            }
        };
        let response = host.send_request(request).await;
        self.kept.borrow_mut().push(host);
        response
    }
}
