//! The vault's API as the server serves it.

use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;

use super::serve::{Exchange, Serving};
use super::{Router, Target};
use crate::answering::Answering;
use crate::config::Limits;
use crate::http::failure::Failure;
use crate::http::head;
use crate::http::response::Response;
use crate::http::service::{self, Pace, Request, Service};
use crate::vault::Vault;

/// The routes, with the vault that they are about.
pub(crate) struct Api {
    router: Router,
    vault: Vault,
}

impl Api {
    /// The API of a vault.
    pub(crate) fn new(vault: Vault) -> Self {
        Self { router: Router::new(), vault }
    }

    /// What the socket over which values are taken serves of a vault.
    pub(crate) fn of_use(vault: Vault) -> Self {
        Self { router: Router::of_use(), vault }
    }
}

impl Service for Api {
    type Target = Target;

    fn find(&self, method: &Method, path: &str) -> Target {
        self.router.find(method, path)
    }

    async fn serve_anybody(
        &self,
        target: Target,
        head: &Parts,
        body: Option<Incoming>,
        limits: &Limits,
    ) -> Result<Response, Failure> {
        match target {
            Target::Open(target) => target.serve(head, body, limits).await,
            Target::Guarded(_) => Err(Failure::internal("a route that needs a caller has none")),
        }
    }

    fn serve<'a>(&'a self, target: &Target, request: Request<'a>) -> Serving<'a> {
        let Request { caller, head, body, limits } = request;
        match target {
            Target::Guarded(target) => {
                target.serve(Exchange { vault: &self.vault, caller, head, body, limits, id: None })
            }
            Target::Open(_) => Answering::now(Err(Failure::internal("a route that needs no caller has one"))),
        }
    }
}

impl service::Target for Target {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    fn is_rated(&self) -> bool {
        match self {
            Self::Guarded(target) => target.is_rated(),
            Self::Open(_) => true,
        }
    }

    fn pace(&self) -> Pace {
        match self {
            Self::Guarded(target) => target.pace(),
            Self::Open(_) => Pace::Usual,
        }
    }

    fn is_in_memory(&self) -> bool {
        self.in_memory().is_some()
    }

    fn pattern(&self) -> &'static str {
        self.pattern()
    }

    fn known_of<'a>(&self, path: &'a str) -> head::Path<'a> {
        self.known_of(path)
    }
}
