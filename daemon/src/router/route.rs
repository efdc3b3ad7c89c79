//! One route.

use hyper::{HeaderMap, Method};
use secrets_proto::audit::AuditAction;

use super::serve::{Exchange, Serving};
use crate::http::response::Response;
use crate::http::service::Pace;
use crate::vault::Right;

/// One operation.
pub(crate) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path, with `{id}` where an id stands.
    pub(super) path: &'static str,
    /// The operationId in the API's description.
    pub(super) operation: &'static str,
    /// Whether it counts against the rate of a session's token.
    pub(super) is_rated: bool,
    /// How long it may take.
    pub(super) pace: Pace,
    /// Who may ask for it, and what is done.
    pub(super) action: Action,
}

impl Route {
    /// The route, for what takes the longer the larger the vault is.
    pub(super) const fn slow(mut self) -> Self {
        self.pace = Pace::Slow;
        self
    }

    /// The route, for what waits until something happens.
    pub(super) const fn waiting(mut self) -> Self {
        self.pace = Pace::Waits;
        self
    }

    /// What this request takes of its caller; `None` if anybody may ask.
    pub(super) fn right(&self, query: Option<&str>) -> Option<Right> {
        let Action::Guarded { right, .. } = self.action else { return None };
        let purges = || query.is_some_and(|query| query.split('&').any(|pair| pair == "purge=true"));
        Some(match right {
            // It is refused as what it would have done.
            Right::Scope(scope, AuditAction::Delete) if purges() => Right::Scope(scope, AuditAction::Purge),
            right @ (Right::Token(_) | Right::Scope(..) | Right::AdminOrItems(_) | Right::Whole(_)) => right,
        })
    }
}

/// Who may ask for a route, and what is done.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// Anybody who may use the socket.
    Open(fn(&HeaderMap) -> Response),
    /// A caller with this right.
    Guarded {
        /// What is asked for before anything of the request is read: a caller that may not ask is told just that, whatever
        /// it has sent. The vault asks again, as the first step of the operation.
        right: Right,
        /// Whether it is read from memory, mostly, so that it is worth while to ask for it without a future.
        in_memory: bool,
        /// Serves an exchange.
        run: Run,
    },
}

/// Serves one exchange.
pub(super) type Run = for<'a> fn(Exchange<'a>) -> Serving<'a>;

/// A `GET` for anybody.
pub(super) const fn open(
    path: &'static str,
    operation: &'static str,
    answer: fn(&HeaderMap) -> Response,
) -> Route {
    Route {
        method: Method::GET,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Open(answer),
    }
}

/// A `GET` that is read from memory.
pub(super) const fn read(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::GET,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: true, run },
    }
}

/// A `GET`.
pub(super) const fn get(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::GET,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: false, run },
    }
}

/// A `POST`.
pub(super) const fn post(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::POST,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: false, run },
    }
}

/// A `PUT`.
pub(super) const fn put(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::PUT,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: false, run },
    }
}

/// A `PATCH`.
pub(super) const fn patch(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::PATCH,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: false, run },
    }
}

/// A `DELETE`.
pub(super) const fn delete(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    Route {
        method: Method::DELETE,
        path,
        operation,
        is_rated: true,
        pace: Pace::Usual,
        action: Action::Guarded { right, in_memory: false, run },
    }
}

/// A `POST` by which a session tells what it owes the audit log.
pub(super) const fn tell(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    let action = Action::Guarded { right, in_memory: false, run };
    Route { method: Method::POST, path, operation, is_rated: false, pace: Pace::Usual, action }
}

/// A `DELETE` by which a session ends itself.
pub(super) const fn end(path: &'static str, operation: &'static str, right: Right, run: Run) -> Route {
    let action = Action::Guarded { right, in_memory: false, run };
    Route { method: Method::DELETE, path, operation, is_rated: false, pace: Pace::Usual, action }
}
