//! The server with all stages behind it, spoken to byte by byte over real sockets.

mod connections;
mod memory;
mod requests;
mod validation;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::auth::OwnerToken;
use crate::router::Api;
use crate::vault::{KdfCost, KeySources, Settings};

const TOKEN: &str = "owner-token-of-the-tests-0123456789-abcdefg";

/// A server that runs, and the door to it.
struct Running {
    door: mpsc::UnboundedSender<io::Result<UnixStream>>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<(End, HandoffReplies)>,
    _dirs: tempfile::TempDir,
}

struct Door(Mutex<mpsc::UnboundedReceiver<io::Result<UnixStream>>>);

impl Accept for Door {
    async fn accept(&self) -> io::Result<UnixStream> {
        match self.0.lock().await.recv().await {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}

impl Running {
    fn new() -> Self {
        Self::with(Limits::default(), rustix::process::geteuid().as_raw())
    }

    fn with(limits: Limits, uid: u32) -> Self {
        let dirs = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: dirs.path().join("data"),
            state_dir: dirs.path().join("state"),
            kdf: KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 },
            idle_lock: Duration::ZERO,
            max_lock: Duration::ZERO,
            lock_is_final: true,
            triggers: Arc::default(),
            lost: Arc::default(),
            keys: KeySources::default(),
        };
        let vault = Vault::start(settings, None).unwrap();
        let items = OwnerToken::fixed("items-token-0123456789012345678901234567890");
        let auth = Auth::new(OwnerToken::fixed(TOKEN), items, vault.clone(), limits.wrong_tokens);
        let server = Server::new(auth, Api::new(vault.clone()), vault, limits, uid);
        let (door, listener) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(Door(Mutex::new(listener)), async {
            let _ = stopped.await;
            End::Stop
        }));
        Self { door, stop: Some(stop), server, _dirs: dirs }
    }

    fn connect(&self) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.door.send(Ok(theirs)).unwrap();
        Client(ours)
    }

    /// One request on a connection of its own.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect();
        client.send(bytes).await;
        client.reply().await.expect("an answer")
    }

    /// One request of the owner.
    async fn owner(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        self.ask(owner(method, target, headers, body)).await
    }
}

fn owner(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

struct Client(UnixStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer; `None` when the connection ends before one.
    async fn reply(&mut self) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut reply =
            Reply { status: head[9..12].parse().unwrap(), head: head.to_lowercase(), body: String::new() };
        let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    /// Whether the server ends the connection, without a further byte.
    async fn ends(&mut self) -> bool {
        matches!(self.0.read_u8().await, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and error type, and that the envelope is whole.
    fn error(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["code"], self.status);
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        assert!(self.header("x-request-id").is_some());
        (self.status, json["type"].as_str().unwrap().to_owned())
    }
}
