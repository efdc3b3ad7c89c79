//! `/user/secrets/{id}/rules`: its routes, what their requests are made from, and how their replies are written.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::rule::{HostPattern, Method, PathPattern, Rule, Site};

use super::codec::{FromRequest, IntoResponse};
use super::route::{Route, put, read};
use super::serve::{serve, serve_now};
use crate::caller::Scope;
use crate::handler::rules::{self as handler, Rules, Set};
use crate::http::conditional;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/user/secrets/{id}/rules", "get_rules", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve_now(x, handler::get)
    }),
    put(
        "/api/v1/user/secrets/{id}/rules",
        "set_rules",
        Right::Scope(Scope::Admin, AuditAction::RuleSet),
        |x| serve(x, handler::set),
    ),
];

impl FromRequest for Set {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let rules = parts.objects("rules", 0..=Rule::MAX, Rule::take);
        Some(Self { id: id?, rules: rules?, expected: expected? })
    }
}

impl FromRequest for Rule {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let lengths = 1..=Self::MAX_PARTS;
        let host = parts.required("host", HostPattern::try_from);
        let methods = parts.nullable_list("methods", lengths.clone(), Method::try_from);
        let paths = parts.nullable_list("paths", lengths.clone(), PathPattern::try_from);
        let except = parts.nullable_list("except", lengths, PathPattern::try_from);
        let (site, private) = (parts.required("site", Site::try_from), parts.flag("private"));
        Some(Self {
            host: host?,
            methods: methods?.unwrap_or_default(),
            paths: paths?.unwrap_or_default(),
            except: except?.unwrap_or_default(),
            site: site?,
            private: private?,
        })
    }
}

impl IntoResponse for Rules {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        let Self(rules, version) = self;
        // Never 304: a preset's rules change with the program, without a new version of the secret.
        let answer = Response::metadata(StatusCode::OK, &rules)?;
        Ok(match conditional::version_tag(version) {
            Some(tag) => answer.tagged(tag),
            None => answer,
        })
    }
}
