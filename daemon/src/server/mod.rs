//! Connections: accepts them, limits them, speaks HTTP/1.1 on them, and ends them in time. It knows no token and no
//! operation.

mod connection_limit;
mod framing;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handoff;
mod ids;
mod reject;
mod request;
mod wake_gated;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrets_local::peer::Process;
use secrets_proto::ErrorType;
use secrets_proto::audit::{AuditAction, Refusal};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};

use self::connection_limit::{ConnectionLimit, ConnectionPermit};
use self::handoff::Handoff;
use self::ids::Ids;
use self::request::Connection;
use self::wake_gated::WakeGated;
use self::wire::{Deadlines, Seen, Wire};
use crate::auth::Auth;
use crate::caller::{Caller, Peer};
use crate::config::Limits;
use crate::http::failure::Failure;
use crate::http::service::Service;
use crate::listening::Listening;
use crate::memory;
use crate::relaunch::{HandoffReplies, HandoffReply};
use crate::vault::Vault;

/// What every connection shares.
pub(crate) struct Server<S> {
    auth: Arc<Auth>,
    service: S,
    /// The vault, whose audit log keeps who was rejected.
    vault: Vault,
    limits: Limits,
    ids: Ids,
    connection_limit: Arc<ConnectionLimit>,
    /// The user that is served.
    uid: u32,
    /// How many peers are told why they are rejected; more than that are just closed.
    reject_permits: Arc<Semaphore>,
    /// Connections whose answer is for the next image to send.
    handoff_replies: Mutex<Vec<HandoffReply>>,
}

/// Why serving ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The daemon stops.
    Stop,
    /// The daemon's next image goes on.
    Relaunch,
}

impl End {
    /// How long requests may go on. A lock must not wait long for somebody else's slow request.
    pub(crate) const fn drain(self) -> Duration {
        match self {
            Self::Stop => Duration::from_secs(5),
            Self::Relaunch => Duration::from_millis(200),
        }
    }
}

impl<S: Service> Server<S> {
    /// A server of this service, for this user.
    pub(crate) fn new(auth: Auth, service: S, vault: Vault, limits: Limits, uid: u32) -> Self {
        Self::serving(service, Arc::new(auth), vault, limits, uid)
    }

    /// The server of the socket over which values are taken: for the same callers, with a service of its own.
    pub(crate) fn of_use(&self, service: S) -> Self {
        let limits = Limits {
            connections: self.limits.connections.div_ceil(USE_SHARE),
            connections_per_process: self.limits.connections_per_process.min(USES),
            ..self.limits
        };
        Self::serving(service, Arc::clone(&self.auth), self.vault.clone(), limits, self.uid)
    }

    fn serving(service: S, auth: Arc<Auth>, vault: Vault, limits: Limits, uid: u32) -> Self {
        Self {
            auth,
            service,
            vault,
            connection_limit: Arc::new(ConnectionLimit::new(
                limits.connections,
                limits.connections_per_process,
            )),
            reject_permits: Arc::new(Semaphore::new((limits.connections / 3).clamp(1, MOST_REJECTED))),
            limits,
            ids: Ids::default(),
            uid,
            handoff_replies: Mutex::default(),
        }
    }

    /// Serves until `stop` is ready, then lets what is in flight finish for a while. Returns why it ended, and the
    /// connections whose answer is for the next image to send.
    pub(crate) async fn run(
        self,
        listener: impl Accept,
        stop: impl Future<Output = End>,
    ) -> (End, HandoffReplies) {
        let server = Arc::new(self);
        let (stopping, _) = watch::channel(());
        let mut stop = pin!(stop);
        let mut failing = false;
        let end = loop {
            let accepted = tokio::select! {
                biased;
                end = &mut stop => break end,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    failing = false;
                    server.receive(stream, &stopping);
                }
                Err(error) => {
                    // Out of descriptors or memory: connections that end will free some.
                    if !failing {
                        tracing::warn!(%error, "cannot accept connections at the moment");
                    }
                    failing = true;
                    tokio::select! {
                        end = &mut stop => break end,
                        () = tokio::time::sleep(BACKOFF) => {}
                    }
                }
            }
        };
        drop(listener);
        stopping.send_replace(());
        if tokio::time::timeout(end.drain(), stopping.closed()).await.is_err() {
            tracing::warn!("some requests did not finish in time and were cut off");
        }
        let handoff_replies =
            std::mem::take(&mut *server.handoff_replies.lock().unwrap_or_else(PoisonError::into_inner));
        (end, HandoffReplies(handoff_replies))
    }

    /// Starts to serve a peer, or rejects it.
    fn receive(self: &Arc<Self>, stream: UnixStream, stopping: &watch::Sender<()>) {
        // A peer without credentials is gone already.
        let Ok(credentials) = stream.peer_cred() else { return };
        let peer = Peer { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0) };
        let process = Arc::new(Process::of(&stream, peer.pid));
        if peer.uid != self.uid {
            let stranger = Caller::stranger(peer).being(&process);
            self.vault.refused(&stranger, AuditAction::Access, Refusal::OtherUser);
            tracing::warn!(uid = peer.uid, pid = peer.pid, "another user connected and was rejected");
            let detail = "This socket serves another user; use your own secretsd";
            return self.reject(stream, Failure::new(ErrorType::ForbiddenError, detail));
        }
        let Some(permit) = self.connection_limit.take(peer.pid) else {
            tracing::debug!(pid = peer.pid, "too many connections");
            let detail = "Too many connections; close some, or use one for several requests";
            return self.reject(stream, Failure::rate_limit(1, detail));
        };
        let stopping = stopping.subscribe();
        tokio::spawn(Arc::clone(self).converse(stream, peer, process, permit, stopping));
    }

    fn reject(&self, stream: UnixStream, failure: Failure) {
        let Ok(permit) = Arc::clone(&self.reject_permits).try_acquire_owned() else { return };
        let id = self.ids.next();
        let response =
            failure.closing().into_response(id.as_str()).into_http(id.into_bytes(), HeaderMap::new());
        tokio::spawn(async move {
            reject::reject(stream, response).await;
            drop(permit);
        });
    }

    /// Serves a peer until one of the two has enough.
    async fn converse(
        self: Arc<Self>,
        stream: UnixStream,
        peer: Peer,
        process: Arc<Process>,
        permit: ConnectionPermit,
        mut stopping: watch::Receiver<()>,
    ) {
        let seen = Arc::new(Seen::default());
        let deadlines = Deadlines { header: self.limits.header, idle: self.limits.idle };
        let wire = Wire::new(stream, deadlines, Arc::clone(&seen));
        let connection =
            Arc::new(Connection { server: self, handoff: Handoff::default(), peer, process, seen });
        let service = service_fn({
            let connection = Arc::clone(&connection);
            move |request| connection.answer(request)
        });
        let mut http = hyper::server::conn::http1::Builder::new()
            .max_header_size(HEADER_BYTES)
            .max_buf_size(HEADER_BYTES)
            .header_read_timeout(None)
            // Who has sent all (`socat`, `nc -N`) still waits for its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(wire), service);
        let (handed_off, over) =
            (pin!(connection.handoff.handed_off()), pin!(is_over(&mut stopping, &connection.seen.spoken)));
        let (mut handed_off, mut over) = (WakeGated::new(handed_off), WakeGated::new(over));
        let mut told = false;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut http => break result,
                kept = &mut handed_off => {
                    let stream = http.into_parts().io.into_inner().into_stream();
                    if let (Some(kept), Ok(stream)) = (kept, stream.into_std()) {
                        let handoff_replies = &connection.server.handoff_replies;
                        let mut handoff_replies = handoff_replies.lock().unwrap_or_else(PoisonError::into_inner);
                        handoff_replies.push(HandoffReply::new(stream, kept));
                    }
                    break Ok(());
                }
                () = &mut over, if !told => {
                    told = true;
                    Pin::new(&mut http).graceful_shutdown();
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(pid = peer.pid, kind = fault(&error), "connection ended early");
        }
        drop(permit);
        memory::worked();
    }
}

/// Ready when the server stops and the peer is not about to ask its first question: who was accepted in the same moment
/// would otherwise find its connection closed without a word.
async fn is_over(stopping: &mut watch::Receiver<()>, spoken: &AtomicBool) {
    // The sender outlives every connection.
    let _ = stopping.changed().await;
    if !spoken.load(Ordering::Relaxed) {
        tokio::time::sleep(FIRST_WORD).await;
    }
}

/// Somewhere that connections come from.
pub(crate) trait Accept {
    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<UnixStream>>;
}

impl Accept for Arc<Listening> {
    async fn accept(&self) -> io::Result<UnixStream> {
        Listening::accept(self).await
    }
}

/// The most connections over which one process takes values.
const USES: usize = 16;
/// For each so many connections to the API there may be one over which values are taken.
const USE_SHARE: usize = 8;
/// The largest head of a request.
const HEADER_BYTES: usize = 16 * 1024;
/// How long a peer that has said nothing yet may still begin when the server stops.
const FIRST_WORD: Duration = Duration::from_millis(100);
/// How long to wait after a failed accept.
const BACKOFF: Duration = Duration::from_millis(100);
/// How many peers are told at once why they are turned away, and a third of the connections at most: they take descriptors
/// too, which may be few.
const MOST_REJECTED: usize = 64;

/// What went wrong on a connection, without any of its bytes.
fn fault(error: &hyper::Error) -> &'static str {
    if error.is_parse() {
        "not HTTP"
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_incomplete_message() {
        "cut off"
    } else {
        "other"
    }
}
