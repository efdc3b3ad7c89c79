//! `/tokens`: its routes, what their requests are made from, and how their replies are written.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::token::{CreateToken, TokenList, TokenName};
use secrets_proto::{API_BASE, Glob};

use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, post, read};
use super::serve::{serve, serve_now};
use crate::caller::Scope;
use crate::handler::tokens::{self as handler, NewToken};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/tokens", "list_tokens", Right::Whole(AuditAction::TokenList), |x| {
        serve_now(x, handler::list)
    }),
    post("/api/v1/tokens", "create_token", Right::Whole(AuditAction::TokenCreate), |x| {
        serve(x, handler::create)
    }),
    delete("/api/v1/tokens/{id}", "revoke_token", Right::Whole(AuditAction::TokenRevoke), |x| {
        serve(x, handler::revoke)
    }),
];

impl FromRequest for CreateToken {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let name = parts.required("name", TokenName::try_from);
        let scopes = parts.list("scopes", 1..=Scope::ALL.len(), Scope::try_from);
        // An empty list is refused: it could be taken for no limit, and a token that sees nothing is of no use.
        let secrets = parts.nullable_list("secrets", 1..=Self::MAX_GLOBS, Glob::try_from);
        let ttl_seconds = parts.nullable_number("ttl_seconds", 1..=Self::MAX_TTL);
        let rate_per_minute = parts.nullable_number("rate_per_minute", 1..=Self::MAX_RATE);
        Some(Self {
            name: name?,
            scopes: scopes?,
            secrets: secrets?,
            ttl_seconds: ttl_seconds?,
            rate_per_minute: rate_per_minute?.flatten(),
        })
    }
}

impl IntoResponse for NewToken {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        let answer = Response::sensitive(StatusCode::CREATED, &self.0)?;
        let location = HeaderValue::try_from(format!("{API_BASE}/tokens/{}", self.0.info.id));
        Ok(match location {
            Ok(location) => answer.with(LOCATION, location),
            Err(_) => answer,
        })
    }
}

json! {
    TokenList => metadata(OK),
}
