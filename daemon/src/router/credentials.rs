//! `/credentials`: its routes, what their requests are made from, and how their replies are written.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList};
use secrets_proto::{SecretName, UnitName};

use super::approvals::proof;
use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, post, read};
use super::serve::{serve, serve_now};
use crate::handler::credentials::{self as handler, Allow, Revoke};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/credentials", "list_credentials", Right::Whole(AuditAction::CredentialList), |x| {
        serve_now(x, handler::list)
    }),
    post("/api/v1/credentials", "allow_credentials", Right::Whole(AuditAction::CredentialAllow), |x| {
        serve(x, handler::allow)
    }),
    delete("/api/v1/credentials", "revoke_credentials", Right::Whole(AuditAction::CredentialRevoke), |x| {
        serve(x, handler::revoke)
    }),
];

impl FromRequest for Allow {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let unit = parts.required("unit", UnitName::try_from);
        let secrets = parts.list("secrets", 1..=AllowCredentials::MAX_SECRETS, SecretName::try_from);
        let proof = proof(parts);
        let request = AllowCredentials { unit: unit?, secrets: secrets?, proof: None };
        Some(Self { request, proof: proof? })
    }
}

impl FromRequest for Revoke {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let unit = parts.required_parameter("unit", UnitName::parse);
        let name = parts.parameter("name", SecretName::parse);
        Some(Self { unit: unit?, name: name? })
    }
}

json! {
    CredentialList => metadata(OK),
    CredentialGrant => metadata(OK),
}
