//! From HTTP to a handler and back: finds the route, makes the typed request, and writes the typed reply or the
//! error. Of HTTP it knows what is in `http`; it knows no connection and no token.

mod approvals;
mod audit;
mod codec;
mod credentials;
mod error;
mod fleet;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod items;
mod open;
mod route;
mod routes;
mod rules;
mod secrets;
mod serve;
mod service;
mod sessions;
mod tokens;
mod uses;
mod vault;

use std::ops::Range;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

use self::route::{Action, Route, Run};
use self::serve::{Exchange, Serving};
use crate::answering::Answering;
use crate::config::Limits;
use crate::http::body::ignore;
use crate::http::failure::Failure;
use crate::http::head;
use crate::http::response::Response;
use crate::http::service::Pace;

pub use self::routes::{Access, RouteInfo, routes};
pub(crate) use self::service::Api;

/// The routes, by path. They are few and most differ in length, so that looking at one after the other takes less time
/// than a tree would; those that have no id come first.
pub(crate) struct Router {
    endpoints: Vec<Endpoint>,
}

/// All methods of one path.
struct Endpoint {
    /// The path, or what is before the id.
    before: &'static str,
    /// What is after the id, if there is one.
    after: Option<&'static str>,
    methods: Vec<&'static Route>,
    allow: HeaderValue,
}

/// What a request asks for. It borrows nothing from the request, so that it is looked up once.
pub(crate) enum Target {
    /// A route that needs no token.
    Open(OpenTarget),
    /// Anything else, also what does not exist: only a caller gets to know.
    Guarded(GuardedTarget),
}

/// A route that needs no token.
pub(crate) struct OpenTarget {
    pattern: &'static str,
    answer: fn(&HeaderMap) -> Response,
}

impl GuardedTarget {
    fn pace(&self) -> Pace {
        match self {
            Self::Route { route, .. } => route.pace,
            Self::WrongMethod { .. } | Self::Nothing => Pace::Usual,
        }
    }

    fn is_rated(&self) -> bool {
        match self {
            Self::Route { route, .. } => route.is_rated,
            Self::WrongMethod { .. } | Self::Nothing => true,
        }
    }
}

/// A route that needs a caller, or none.
pub(crate) enum GuardedTarget {
    #[doc(hidden)]
    Route { route: &'static Route, id: Option<Range<usize>>, in_memory: bool, run: Run },
    #[doc(hidden)]
    WrongMethod { pattern: &'static str, allow: HeaderValue },
    #[doc(hidden)]
    Nothing,
}

impl Router {
    /// Builds the API's router from its table.
    pub(crate) fn new() -> Self {
        Self::of(&routes::all().collect::<Vec<_>>())
    }

    /// Builds the router of the socket over which values are taken.
    pub(crate) fn of_use() -> Self {
        Self::of(&routes::of_use().collect::<Vec<_>>())
    }

    fn of(routes: &[&'static Route]) -> Self {
        let mut endpoints = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            if routes.iter().take(index).any(|earlier| earlier.path == route.path) {
                continue;
            }
            let methods: Vec<&Route> =
                routes.iter().copied().filter(|other| other.path == route.path).collect();
            // Where there is `GET`, there is `HEAD`.
            let head = methods.iter().any(|route| route.method == Method::GET).then_some("HEAD");
            let names: Vec<&str> = methods.iter().map(|route| route.method.as_str()).chain(head).collect();
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

    /// Finds what a request asks for. `HEAD` is `GET` whose body stays here: hyper sends the head alone.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Target {
        let found = self.endpoints.iter().find_map(|endpoint| Some((endpoint, endpoint.id_in(path)?)));
        let Some((endpoint, id)) = found else { return Target::Guarded(GuardedTarget::Nothing) };
        let Some(route) = endpoint.methods.iter().find(|route| {
            route.method == *method || (*method == Method::HEAD && route.method == Method::GET)
        }) else {
            let pattern = endpoint.methods.first().map_or("", |route| route.path);
            return Target::Guarded(GuardedTarget::WrongMethod { pattern, allow: endpoint.allow.clone() });
        };
        match route.action {
            Action::Open(answer) => Target::Open(OpenTarget { pattern: route.path, answer }),
            Action::Guarded { in_memory, run, .. } => {
                Target::Guarded(GuardedTarget::Route { route, id, in_memory, run })
            }
        }
    }
}

impl Endpoint {
    /// Whether this is the path, and if so where in it the id is, if it has one.
    fn id_in(&self, path: &str) -> Option<Option<Range<usize>>> {
        let Some(after) = self.after else { return (path == self.before).then_some(None) };
        let id = path.strip_prefix(self.before)?.strip_suffix(after)?;
        let start = self.before.len();
        let is_one_segment = !id.is_empty() && memchr::memchr(b'/', id.as_bytes()).is_none();
        is_one_segment.then(|| Some(start..start + id.len()))
    }
}

impl Target {
    /// What is known of the path that led here.
    pub(crate) fn known_of<'a>(&self, path: &'a str) -> head::Path<'a> {
        match self {
            Self::Open(_) => head::Path::Known,
            Self::Guarded(GuardedTarget::Route { id, .. }) => match id {
                None => head::Path::Known,
                Some(id) => path.get(id.clone()).map_or(head::Path::Unknown, head::Path::KnownBut),
            },
            Self::Guarded(GuardedTarget::WrongMethod { .. } | GuardedTarget::Nothing) => head::Path::Unknown,
        }
    }

    /// The route, if it is mostly read from memory.
    pub(crate) const fn in_memory(&self) -> Option<&GuardedTarget> {
        match self {
            Self::Guarded(route @ GuardedTarget::Route { in_memory: true, .. }) => Some(route),
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

impl OpenTarget {
    /// Serves anybody.
    pub(crate) async fn serve(
        self,
        head: &Parts,
        body: Option<Incoming>,
        limits: &Limits,
    ) -> Result<Response, Failure> {
        ignore(body, limits).await?;
        Ok((self.answer)(&head.headers))
    }
}

impl GuardedTarget {
    /// Serves a caller, or refuses one that may not ask for this at all.
    pub(crate) fn serve<'a>(&self, exchange: Exchange<'a>) -> Serving<'a> {
        let failure = match self {
            Self::Route { route, id, run, .. } => {
                let right = route.right(exchange.head.uri.query());
                match right.map_or(Ok(()), |right| exchange.vault.authorize(exchange.caller, right)) {
                    Ok(()) => {
                        let id = id.clone().and_then(|id| exchange.head.uri.path().get(id));
                        return run(Exchange { id, ..exchange });
                    }
                    Err(error) => Failure::from(error),
                }
            }
            Self::WrongMethod { allow, .. } if exchange.head.method == Method::OPTIONS => {
                let told = Response::empty(StatusCode::NO_CONTENT).with(ALLOW, allow.clone());
                let Exchange { body, limits, .. } = exchange;
                return Answering::later(async move {
                    ignore(body, limits).await?;
                    Ok(told)
                });
            }
            Self::WrongMethod { allow, .. } => Failure::no_route(Some(allow.clone())),
            Self::Nothing => Failure::no_route(None),
        };
        let Exchange { body, limits, .. } = exchange;
        if body.is_none() {
            return Answering::now(Err(failure));
        }
        Answering::later(async move {
            // A caller that is still sending would not read what is wrong.
            ignore(body, limits).await?;
            Err(failure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (&'static str, Option<&str>) {
        let target = Router::new().find(&Method::GET, path);
        let pattern = target.pattern();
        let id = match target {
            Target::Guarded(GuardedTarget::Route { id, .. }) => id,
            Target::Guarded(GuardedTarget::WrongMethod { .. } | GuardedTarget::Nothing) | Target::Open(_) => {
                None
            }
        };
        (pattern, id.map(|id| &path[id]))
    }

    #[test]
    fn every_route_is_found_by_its_path() {
        for route in routes::all() {
            let path = route.path.replace("{id}", "x-1");
            let router = Router::new();
            let target = router.find(&route.method, &path);
            assert_eq!(target.pattern(), route.path);
            if let Target::Guarded(GuardedTarget::Route { id, .. }) = target {
                assert_eq!(id.map(|id| &path[id]), route.path.contains("{id}").then_some("x-1"));
            }
        }
    }

    #[test]
    fn what_is_known_of_a_path_is_that_nothing_is_odd() {
        let check = |path: &str, known: head::Path<'_>| {
            let request = hyper::Request::get(path).header("Host", "x").body(()).unwrap();
            head::check(&request.into_parts().0, known).is_ok()
        };
        for route in routes::all() {
            assert!(check(&route.path.replace("{id}", "1"), head::Path::Unknown), "{}", route.path);
        }
        let (router, base) = (Router::new(), "/api/v1/user/secrets/");
        for odd in [".", "..", "%2e%2e", "a%2fb", "a\\b", "a%00", "é", ".%2e"] {
            let path = format!("{base}{odd}");
            let target = router.find(&Method::GET, &path);
            assert!(matches!(target.known_of(&path), head::Path::KnownBut(segment) if segment == odd));
            assert!(!check("/", target.known_of(&path)), "{odd}");
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
