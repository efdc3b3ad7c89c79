//! What the server needs of the API behind it: finding what a request asks for, and serving it.

use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;

use super::failure::Failure;
use super::head;
use super::response::Response;
use crate::answering::Boxed;
use crate::caller::Caller;
use crate::config::Limits;

/// Answers requests whose connection, head and sender the server has dealt with.
pub(crate) trait Service: Send + Sync + 'static {
    /// What a request asks for.
    type Target: Target;

    /// Finds what a request asks for.
    fn find(&self, method: &Method, path: &str) -> Self::Target;

    /// Serves anybody, by a target that is open.
    fn serve_anybody(
        &self,
        target: Self::Target,
        head: &Parts,
        body: Option<Incoming>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Response, Failure>> + Send;

    /// Serves a caller, by a target that is not open.
    fn serve<'a>(
        &'a self,
        target: &Self::Target,
        request: Request<'a>,
    ) -> Boxed<'a, Result<Response, Failure>>;
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As long as most.
    Usual,
    /// The longer the larger the vault is.
    Slow,
    /// Until something happens, or as long as it says itself.
    Waits,
}

/// What a request asks for. It borrows nothing from the request, so that it is looked up once.
pub(crate) trait Target: Send + Sync + 'static {
    /// Whether it needs no caller. What does not exist needs one: only a caller gets to know.
    fn is_open(&self) -> bool;

    /// Whether it counts against the rate of the caller's token.
    fn is_rated(&self) -> bool;

    /// How long it may take.
    fn pace(&self) -> Pace;

    /// Whether it is mostly read from memory, so that a request without a body is tried at once.
    fn is_in_memory(&self) -> bool;

    /// The route's pattern, for the log: a path itself holds what a caller sent.
    fn pattern(&self) -> &'static str;

    /// What is known of the path that led here.
    fn known_of<'a>(&self, path: &'a str) -> head::Path<'a>;
}

/// A caller's request.
pub(crate) struct Request<'a> {
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// The request's head.
    pub(crate) head: &'a Parts,
    /// The request's body, if there is one.
    pub(crate) body: Option<Incoming>,
    /// What a body may be.
    pub(crate) limits: &'a Limits,
}
