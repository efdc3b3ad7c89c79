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
mod query;
mod replies;
mod requests;
mod rights;
mod routes;
pub(crate) mod strict;

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
use self::routes::{Action, Now, ROUTES, Route, Run, Running};
use crate::caller::Caller;
use crate::config::Limits;
use crate::vault::{self, Vault};

pub(crate) use self::answer::AfterRelaunch;
pub use self::routes::{Access, RouteInfo, routes};

/// The routes, by path. They are few and most differ in length, so that looking at one after the other takes less time
/// than a tree would; those that have no id come first.
pub(crate) struct Router {
    endpoints: Vec<Endpoint>,
}

/// What stands at one path.
struct Endpoint {
    /// The path, or what is before the id.
    before: &'static str,
    /// What is after the id, if there is one.
    after: Option<&'static str>,
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
    Route { route: &'static Route, id: Option<&'a str>, run: Run },
    #[doc(hidden)]
    WrongMethod { pattern: &'static str, allow: HeaderValue },
    #[doc(hidden)]
    Nothing,
}

/// A route that is served from memory, and so without waiting.
pub(crate) struct AtOnce<'a> {
    route: &'static Route,
    id: Option<&'a str>,
    run: Now,
}

/// A request without a body.
pub(crate) struct Asked<'a> {
    head: &'a Parts,
    id: Option<&'a str>,
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
    pub(crate) fn new() -> Self {
        let mut endpoints = Vec::new();
        for (index, route) in ROUTES.iter().enumerate() {
            if ROUTES.iter().take(index).any(|earlier| earlier.path == route.path) {
                continue;
            }
            let methods: Vec<&Route> = ROUTES.iter().filter(|other| other.path == route.path).collect();
            let names: Vec<&str> = methods.iter().map(|route| route.method.as_str()).collect();
            let allow = HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""));
            let (before, after) = match route.path.split_once("{id}") {
                Some((before, after)) => (before, Some(after)),
                None => (route.path, None),
            };
            endpoints.push(Endpoint { before, after, methods, allow });
        }
        endpoints.sort_by_key(|endpoint| endpoint.after.is_some());
        Self { endpoints }
    }

    /// Finds what a request asks for.
    pub(crate) fn find<'a>(&self, method: &Method, path: &'a str) -> Target<'a> {
        let found = self.endpoints.iter().find_map(|endpoint| Some((endpoint, endpoint.id_in(path)?)));
        let Some((endpoint, id)) = found else { return Target::Guarded(GuardedTarget::Nothing) };
        let Some(route) = endpoint.methods.iter().find(|route| route.method == *method) else {
            let pattern = endpoint.methods.first().map_or("", |route| route.path);
            return Target::Guarded(GuardedTarget::WrongMethod { pattern, allow: endpoint.allow.clone() });
        };
        match route.action {
            Action::Open(answer) => Target::Open(OpenTarget { pattern: route.path, answer }),
            Action::Guarded(_, run) => Target::Guarded(GuardedTarget::Route { route, id, run }),
        }
    }
}

impl Endpoint {
    /// Whether this is the path, and if so the id in it, if it has one.
    fn id_in<'a>(&self, path: &'a str) -> Option<Option<&'a str>> {
        let Some(after) = self.after else { return (path == self.before).then_some(None) };
        let id = path.strip_prefix(self.before)?.strip_suffix(after)?;
        (!id.is_empty() && memchr::memchr(b'/', id.as_bytes()).is_none()).then_some(Some(id))
    }
}

impl<'a> Target<'a> {
    /// What is known of the path that led here.
    pub(crate) const fn path(&self) -> strict::Path<'a> {
        match self {
            Self::Open(_) | Self::Guarded(GuardedTarget::Route { id: None, .. }) => strict::Path::Known,
            Self::Guarded(GuardedTarget::Route { id: Some(id), .. }) => strict::Path::KnownBut(id),
            Self::Guarded(GuardedTarget::WrongMethod { .. } | GuardedTarget::Nothing) => {
                strict::Path::Unknown
            }
        }
    }

    /// Whether it is served from memory.
    pub(crate) const fn at_once(&self) -> Option<AtOnce<'a>> {
        match self {
            Self::Guarded(GuardedTarget::Route {
                route,
                id,
                run: Run::Now(run) | Run::NowOrLater(run, _),
            }) => Some(AtOnce { route, id: *id, run: *run }),
            Self::Guarded(_) | Self::Open(_) => None,
        }
    }

    /// The route's pattern, for the log: a path itself holds what a caller sent.
    pub(crate) const fn pattern(&self) -> &'static str {
        match self {
            Self::Guarded(GuardedTarget::Route { route, .. }) => route.path,
            Self::Open(OpenTarget { pattern, .. })
            | Self::Guarded(GuardedTarget::WrongMethod { pattern, .. }) => pattern,
            Self::Guarded(GuardedTarget::Nothing) => "(none)",
        }
    }
}

impl AtOnce<'_> {
    /// Serves a caller whose request has no body. `None`: it cannot be served at once.
    pub(crate) fn serve(
        self,
        vault: &Vault,
        caller: &Caller,
        head: &Parts,
    ) -> Result<Option<Answer>, Failure> {
        authorize(self.route, vault, caller, head)?;
        (self.run)(vault, caller, &Asked { head, id: self.id })
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
        if let Self::Route { route, .. } = self
            && let Err(failure) = authorize(route, exchange.vault, exchange.caller, exchange.head)
        {
            // So that a caller that sends a body gets to read what is wrong.
            ignore(exchange.body, exchange.limits).await?;
            return Err(failure);
        }
        match self {
            Self::Route { id, run: Run::Later(run) | Run::NowOrLater(_, run), .. } => {
                run(Exchange { id, ..exchange }).await
            }
            Self::Route { id, run: Run::Now(run), .. } => {
                let Exchange { vault, caller, head, body, limits, .. } = exchange;
                ignore(body, limits).await?;
                run(vault, caller, &Asked { head, id })?
                    .ok_or_else(|| Failure::internal("a route is served at once and was not"))
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

/// Refuses a caller that may not ask for this at all.
fn authorize(route: &Route, vault: &Vault, caller: &Caller, head: &Parts) -> Result<(), Failure> {
    let right = route.right(head.uri.query());
    right.map_or(Ok(()), |right| vault.authorize(caller, right)).map_err(Failure::from)
}

/// Receives a body that nobody wants, within the limits, so that the connection can go on.
pub(crate) async fn ignore(body: Incoming, limits: &Limits) -> Result<(), Failure> {
    if body.is_end_stream() {
        return Ok(());
    }
    body::discard(body, limits).await
}

/// Makes the typed request, calls the handler, and writes its reply: what every route does. This is for those that are
/// served from memory, and so at once; their body has been received and ignored.
fn serve_now<I, O>(
    vault: &Vault,
    caller: &Caller,
    asked: &Asked<'_>,
    handler: impl FnOnce(&Vault, &Caller, I) -> Result<O, vault::Error>,
) -> Result<Option<Answer>, Failure>
where
    I: FromRequest,
    O: IntoAnswer,
{
    serve_if_now(vault, caller, asked, |vault, caller, request| handler(vault, caller, request).map(Some))
}

/// Like [`serve_now`], unless the handler says that it cannot be done at once.
fn serve_if_now<I, O>(
    vault: &Vault,
    caller: &Caller,
    asked: &Asked<'_>,
    handler: impl FnOnce(&Vault, &Caller, I) -> Result<Option<O>, vault::Error>,
) -> Result<Option<Answer>, Failure>
where
    I: FromRequest,
    O: IntoAnswer,
{
    let Asked { head, id } = *asked;
    let mut input = Input::new(id, head.uri.query(), &head.headers, Fields::default());
    let request = I::take(&mut input);
    let request = input.finish(request)?;
    let reply = handler(vault, caller, request).map_err(Failure::from)?;
    reply.map(|reply| reply.into_answer(&head.headers)).transpose()
}

/// Like [`serve_now`], for those that wait.
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
        let request = |fields| {
            let mut input = Input::new(id, head.uri.query(), &head.headers, fields);
            let request = I::take(&mut input);
            input.finish(request)
        };
        let request = if I::BODY {
            let bytes = body::receive(body, limits, caller.asker()).await?;
            body::in_turn(bytes.len(), || request(Fields::parse(&head.headers, &bytes)?)).await?
        } else {
            ignore(body, limits).await?;
            request(Fields::default())?
        };
        let reply = handler(vault, caller, request).await.map_err(Failure::from)?;
        reply.into_answer(&head.headers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (&'static str, Option<&str>) {
        let id = match Router::new().find(&Method::GET, path) {
            Target::Guarded(GuardedTarget::Route { id, .. }) => id,
            Target::Guarded(GuardedTarget::WrongMethod { .. } | GuardedTarget::Nothing) | Target::Open(_) => {
                None
            }
        };
        (Router::new().find(&Method::GET, path).pattern(), id)
    }

    #[test]
    fn every_route_is_found_by_its_path() {
        for route in ROUTES {
            let path = route.path.replace("{id}", "x-1");
            let router = Router::new();
            let target = router.find(&route.method, &path);
            assert_eq!(target.pattern(), route.path);
            if let Target::Guarded(GuardedTarget::Route { id, .. }) = target {
                assert_eq!(id, route.path.contains("{id}").then_some("x-1"));
            }
        }
    }

    #[test]
    fn what_is_known_of_a_path_is_that_nothing_is_odd() {
        let check = |path: &str, known: strict::Path<'_>| {
            let request = hyper::Request::get(path).header("Host", "x").body(()).unwrap();
            strict::check(&request.into_parts().0, known).is_ok()
        };
        for route in ROUTES {
            assert!(check(&route.path.replace("{id}", "1"), strict::Path::Unknown), "{}", route.path);
        }
        let (router, base) = (Router::new(), "/api/v1/user/secrets/");
        for odd in [".", "..", "%2e%2e", "a%2fb", "a\\b", "a%00", "é", ".%2e"] {
            let path = format!("{base}{odd}");
            let target = router.find(&Method::GET, &path);
            assert!(matches!(target.path(), strict::Path::KnownBut(segment) if segment == odd));
            assert!(!check("/", target.path()), "{odd}");
        }
    }

    #[test]
    fn a_path_with_a_name_of_its_own_is_no_id_and_an_id_is_one_segment() {
        let base = "/api/v1/user/secrets";
        assert_eq!(found(&format!("{base}/trash")), ("/api/v1/user/secrets/trash", None));
        assert_eq!(found(&format!("{base}/trashes")), ("/api/v1/user/secrets/{id}", Some("trashes")));
        assert_eq!(found(&format!("{base}/a/versions")), ("/api/v1/user/secrets/{id}/versions", Some("a")));
        for nothing in ["/", "/a", "/a/b/versions", "//versions", "/versions/", "/a/versions/"] {
            let path = format!("{base}{nothing}");
            let expected = if nothing == "/a" { "/api/v1/user/secrets/{id}" } else { "(none)" };
            assert_eq!(found(&path).0, expected, "{path}");
        }
    }
}
