//! `/use/sessions`: its routes, what their requests are made from, and how their replies are written.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::session::BeginSession;
use secrets_proto::{API_BASE, SecretName};

use super::codec::{FromRequest, IntoResponse};
use super::route::{Route, end, post};
use super::serve::serve;
use crate::caller::Scope;
use crate::handler::sessions::{self as handler, NewSession};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    post("/api/v1/use/sessions", "begin_session", Right::Scope(Scope::Use, AuditAction::UseBegin), |x| {
        serve(x, handler::begin)
    }),
    end("/api/v1/use/sessions/{id}", "end_session", Right::Scope(Scope::Use, AuditAction::UseEnd), |x| {
        serve(x, handler::end)
    }),
];

impl FromRequest for BeginSession {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secrets = parts.list("secrets", 1..=Self::MAX_SECRETS, SecretName::try_from);
        let ttl_seconds = parts.nullable_number("ttl_seconds", 1..=Self::MAX_TTL);
        let purpose = parts.required("purpose", Purpose::try_from);
        let command = parts.nullable("command", Remark::try_from);
        let learn = parts.flag("learn");
        Some(Self {
            secrets: secrets?,
            ttl_seconds: ttl_seconds?.flatten(),
            purpose: purpose?,
            command: command?.flatten(),
            learn: learn?,
        })
    }
}

impl IntoResponse for NewSession {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        let answer = Response::sensitive(StatusCode::CREATED, &self.0)?;
        let location = HeaderValue::try_from(format!("{API_BASE}/use/sessions/{}", self.0.id));
        Ok(match location {
            Ok(location) => answer.with(LOCATION, location),
            Err(_) => answer,
        })
    }
}
