//! `/audit`: its routes, what their requests are made from, and how their replies are written.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::{ArchiveAudit, AuditAction, AuditArchived, AuditList, AuditVerified};
use secrets_proto::selector::parse_id;
use secrets_proto::{FieldErrorType, Invalid, SecretName, Timestamp};

use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, get, post};
use super::serve::{serve, serve_costly};
use crate::caller::Scope;
use crate::handler::audit as handler;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::{AuditQuery, Right};

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    get("/api/v1/audit", "list_audit", Right::Scope(Scope::Admin, AuditAction::Audit), |x| {
        serve_costly(x, "application/json", handler::list)
    }),
    get("/api/v1/audit/verify", "verify_audit", Right::Whole(AuditAction::Audit), |x| {
        serve_costly(x, "application/json", handler::verify)
    }),
    post("/api/v1/audit/archive", "archive_audit", Right::Whole(AuditAction::AuditArchive), |x| {
        serve(x, handler::archive)
    }),
];

impl FromRequest for AuditQuery {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let since = parts.parameter("since", Timestamp::parse);
        let name = parts.parameter("name", SecretName::parse);
        let session = parts.parameter("session", |text| {
            parse_id(text).ok_or(Invalid::new(FieldErrorType::UuidParsing, "expected the id of a session"))
        });
        let before = parts.parameter("before", |text| {
            whole(text)
                .filter(|number| *number > 0)
                .ok_or(Invalid::new(FieldErrorType::IntParsing, "expected a whole number of at least 1"))
        });
        let limit = parts.parameter("limit", limit);
        let limit = Some(limit?.unwrap_or(DEFAULT_LIMIT));
        Some(Self { since: since?, name: name?, session: session?, before: before?, limit })
    }
}

impl FromRequest for ArchiveAudit {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { through: parts.number("through")? })
    }
}

/// How many audit entries an answer has unless asked.
const DEFAULT_LIMIT: usize = 100;

fn limit(text: &str) -> Result<usize, Invalid> {
    whole(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (1..=1_000).contains(number))
        .ok_or(Invalid::new(FieldErrorType::IntParsing, "expected a whole number from 1 to 1000"))
}

/// A number of digits alone.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

json! {
    AuditList => metadata(OK),
    AuditVerified => metadata(OK),
    AuditArchived => metadata(OK),
}
