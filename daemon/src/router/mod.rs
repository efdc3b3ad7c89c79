//! From HTTP to a handler and back: finds the route, makes the typed request, and writes the typed reply or the
//! error. The only stage that knows HTTP and JSON bodies; it knows no connection and no token.

pub(crate) mod answer;
mod body;
mod conditional;
pub(crate) mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod input;
mod open;
mod places;
mod query;
mod replies;
mod requests;
mod routes;
pub(crate) mod strict;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use self::answer::Answer;
use self::body::Fields;
use self::error::Failure;
use self::input::Input;
use self::replies::IntoAnswer;
use self::requests::FromRequest;
use self::routes::{Action, ROUTES, Route, Run, Running};
use crate::caller::Caller;
use crate::config::Limits;
use crate::vault::{self, Vault};

pub(crate) use self::answer::AfterRelaunch;
pub use self::routes::{Access, RouteInfo, routes};

/// The routes, by path.
pub(crate) struct Router {
    paths: matchit::Router<Endpoint>,
}

/// What stands at one path.
struct Endpoint {
    methods: Vec<&'static Route>,
    allow: HeaderValue,
}

/// What a request asks for.
pub(crate) enum Target<'a> {
    /// A route that needs no token.
    Open(OpenTarget),
    /// Anything else, also what does not exist: only a caller gets to know.
    Guarded(GuardedTarget<'a>),
}

/// A route that needs no token.
pub(crate) struct OpenTarget {
    pattern: &'static str,
    answer: fn(&HeaderMap) -> Answer,
}

/// A route that needs a caller, or none.
pub(crate) enum GuardedTarget<'a> {
    #[doc(hidden)]
    Route { pattern: &'static str, id: Option<&'a str>, run: Run },
    #[doc(hidden)]
    WrongMethod { pattern: &'static str, allow: HeaderValue },
    #[doc(hidden)]
    Nothing,
}

/// One request with all that serving it takes.
pub(crate) struct Exchange<'a> {
    /// The vault.
    pub(crate) vault: &'a Vault,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// The request's head.
    pub(crate) head: &'a Parts,
    /// Its body.
    pub(crate) body: Incoming,
    /// What a body may be.
    pub(crate) limits: &'a Limits,
    /// The `{id}` in its path.
    pub(crate) id: Option<&'a str>,
}

impl Router {
    /// Builds the router from the table.
    pub(crate) fn new() -> Result<Self, matchit::InsertError> {
        let mut paths = matchit::Router::new();
        for (index, route) in ROUTES.iter().enumerate() {
            if ROUTES.iter().take(index).any(|earlier| earlier.path == route.path) {
                continue;
            }
            let methods: Vec<&Route> = ROUTES.iter().filter(|other| other.path == route.path).collect();
            let names: Vec<&str> = methods.iter().map(|route| route.method.as_str()).collect();
            let allow = HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""));
            paths.insert(route.path, Endpoint { methods, allow })?;
        }
        Ok(Self { paths })
    }

    /// Finds what a request asks for.
    pub(crate) fn find<'a>(&self, method: &Method, path: &'a str) -> Target<'a> {
        let Ok(found) = self.paths.at(path) else { return Target::Guarded(GuardedTarget::Nothing) };
        let endpoint = found.value;
        let Some(route) = endpoint.methods.iter().find(|route| route.method == *method) else {
            let pattern = endpoint.methods.first().map_or("", |route| route.path);
            return Target::Guarded(GuardedTarget::WrongMethod { pattern, allow: endpoint.allow.clone() });
        };
        match route.action {
            Action::Open(answer) => Target::Open(OpenTarget { pattern: route.path, answer }),
            Action::Guarded(_, run) => {
                let id = found.params.get("id");
                Target::Guarded(GuardedTarget::Route { pattern: route.path, id, run })
            }
        }
    }
}

impl Target<'_> {
    /// The route's pattern, for the log: a path itself holds what a caller sent.
    pub(crate) const fn pattern(&self) -> &'static str {
        match self {
            Self::Open(OpenTarget { pattern, .. })
            | Self::Guarded(
                GuardedTarget::Route { pattern, .. } | GuardedTarget::WrongMethod { pattern, .. },
            ) => pattern,
            Self::Guarded(GuardedTarget::Nothing) => "(none)",
        }
    }
}

impl OpenTarget {
    /// Serves anybody.
    pub(crate) async fn serve(
        self,
        head: &Parts,
        body: Incoming,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        ignore(body, limits).await?;
        Ok((self.answer)(&head.headers))
    }
}

impl<'a> GuardedTarget<'a> {
    /// Serves a caller.
    pub(crate) async fn serve(self, exchange: Exchange<'a>) -> Result<Answer, Failure> {
        match self {
            Self::Route { id, run: Run::Later(run), .. } => run(Exchange { id, ..exchange }).await,
            Self::Route { id, run: Run::Now(run), .. } => {
                let mut exchange = exchange;
                ignore(&mut exchange.body, exchange.limits).await?;
                run(&Exchange { id, ..exchange })
            }
            Self::WrongMethod { allow, .. } => {
                ignore(exchange.body, exchange.limits).await?;
                Err(Failure::no_route(Some(allow)))
            }
            Self::Nothing => {
                ignore(exchange.body, exchange.limits).await?;
                Err(Failure::no_route(None))
            }
        }
    }
}

/// Receives a body that nobody wants, within the limits, so that the connection can go on.
pub(crate) async fn ignore<B>(body: B, limits: &Limits) -> Result<(), Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(());
    }
    body::discard(body, limits).await
}

/// Makes the typed request, calls the handler, and writes its reply: what every route does. This is for those that are
/// served from memory, and so at once; their body has been received and ignored.
fn serve_now<'a, I, O>(
    exchange: &Exchange<'a>,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> Result<O, vault::Error>,
) -> Result<Answer, Failure>
where
    I: FromRequest,
    O: IntoAnswer,
{
    let Exchange { vault, caller, head, id, .. } = *exchange;
    let mut input = Input::new(id, head.uri.query(), &head.headers, Fields::default());
    let request = I::take(&mut input);
    let request = input.finish(request)?;
    handler(vault, caller, request).map_err(Failure::from)?.into_answer(&head.headers)
}

/// The same for those that wait.
fn serve<'a, I, O, F>(
    exchange: Exchange<'a>,
    handler: impl FnOnce(&'a Vault, &'a Caller, I) -> F + Send + 'a,
) -> Running<'a>
where
    I: FromRequest + Send + 'a,
    O: IntoAnswer,
    F: Future<Output = Result<O, vault::Error>> + Send + 'a,
{
    Box::pin(async move {
        let Exchange { vault, caller, head, body, limits, id } = exchange;
        let fields = if I::BODY {
            let bytes = body::receive(body, limits, caller.asker()).await?;
            Fields::parse(&head.headers, &bytes)?
        } else {
            ignore(body, limits).await?;
            Fields::default()
        };
        let mut input = Input::new(id, head.uri.query(), &head.headers, fields);
        let request = I::take(&mut input);
        let request = input.finish(request)?;
        let reply = handler(vault, caller, request).await.map_err(Failure::from)?;
        reply.into_answer(&head.headers)
    })
}
