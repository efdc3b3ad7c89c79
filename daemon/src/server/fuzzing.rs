//! The door for the fuzz target that sends bytes. Compiled for it alone.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::auth::OwnerToken;
use crate::vault::{KdfCost, KeySources, Settings};

/// Stands for the owner's token in what is sent, so that one input can mean the same in every run.
const TOKEN: &[u8] = b"{token}";
/// No answer may hold this, in whatever case.
const MARKER: &[u8] = b"canary4711";

/// A server without a vault, on connections of which only one end is a socket's.
pub(crate) struct FuzzedServer<S> {
    server: Arc<Server<S>>,
    token: Vec<u8>,
    stopping: watch::Sender<()>,
}

impl<S: Service> FuzzedServer<S> {
    /// Starts it in a directory of its own. To be called inside a runtime.
    pub(crate) fn start(service: impl FnOnce(Vault) -> S) -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("secretsd-http-bytes-{}", std::process::id()));
        Self::start_in(&directory, service)
    }

    fn start_in(directory: &Path, service: impl FnOnce(Vault) -> S) -> Option<Self> {
        let settings = Settings {
            data_dir: directory.join("data"),
            state_dir: directory.join("state"),
            kdf: KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 },
            idle_lock: Duration::ZERO,
            max_lock: Duration::ZERO,
            lock_is_final: true,
            triggers: Arc::default(),
            lost: Arc::default(),
            keys: KeySources::default(),
        };
        let vault = Vault::start(settings, None).ok()?;
        let path = directory.join("token");
        let (owner, file) = OwnerToken::create(&path).ok()?;
        let token = std::fs::read(&path).ok()?;
        drop(file);
        let uid = rustix::process::geteuid().as_raw();
        let limits = Limits::default();
        let auth = Auth::new(owner.clone(), owner, vault.clone(), limits.wrong_tokens);
        let server = Server::new(auth, service(vault.clone()), vault, limits, uid);
        Some(Self { server: Arc::new(server), token, stopping: watch::channel(()).0 })
    }

    /// Sends these bytes in pieces of this size, 0 for all at once, and looks at all that comes back: well-formed HTTP
    /// with statuses that are known, nothing of the marker, and no success without the token.
    pub(crate) async fn feed(&self, bytes: &[u8], piece: usize) {
        // Making a vault is slow, and would change what the next input means.
        if contains(bytes, b"/vault/init") {
            return;
        }
        let sent = replace(bytes, TOKEN, &self.token);
        let Ok((ours, theirs)) = UnixStream::pair() else { return };
        let peer = Peer { uid: self.server.uid, pid: 1 };
        let Some(permit) = self.server.connection_limit.take(1) else { return };
        let process = Arc::new(Process::of(&theirs, peer.pid));
        let serve =
            Arc::clone(&self.server).converse(theirs, peer, process, permit, self.stopping.subscribe());
        let (mut from, mut to) = ours.into_split();
        let send = async {
            for piece in sent.chunks(if piece == 0 { sent.len().max(1) } else { piece }) {
                // Who is refused early may find the door closed.
                if to.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            to
        };
        let mut received = Vec::new();
        let receive = from.read_to_end(&mut received);
        let ((), _to, _) = tokio::join!(serve, send, receive);
        check(&received, contains(bytes, TOKEN));
    }
}

#[allow(clippy::expect_used, reason = "a promise that is broken is what the fuzzer looks for")]
fn check(received: &[u8], with_token: bool) {
    assert!(!contains(&received.to_ascii_lowercase(), MARKER), "something that was sent comes back");
    let mut rest = received;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n\r\n").expect("an answer has a whole head");
        let (head, after) = rest.split_at(end + 4);
        let head = std::str::from_utf8(head).expect("a head is text");
        let (status, headers) = head.split_once("\r\n").expect("a head has a status line");
        let status = status.strip_prefix("HTTP/1.1 ").or_else(|| status.strip_prefix("HTTP/1.0 "));
        let status: u16 =
            status.and_then(|text| text.get(..3)).and_then(|text| text.parse().ok()).unwrap_or(0);
        let known = [100, 200, 304, 400, 401, 403, 404, 422, 426, 429, 431, 504];
        assert!(known.contains(&status), "an unknown status: {status}");
        let header = |name: &str| {
            let named =
                |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
            headers.lines().find(named).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
        };
        for line in headers.lines().filter(|line| !line.is_empty()) {
            assert!(line.contains(':'), "a header without a colon");
        }
        let length = header("content-length").map_or(0, |length| length.parse().expect("a length"));
        // What answers `HEAD` has a length and no body.
        let has_body = !(after.is_empty() || after.starts_with(b"HTTP/1."));
        let (body, next) = after.split_at_checked(if has_body { length } else { 0 }).expect("a whole body");
        if status == 200 && !with_token {
            let open = body.is_empty() || body == br#"{"status":"ok"}"# || contains(body, b"\"openapi\"");
            assert!(open, "something is answered without a token");
        }
        if matches!(status, 401..=430) || status == 504 {
            assert!(header("x-request-id").is_some(), "a refusal without an id");
        }
        rest = next;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

fn replace(bytes: &[u8], wanted: &[u8], with: &[u8]) -> Vec<u8> {
    let (mut rest, mut replaced) = (bytes, Vec::with_capacity(bytes.len()));
    while let Some(at) = find(rest, wanted) {
        replaced.extend_from_slice(rest.get(..at).unwrap_or_default());
        replaced.extend_from_slice(with);
        rest = rest.get(at + wanted.len()..).unwrap_or_default();
    }
    replaced.extend_from_slice(rest);
    replaced
}
