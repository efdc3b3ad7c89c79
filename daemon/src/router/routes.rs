//! The one table of routes. Dispatch is built from it, and so are the authorization matrix of the tests and the
//! OpenAPI document: a route that is not here does not exist.

use std::pin::Pin;

use hyper::{HeaderMap, Method};

use super::answer::Answer;
use super::error::Failure;
use super::{Asked, Exchange, open, serve, serve_if_now, serve_now};
use crate::caller::{Caller, Scope};
use crate::handler::{audit, credentials, secrets, tokens, vault};
use crate::vault::Vault;

/// One operation.
pub(crate) struct Route {
    /// Its method.
    pub(super) method: Method,
    /// Its path, with `{id}` where an id stands.
    pub(super) path: &'static str,
    /// Its operationId.
    pub(super) operation: &'static str,
    /// Who may ask for it, and what is done.
    pub(super) action: Action,
}

/// Who may ask for a route, and what is done.
pub(super) enum Action {
    /// Anybody who may use the socket.
    Open(fn(&HeaderMap) -> Answer),
    /// A caller with this right, or with any token.
    Guarded(Option<Scope>, Run),
}

/// Serves one exchange.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// At once, after the body that nobody wants.
    Now(Now),
    /// When what it waits for is there.
    Later(Later),
    /// At once if that is possible, else later.
    NowOrLater(Now, Later),
}

/// `None`: not at once.
pub(crate) type Now = fn(&Vault, &Caller, &Asked<'_>) -> Result<Option<Answer>, Failure>;
type Later = for<'a> fn(Exchange<'a>) -> Running<'a>;

/// An exchange being served.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// Every route of the API.
pub(super) static ROUTES: &[Route] = &[
    open("/healthz", "health", open::health),
    open("/api/v1/openapi.json", "get_openapi", open::contract),
    Route {
        method: Method::GET,
        path: "/api/v1/user/secrets",
        operation: "list_secrets",
        action: Action::Guarded(
            Some(Scope::List),
            Run::NowOrLater(
                |v, c, x| serve_if_now(v, c, x, secrets::rendered_list),
                |x| serve(x, secrets::list),
            ),
        ),
    },
    post("/api/v1/user/secrets", "create_secret", Some(Scope::Write), |x| serve(x, secrets::create)),
    read("/api/v1/user/secrets/presets", "get_provider_presets", Scope::List, |v, c, x| {
        serve_now(v, c, x, secrets::presets)
    }),
    post("/api/v1/user/secrets/preset", "create_secret_from_preset", Some(Scope::Write), |x| {
        serve(x, secrets::create_from_preset)
    }),
    read("/api/v1/user/secrets/{id}", "get_secret", Scope::List, |v, c, x| serve_now(v, c, x, secrets::get)),
    put("/api/v1/user/secrets/{id}", "update_secret", Some(Scope::Write), |x| serve(x, secrets::update)),
    patch("/api/v1/user/secrets/{id}", "edit_secret", Some(Scope::Write), |x| serve(x, secrets::edit)),
    delete("/api/v1/user/secrets/{id}", "delete_secret", Some(Scope::Write), |x| serve(x, secrets::delete)),
    post("/api/v1/user/secrets/reveal", "reveal_secrets", Some(Scope::Reveal), |x| serve(x, secrets::reveal)),
    get("/api/v1/user/secrets/{id}/versions", "list_versions", Some(Scope::List), |x| {
        serve(x, secrets::versions)
    }),
    post("/api/v1/user/secrets/{id}/rollback", "rollback_secret", Some(Scope::Write), |x| {
        serve(x, secrets::rollback)
    }),
    get("/api/v1/user/secrets/trash", "list_trash", Some(Scope::List), |x| serve(x, secrets::trash)),
    post("/api/v1/user/secrets/{id}/restore", "restore_secret", Some(Scope::Write), |x| {
        serve(x, secrets::restore)
    }),
    get("/api/v1/vault", "get_vault", None, |x| serve(x, vault::status)),
    post("/api/v1/vault/init", "init_vault", Some(Scope::Admin), |x| serve(x, vault::init)),
    post("/api/v1/vault/unlock", "unlock_vault", Some(Scope::Admin), |x| serve(x, vault::unlock)),
    post("/api/v1/vault/lock", "lock_vault", Some(Scope::Admin), |x| serve(x, vault::lock)),
    post("/api/v1/vault/verify", "verify_vault", Some(Scope::Admin), |x| serve(x, vault::verify)),
    get("/api/v1/vault/backup", "backup_vault", Some(Scope::Admin), |x| serve(x, vault::backup)),
    post("/api/v1/vault/rotate", "rotate_vault", Some(Scope::Admin), |x| serve(x, vault::rotate)),
    get("/api/v1/vault/keys", "list_keys", Some(Scope::Admin), |x| serve(x, vault::keys)),
    post("/api/v1/vault/keys", "add_key", Some(Scope::Admin), |x| serve(x, vault::add_key)),
    delete("/api/v1/vault/keys/{id}", "remove_key", Some(Scope::Admin), |x| serve(x, vault::remove_key)),
    get("/api/v1/credentials", "list_credentials", Some(Scope::Admin), |x| serve(x, credentials::list)),
    post("/api/v1/credentials", "allow_credentials", Some(Scope::Admin), |x| serve(x, credentials::allow)),
    delete("/api/v1/credentials", "revoke_credentials", Some(Scope::Admin), |x| {
        serve(x, credentials::revoke)
    }),
    get("/api/v1/tokens", "list_tokens", Some(Scope::Admin), |x| serve(x, tokens::list)),
    post("/api/v1/tokens", "create_token", Some(Scope::Admin), |x| serve(x, tokens::create)),
    delete("/api/v1/tokens/{id}", "revoke_token", Some(Scope::Admin), |x| serve(x, tokens::revoke)),
    get("/api/v1/audit", "list_audit", Some(Scope::Admin), |x| serve(x, audit::list)),
    get("/api/v1/audit/verify", "verify_audit", Some(Scope::Admin), |x| serve(x, audit::verify)),
];

const fn open(path: &'static str, operation: &'static str, answer: fn(&HeaderMap) -> Answer) -> Route {
    Route { method: Method::GET, path, operation, action: Action::Open(answer) }
}

const fn get(path: &'static str, operation: &'static str, scope: Option<Scope>, run: Later) -> Route {
    Route { method: Method::GET, path, operation, action: Action::Guarded(scope, Run::Later(run)) }
}

/// What is read from memory.
const fn read(path: &'static str, operation: &'static str, scope: Scope, run: Now) -> Route {
    Route { method: Method::GET, path, operation, action: Action::Guarded(Some(scope), Run::Now(run)) }
}

const fn post(path: &'static str, operation: &'static str, scope: Option<Scope>, run: Later) -> Route {
    Route { method: Method::POST, path, operation, action: Action::Guarded(scope, Run::Later(run)) }
}

const fn put(path: &'static str, operation: &'static str, scope: Option<Scope>, run: Later) -> Route {
    Route { method: Method::PUT, path, operation, action: Action::Guarded(scope, Run::Later(run)) }
}

const fn patch(path: &'static str, operation: &'static str, scope: Option<Scope>, run: Later) -> Route {
    Route { method: Method::PATCH, path, operation, action: Action::Guarded(scope, Run::Later(run)) }
}

const fn delete(path: &'static str, operation: &'static str, scope: Option<Scope>, run: Later) -> Route {
    Route { method: Method::DELETE, path, operation, action: Action::Guarded(scope, Run::Later(run)) }
}

/// What the table says about a route, for tests and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: &'static str,
    /// The path, with `{id}` where an id stands.
    pub path: &'static str,
    /// The operationId.
    pub operation: &'static str,
    /// Who may ask.
    pub access: Access,
}

/// Who may ask for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody who may use the socket.
    Open,
    /// Any token.
    Token,
    /// A token with this scope.
    Scope(&'static str),
}

/// The table of routes.
pub fn routes() -> impl Iterator<Item = RouteInfo> {
    ROUTES.iter().map(|route| RouteInfo {
        method: route.method.as_str(),
        path: route.path,
        operation: route.operation,
        access: match &route.action {
            Action::Open(_) => Access::Open,
            Action::Guarded(None, _) => Access::Token,
            Action::Guarded(Some(scope), _) => Access::Scope(scope.as_str()),
        },
    })
}
