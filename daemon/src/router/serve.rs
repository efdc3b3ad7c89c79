//! What every route does: makes the typed request, calls the handler, and writes its reply.

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

use super::codec::{FromRequest, IntoResponse};
use crate::answering::{Answering, Boxed};
use crate::caller::Caller;
use crate::config::Limits;
use crate::http::body;
use crate::http::failure::Failure;
use crate::http::fields::Fields;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::{self, Vault};

/// One request with all that serving it takes.
pub(crate) struct Exchange<'a> {
    /// The vault.
    pub(crate) vault: &'a Vault,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// The request's head.
    pub(crate) head: &'a Parts,
    /// The request's body, if there is one.
    pub(crate) body: Option<Incoming>,
    /// What a body may be.
    pub(crate) limits: &'a Limits,
    /// The `{id}` in its path.
    pub(crate) id: Option<&'a str>,
}

/// An exchange being served.
pub(crate) type Serving<'a> = Boxed<'a, Result<Response, Failure>>;

/// Serves by a handler that decides whether it answers at once. What is wrong with a request that has no body, and need not
/// have one, is answered at once too.
pub(super) fn serve_either<'a, I, O, F>(
    exchange: Exchange<'a>,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> Answering<Result<O, vault::Error>, F> + Send + 'a,
) -> Serving<'a>
where
    I: FromRequest + Send + 'a,
    O: IntoResponse + Send,
    F: Future<Output = Result<O, vault::Error>> + Send + 'a,
{
    let Exchange { vault, caller, head, body, limits, id } = exchange;
    let request = move |fields| {
        let mut parts = RequestParts::new(id, head.uri.query(), &head.headers, fields);
        let request = I::take(&mut parts);
        parts.finish(request)
    };
    let write = move |reply: Result<O, vault::Error>| reply?.into_response(&head.headers);
    if !I::BODY && body.is_none() {
        let request = match request(Fields::default()) {
            Ok(request) => request,
            Err(failure) => return Answering::now(Err(failure)),
        };
        return match handler(vault, caller, request) {
            Answering::Now(reply) => Answering::now(write(reply.into_inner())),
            Answering::Later(reply) => Answering::later(async move { write(reply.await) }),
        };
    }
    Answering::later(async move {
        let request = if I::BODY {
            let bytes = body::receive(body, limits, caller.quota_key()).await?;
            if bytes.is_empty() && I::MAY_LACK_BODY {
                request(Fields::default())?
            } else {
                body::in_turn(bytes.len(), || request(Fields::parse(&head.headers, &bytes)?)).await?
            }
        } else {
            body::ignore(body, limits).await?;
            request(Fields::default())?
        };
        write(match handler(vault, caller, request) {
            Answering::Now(reply) => reply.into_inner(),
            Answering::Later(reply) => reply.await,
        })
    })
}

/// Serves by a handler that waits for something, as [`serve_either`] does.
pub(super) fn serve<'a, I, O, F>(
    exchange: Exchange<'a>,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> F + Send + 'a,
) -> Serving<'a>
where
    I: FromRequest + Send + 'a,
    O: IntoResponse + Send,
    F: Future<Output = Result<O, vault::Error>> + Send + 'a,
{
    serve_either(exchange, |vault, caller, request| Answering::Later(handler(vault, caller, request)))
}

/// Serves a `GET` whose answer takes much work, as [`serve_either`] does. To `HEAD` it is answered what kind of content there
/// would be, and not how long: RFC 9110, 9.3.2 lets out what is known only once the content is made.
pub(super) fn serve_costly<'a, I, O, F>(
    exchange: Exchange<'a>,
    content_type: &'static str,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> F + Send + 'a,
) -> Serving<'a>
where
    I: FromRequest + Send + 'a,
    O: IntoResponse + Send,
    F: Future<Output = Result<O, vault::Error>> + Send + 'a,
{
    if exchange.head.method != Method::HEAD {
        return serve(exchange, handler);
    }
    serve_now(exchange, move |vault, caller, _: I| {
        vault.check_open(caller).map(|()| ContentType(content_type))
    })
}

/// The head of an answer that is not made.
struct ContentType(&'static str);

impl IntoResponse for ContentType {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::empty(StatusCode::OK).with(CONTENT_TYPE, HeaderValue::from_static(self.0)))
    }
}

/// Serves by a handler that reads memory alone, as [`serve_either`] does.
pub(super) fn serve_now<'a, I, O>(
    exchange: Exchange<'a>,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> Result<O, vault::Error> + Send + 'a,
) -> Serving<'a>
where
    I: FromRequest + Send + 'a,
    O: IntoResponse + Send + 'a,
{
    serve_either(exchange, |vault, caller, request| {
        Answering::<_, std::future::Ready<_>>::now(handler(vault, caller, request))
    })
}
