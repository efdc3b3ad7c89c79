//! One request from its head to its answer: the order in which the stages see it.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use secrets_proto::ErrorType;
use secrets_proto::audit::AuditAction;
use tokio::time::error::Elapsed;

use super::Server;
use super::wire::Seen;
use crate::auth::refuse_browsers;
use crate::caller::{Caller, Peer};
use crate::peer::Process;
use crate::router::answer::Answer;
use crate::router::error::Failure;
use crate::router::{Exchange, Target, ignore, strict};

impl Server {
    /// Answers a request of this peer, whatever happens.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        from: (Peer, &Arc<Process>),
        seen: &Seen,
    ) -> Response<Full<Bytes>> {
        let id = self.ids.next();
        let (mut head, body) = request.into_parts();
        let target = self.router.find(&head.method, head.uri.path());
        let pattern = target.pattern();
        // Its bytes can be read in two ways.
        let ambiguous = seen.ambiguous.load(Ordering::Relaxed);
        let served = guarded(self.serve(&head, target, body, from, ambiguous));
        let waits = || seen.waited.store(true, Ordering::Relaxed);
        let answer = match within(self.limits.request, served, waits).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(failure))) => failure.into_answer(id.as_str()),
            Ok(None) => Failure::internal("a handler has panicked").closing().into_answer(id.as_str()),
            Err(_) => Failure::new(
                ErrorType::GatewayTimeoutError,
                "The request was not answered in time; check whether it was done, then repeat",
            )
            .closing()
            .into_answer(id.as_str()),
        };
        let status = answer.status().as_u16();
        tracing::debug!(request = %id, method = %Method(&head), route = pattern, status, "answered");
        answer.into_response(id.into_bytes(), std::mem::take(&mut head.headers))
    }

    async fn serve(
        &self,
        head: &Parts,
        target: Target<'_>,
        body: Incoming,
        (peer, process): (Peer, &Arc<Process>),
        ambiguous: bool,
    ) -> Result<Answer, Failure> {
        let Self { auth, vault, limits, .. } = self;
        if ambiguous {
            let detail = "A request on this connection can be read in two ways; send Content-Length once, and no # in the target";
            return Err(Failure::invalid_request(detail).closing());
        }
        let sender = strict::check(head)?;
        let note = |failure: &Failure| {
            if let Some(refusal) = failure.refusal() {
                let caller = match failure.holder() {
                    Some(grant) => Caller::holding(peer, Arc::clone(grant)),
                    None => Caller::stranger(peer),
                };
                vault.refused(&caller.being(process), AuditAction::Access, refusal);
            }
        };
        refuse_browsers(&sender).inspect_err(note)?;
        let target = match target {
            Target::Open(open) => return open.serve(head, body, limits).await,
            Target::Guarded(target) => target,
        };
        match auth.identify(&sender, peer).inspect_err(note) {
            Ok(caller) => {
                let caller = caller.being(process);
                target.serve(Exchange { vault, caller: &caller, head, body, limits, id: None }).await
            }
            Err(failure) => {
                // So that a caller that sends a body gets to read what is wrong.
                ignore(body, limits).await?;
                Err(failure)
            }
        }
    }
}

/// A method for the log: one that is not known is the caller's own text.
struct Method<'a>(&'a Parts);

impl std::fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use hyper::Method as M;
        let known = [M::GET, M::POST, M::PUT, M::PATCH, M::DELETE, M::HEAD, M::OPTIONS];
        f.write_str(known.iter().find(|known| **known == self.0.method).map_or("(other)", M::as_str))
    }
}

/// A deadline that costs nothing when the future is ready at once, as most are; otherwise `waits` is called.
async fn within<F: Future>(
    deadline: Duration,
    future: F,
    waits: impl FnOnce(),
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let at_once = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match at_once {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => {
            waits();
            tokio::time::timeout(deadline, future).await
        }
    }
}

/// A panic ends one request, not the connection's others; `None` says so. Its place is in the log already.
async fn guarded<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
