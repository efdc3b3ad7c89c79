//! The table of routes, by noun. Dispatch is built from it, and so are the authorization matrix of the tests and the
//! OpenAPI document: a route that is not here does not exist.

use super::route::{Action, Route};
use super::{
    approvals, audit, credentials, fleet, items, open, rules, secrets, sessions, tokens, uses, vault,
};
use crate::caller::Scope;
use crate::vault::Right;

/// Every route of the API.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    let nouns = [
        open::ROUTES,
        secrets::ROUTES,
        rules::ROUTES,
        approvals::ROUTES,
        items::ROUTES,
        vault::ROUTES,
        credentials::ROUTES,
        tokens::ROUTES,
        sessions::ROUTES,
        fleet::ROUTES,
        audit::ROUTES,
    ];
    nouns.into_iter().flatten()
}

/// Every route of the socket over which values are taken.
pub(super) fn of_use() -> impl Iterator<Item = &'static Route> {
    uses::ROUTES.iter()
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
    /// A token with one of these scopes.
    Either(&'static str, &'static str),
}

/// The table of routes.
pub fn routes() -> impl Iterator<Item = RouteInfo> {
    all().map(|route| RouteInfo {
        method: route.method.as_str(),
        path: route.path,
        operation: route.operation,
        access: match route.action {
            Action::Open(_) => Access::Open,
            Action::Guarded { right: Right::Token(_), .. } => Access::Token,
            Action::Guarded { right: Right::Scope(scope, _), .. } => Access::Scope(scope.as_str()),
            Action::Guarded { right: Right::AdminOrItems(_), .. } => {
                Access::Either(Scope::Admin.as_str(), Scope::Items.as_str())
            }
            Action::Guarded { right: Right::Whole(_), .. } => Access::Scope(Scope::Admin.as_str()),
        },
    })
}
