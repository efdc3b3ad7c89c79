//! One request from its head to its answer: the order in which the stages see it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use secrets_proto::ErrorType;
use secrets_proto::audit::AuditAction;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::Server;
use super::ids::RequestId;
use super::parting::Link;
use super::wire::Seen;
use crate::auth::refuse_browsers;
use crate::caller::{Caller, Peer};
use crate::peer::Process;
use crate::router::answer::Answer;
use crate::router::error::Failure;
use crate::router::strict::Sender;
use crate::router::{AfterRelaunch, AtOnce, Exchange, Target, ignore, strict};

/// What the requests of one connection share. Each of them takes one reference, and each reference has its price.
pub(super) struct Talk {
    pub(super) server: Arc<Server>,
    pub(super) link: Link,
    pub(super) peer: Peer,
    pub(super) process: Arc<Process>,
    pub(super) seen: Arc<Seen>,
}

/// What came of trying to serve a request at once.
enum AtOnceOr {
    Answer(Answer),
    /// It takes longer, for this caller.
    Caller(Caller),
}

/// Who asks, as far as that is known: nobody is identified twice, since each time counts.
enum Asking {
    Anybody,
    Known(Caller),
}

/// An answer: there, as most are, or on its way.
pub(super) enum Answering {
    Now(Ready<Response<Full<Bytes>>>),
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(answer) => {
                // Requests that arrive together on one connection are answered in a row; after some of them the others
                // get their turn.
                let turn = std::task::ready!(tokio::task::coop::poll_proceed(cx));
                turn.made_progress();
                Pin::new(answer).poll(cx)
            }
            Self::Later(answer) => answer.as_mut().poll(cx),
        }
        .map(Ok)
    }
}

impl Answering {
    fn now(response: Response<Full<Bytes>>) -> Self {
        Self::Now(ready(response))
    }
}

impl Talk {
    /// Answers a request, whatever happens.
    pub(super) fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Answering {
        let (head, body) = request.into_parts();
        let target = self.server.router.find(&head.method, head.uri.path());
        // What is read from memory needs no future, which would be large and moved about.
        if body.is_end_stream()
            && let Some(route) = target.at_once()
        {
            let (id, pattern) = (self.server.ids.next(), target.pattern());
            let served = std::panic::catch_unwind(AssertUnwindSafe(|| {
                self.serve_at_once(&head, target.path(), route)
            }));
            return match served.unwrap_or_else(|_| Err(panicked())) {
                Ok(AtOnceOr::Caller(caller)) => self.answering(head, body, Asking::Known(caller)),
                Ok(AtOnceOr::Answer(answer)) => Answering::now(respond(Ok(answer), id, head, pattern)),
                Err(failure) => Answering::now(respond(Err(failure), id, head, pattern)),
            };
        }
        self.answering(head, body, Asking::Anybody)
    }

    /// Answers later.
    fn answering(self: &Arc<Self>, head: Parts, body: Incoming, asking: Asking) -> Answering {
        let talk = Arc::clone(self);
        Answering::Later(Box::pin(async move {
            let response = talk.answer_later(head, body, asking).await;
            if response.extensions().get::<AfterRelaunch>().is_some() {
                return talk.link.part(response).await;
            }
            response
        }))
    }

    async fn answer_later(&self, head: Parts, body: Incoming, asking: Asking) -> Response<Full<Bytes>> {
        let Self { server, seen, .. } = self;
        let id = server.ids.next();
        let target = server.router.find(&head.method, head.uri.path());
        let pattern = target.pattern();
        let served = guarded(self.serve(&head, target, body, asking));
        let waits = || seen.waited.store(true, Ordering::Relaxed);
        let goes_on = || seen.patient.store(true, Ordering::Relaxed);
        let served = match within(server.limits.request, served, waits, goes_on).await {
            Ok(Some(served)) => served,
            Ok(None) => Err(panicked()),
            Err(_) => Err(Failure::new(
                ErrorType::GatewayTimeoutError,
                "The request was not answered in time; check whether it was done, then repeat",
            )
            .closing()),
        };
        respond(served, id, head, pattern)
    }

    async fn serve(
        &self,
        head: &Parts,
        target: Target<'_>,
        body: Incoming,
        asking: Asking,
    ) -> Result<Answer, Failure> {
        let Server { vault, limits, .. } = &*self.server;
        let caller = match asking {
            Asking::Known(caller) => Ok(caller),
            Asking::Anybody => {
                let sender = self.sender(head, target.path())?;
                if let Target::Open(open) = target {
                    return open.serve(head, body, limits).await;
                }
                self.identify(&sender)
            }
        };
        let Target::Guarded(target) = target else {
            return Err(Failure::internal("a route that needs no caller has one"));
        };
        match caller {
            Ok(caller) => {
                target.serve(Exchange { vault, caller: &caller, head, body, limits, id: None }).await
            }
            Err(failure) => {
                // So that a caller that sends a body gets to read what is wrong.
                ignore(body, limits).await?;
                Err(failure)
            }
        }
    }

    fn serve_at_once(
        &self,
        head: &Parts,
        path: strict::Path<'_>,
        route: AtOnce<'_>,
    ) -> Result<AtOnceOr, Failure> {
        let caller = self.identify(&self.sender(head, path)?)?;
        let answer = route.serve(&self.server.vault, &caller, head)?;
        Ok(answer.map_or(AtOnceOr::Caller(caller), AtOnceOr::Answer))
    }

    /// What the head says of its sender, if it can be read in one way only and no browser sent it.
    fn sender<'a>(&self, head: &'a Parts, path: strict::Path<'_>) -> Result<Sender<'a>, Failure> {
        if self.seen.ambiguous.load(Ordering::Relaxed) {
            let detail = "A request on this connection can be read in two ways; send Content-Length once, and no # in the target";
            return Err(Failure::invalid_request(detail).closing());
        }
        let sender = strict::check(head, path)?;
        refuse_browsers(&sender).inspect_err(|failure| self.note(failure))?;
        Ok(sender)
    }

    fn identify(&self, sender: &Sender<'_>) -> Result<Caller, Failure> {
        let caller = self.server.auth.identify(sender, self.peer);
        Ok(caller.inspect_err(|failure| self.note(failure))?.being(&self.process))
    }

    /// Tells the audit log of a refusal that it keeps.
    fn note(&self, failure: &Failure) {
        let Some(refusal) = failure.refusal() else { return };
        let caller = match failure.holder() {
            Some(grant) => Caller::holding(self.peer, Arc::clone(grant)),
            None => Caller::stranger(self.peer),
        };
        self.server.vault.refused(&caller.being(&self.process), AuditAction::Access, refusal);
    }
}

fn panicked() -> Failure {
    Failure::internal("a handler has panicked").closing()
}

fn respond(
    served: Result<Answer, Failure>,
    id: RequestId,
    mut head: Parts,
    pattern: &'static str,
) -> Response<Full<Bytes>> {
    let answer = served.unwrap_or_else(|failure| failure.into_answer(id.as_str()));
    let status = answer.status().as_u16();
    tracing::debug!(request = %id, method = %Method(&head), route = pattern, status, "answered");
    answer.into_response(id.into_bytes(), std::mem::take(&mut head.headers))
}

/// How often it is looked whether somebody still waits for an answer.
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
/// `goes_on` now and then while it still is not.
async fn within<F: Future>(
    deadline: Duration,
    future: F,
    waits: impl FnOnce(),
    goes_on: impl Fn(),
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let at_once = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match at_once {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => {
            waits();
            let end = Instant::now() + deadline;
            loop {
                let step = end.min(Instant::now() + STEP);
                match tokio::time::timeout_at(step, future.as_mut()).await {
                    Err(_) if step < end => goes_on(),
                    outcome => break outcome,
                }
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
