//! A host in a process of its own: 1 KiB, 100 MB, or one event, over TLS and HTTP/1.1.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secretsd_tests::origin::{Odd, TestAuthority};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The argument with which this program serves as the host.
pub const SERVE: &str = "--serve-as-host";

/// Its name where a rule puts the value.
pub const HOST: &str = "api.host.test";

/// Its name where it is let through unseen.
pub const UNSEEN: &str = "unseen.host.test";

/// As much is in the large answer.
pub const LARGE: u64 = 100_000_000;

/// As much is in an event.
pub const EVENT: usize = 32;

const BLOCK: usize = 64 << 10;

/// The running host.
#[derive(Debug)]
pub struct Origin {
    child: Child,
    /// The port of 127.0.0.1 where it listens.
    pub port: u16,
    /// Its authority's certificate.
    pub authority: PathBuf,
}

impl Origin {
    /// Starts it, with an authority in this directory.
    pub fn start(directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(SERVE).arg(directory).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), child, authority: directory.join("test-ca.pem") }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves until killed, on one thread.
pub fn serve(directory: &str) {
    let authority = TestAuthority::new(Path::new(directory));
    let config = authority.config(&[HOST, UNSEEN], Odd::Not, &["http/1.1"]);
    let tls = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request)) });
                let serving = hyper::server::conn::http1::Builder::new();
                serving.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}

fn answer(request: Request<Incoming>) -> Response<Blocks> {
    let (length, kind) = match request.uri().path() {
        "/large" => (LARGE, "application/octet-stream"),
        "/event" => (EVENT as u64, "text/event-stream"),
        _ => (1_024, "application/json"),
    };
    Response::builder().header("content-type", kind).body(Blocks::new(length)).unwrap()
}

/// A body of so many bytes, from one block of text.
struct Blocks {
    block: Bytes,
    left: u64,
}

impl Blocks {
    fn new(length: u64) -> Self {
        /// What an API says, and what begins like many spellings of many values.
        const TEXT: &str = "data: {\"id\": \"chatcmpl-123\", \"sum\": 4711}\r\n\r\n";
        thread_local! {
            static BLOCK_OF_TEXT: Bytes = TEXT.bytes().cycle().take(BLOCK).collect();
        }
        Self { block: BLOCK_OF_TEXT.with(Clone::clone), left: length }
    }
}

impl Body for Blocks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(BLOCK as u64);
        self.left -= length;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..length as usize)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
