//! One request from its head to its answer: the order in which the stages see it.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use secrets_local::peer::Process;
use secrets_proto::ErrorType;
use secrets_proto::audit::AuditAction;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::Server;
use super::handoff::Handoff;
use super::ids::RequestId;
use super::wire::Seen;
use crate::answering::{Answering, Boxed};
use crate::auth::refuse_browsers;
use crate::caller::{Caller, Peer};
use crate::client::Said;
use crate::http::body::ignore;
use crate::http::failure::Failure;
use crate::http::head::{self, HeadFields};
use crate::http::response::{AfterRelaunch, Response};
use crate::http::service::{self, Pace, Service, Target};
use crate::memory;

/// What the requests of one connection share. Each of them takes one reference, and each reference has its price.
pub(super) struct Connection<S> {
    pub(super) server: Arc<Server<S>>,
    pub(super) handoff: Handoff,
    pub(super) peer: Peer,
    pub(super) process: Arc<Process>,
    pub(super) seen: Arc<Seen>,
}

/// Who asks, as far as that is known: nobody is identified twice, since each time counts.
enum Asking {
    Anybody,
    Known(Caller),
}

/// An answer as hyper waits for it.
pub(super) struct ResponseFuture(Boxed<'static, hyper::Response<Full<Bytes>>>);

impl Future for ResponseFuture {
    type Output = Result<hyper::Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.0, Answering::Now(_)) {
            // Requests that arrive together on one connection are answered in a row; after some of them the others get
            // their turn.
            let turn = std::task::ready!(tokio::task::coop::poll_proceed(cx));
            turn.made_progress();
        }
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}

impl<S: Service> Connection<S> {
    /// Answers a request, whatever happens.
    pub(super) fn answer(self: &Arc<Self>, request: Request<Incoming>) -> ResponseFuture {
        let (head, body) = request.into_parts();
        let body = Some(body).filter(|body| !body.is_end_stream());
        let (id, target) = (self.server.ids.next(), self.server.service.find(&head.method, head.uri.path()));
        let mut asking = Asking::Anybody;
        // What is read from memory needs no future, which would be large and moved about.
        if body.is_none() && target.is_in_memory() && !self.server.vault.auto_lock.is_due_or_over() {
            let served = std::panic::catch_unwind(AssertUnwindSafe(|| self.serve_at_once(&head, &target)));
            let served = match served.unwrap_or_else(|_| Err(panicked())) {
                Ok(ControlFlow::Continue(caller)) => {
                    asking = Asking::Known(caller);
                    None
                }
                Ok(ControlFlow::Break(response)) => Some(Ok(response)),
                Err(failure) => Some(Err(failure)),
            };
            if let Some(served) = served {
                return ResponseFuture(Answering::now(respond(served, id, head, target.pattern())));
            }
        }
        let connection = Arc::clone(self);
        ResponseFuture(Answering::later(async move {
            let auto_lock = &connection.server.vault.auto_lock;
            auto_lock.lock_if_due().await;
            let was_ending = auto_lock.is_ending();
            let response = connection.answer_later(head, target, body, asking, id).await;
            // Who is told that the vault is locked may want to unlock it, and needs the next image for that.
            let is_of_lock = was_ending || auto_lock.is_ending() && !response.status().is_success();
            if is_of_lock || response.extensions().get::<AfterRelaunch>().is_some() {
                return connection.handoff.hand_off(response).await;
            }
            response
        }))
    }

    /// The answer, if it is there, or else the caller, to whom it is given later.
    fn serve_at_once(
        &self,
        head: &Parts,
        target: &S::Target,
    ) -> Result<ControlFlow<Response, Caller>, Failure> {
        let caller = self.identify(&self.head_fields(head, target)?, target)?;
        let answer = match self.server.service.serve(target, self.request(&caller, head, None)) {
            Answering::Now(answer) => Some(answer.into_inner()?),
            Answering::Later(_) => None,
        };
        Ok(answer.map_or(ControlFlow::Continue(caller), ControlFlow::Break))
    }

    async fn answer_later(
        &self,
        head: Parts,
        target: S::Target,
        body: Option<Incoming>,
        asking: Asking,
        id: RequestId,
    ) -> hyper::Response<Full<Bytes>> {
        let Self { server, seen, .. } = self;
        let pattern = target.pattern();
        let deadline = match target.pace() {
            Pace::Usual => Some(server.limits.request),
            Pace::Slow => Some(server.limits.long_request),
            Pace::Waits => None,
        };
        let served = guarded(self.serve(&head, target, body, asking));
        let waits = || seen.waited.store(true, Ordering::Relaxed);
        let goes_on = || seen.patient.store(true, Ordering::Relaxed);
        let served = match within(deadline, served, waits, goes_on).await {
            Ok(Some(served)) => served,
            Ok(None) => Err(panicked()),
            Err(_) => Err(Failure::new(
                ErrorType::GatewayTimeoutError,
                "The request was not answered in time; check whether the change was made, then repeat",
            )
            .closing()),
        };
        respond(served, id, head, pattern)
    }

    async fn serve(
        &self,
        head: &Parts,
        target: S::Target,
        body: Option<Incoming>,
        asking: Asking,
    ) -> Result<Response, Failure> {
        let Server { service, limits, .. } = &*self.server;
        let caller = match asking {
            Asking::Known(caller) => Ok(caller),
            Asking::Anybody => {
                let fields = self.head_fields(head, &target)?;
                if target.is_open() {
                    return service.serve_anybody(target, head, body, limits).await;
                }
                self.identify(&fields, &target)
            }
        };
        match caller {
            Ok(caller) => service.serve(&target, self.request(&caller, head, body)).await,
            Err(failure) => {
                // So that a caller that sends a body gets to read what is wrong.
                ignore(body, limits).await?;
                Err(failure)
            }
        }
    }

    fn request<'a>(
        &'a self,
        caller: &'a Caller,
        head: &'a Parts,
        body: Option<Incoming>,
    ) -> service::Request<'a> {
        service::Request { caller, head, body, limits: &self.server.limits }
    }

    /// What the head says of its sender, if it can be read in one way only and no browser sent it.
    fn head_fields<'a>(&self, head: &'a Parts, target: &S::Target) -> Result<HeadFields<'a>, Failure> {
        if self.seen.ambiguous.load(Ordering::Relaxed) {
            let detail = "A request on this connection can be read in two ways; send Content-Length once, and no # in the target";
            return Err(Failure::invalid_request(detail).closing());
        }
        let fields = head::check(head, target.known_of(head.uri.path()))?;
        refuse_browsers(&fields).inspect_err(|failure| self.note(failure))?;
        Ok(fields)
    }

    fn identify(&self, fields: &HeadFields<'_>, target: &S::Target) -> Result<Caller, Failure> {
        let caller = self.server.auth.identify(fields, self.peer, target.is_rated());
        let caller = caller.inspect_err(|failure| self.note(failure))?.being(&self.process);
        match fields.client.map(Said::parse) {
            None => Ok(caller),
            Some(Ok(said)) => Ok(caller.saying(said)),
            Some(Err(detail)) => Err(Failure::invalid_request(detail)),
        }
    }

    /// Tells the audit log of a refusal that it keeps.
    fn note(&self, failure: &Failure) {
        let Some(refusal) = failure.refusal() else { return };
        let caller = match failure.holder() {
            Some(rights) => Caller::holding(self.peer, Arc::clone(rights)),
            None => Caller::stranger(self.peer),
        };
        self.server.vault.refused(&caller.being(&self.process), AuditAction::Access, refusal);
    }
}

fn panicked() -> Failure {
    Failure::internal("a handler has panicked").closing()
}

fn respond(
    served: Result<Response, Failure>,
    id: RequestId,
    mut head: Parts,
    pattern: &'static str,
) -> hyper::Response<Full<Bytes>> {
    memory::worked();
    let response = served.unwrap_or_else(|failure| failure.into_response(id.as_str()));
    let status = response.status().as_u16();
    tracing::debug!(request = %id, method = %Method(&head), route = pattern, status, "answered");
    response.into_http(id.into_bytes(), std::mem::take(&mut head.headers))
}

/// After how long it is watched whether somebody still waits for an answer.
const STEP: Duration = Duration::from_secs(1);

/// A method for the log: one that is not known is the caller's own text.
struct Method<'a>(&'a Parts);

impl std::fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use hyper::Method as M;
        let known = [M::GET, M::POST, M::PUT, M::PATCH, M::DELETE, M::HEAD, M::OPTIONS];
        f.write_str(known.iter().find(|known| **known == self.0.method).map_or("(other)", M::as_str))
    }
}

/// A deadline that costs nothing when the future is ready at once, as most are; otherwise `waits` is called, and
/// `goes_on` when it still is not after a while.
async fn within<F: Future>(
    deadline: Option<Duration>,
    future: F,
    waits: impl FnOnce(),
    goes_on: impl FnOnce(),
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let at_once = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match at_once {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => {
            waits();
            let begun = Instant::now();
            let end = deadline.map(|deadline| begun + deadline);
            let step = begun + STEP;
            if end.is_none_or(|end| step < end) {
                if let Ok(output) = tokio::time::timeout_at(step, future.as_mut()).await {
                    return Ok(output);
                }
                goes_on();
            }
            match end {
                Some(end) => tokio::time::timeout_at(end, future).await,
                None => Ok(future.await),
            }
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
