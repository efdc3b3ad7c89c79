//! The socket over which values are taken: its routes, what their requests are made from, and how their replies are
//! written. No other socket has them.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::rule::{Host, Method, RequestPath, Site};
use secrets_proto::session::{
    AnyHost, RefusedRequest, RefusedUse, ReturnedLease, TakeReply, TakeRequest, Use, WhyRefused,
};
use secrets_proto::{FieldErrorType, Invalid, SecretName, Uuid};

use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, post, tell};
use super::serve::serve;
use crate::caller::Scope;
use crate::handler::uses as handler;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    post("/api/v1/use/take", "take_value", Right::Scope(Scope::Use, AuditAction::Use), |x| {
        serve(x, handler::take)
    }),
    tell("/api/v1/use/returns", "return_lease", Right::Scope(Scope::Use, AuditAction::Use), |x| {
        serve(x, handler::returned)
    }),
    tell("/api/v1/use/refusals", "tell_refusal", Right::Scope(Scope::Use, AuditAction::Use), |x| {
        serve(x, handler::refused)
    }),
];

impl FromRequest for Use {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let method = parts.required("method", Method::try_from);
        let host = parts.required("host", Host::try_from);
        let port = parts.port("port");
        let path = parts.required("path", RequestPath::try_from);
        Some(Self { method: method?, host: host?, port: port?, path: path? })
    }
}

impl FromRequest for TakeRequest {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secret = parts.required("secret", SecretName::try_from);
        let (wanted, site) = (Use::take(parts), parts.nullable("site", Site::try_from));
        let lease = parts.flag("lease");
        Some(Self { secret: secret?, wanted: wanted?, site: site?.flatten(), lease: lease? })
    }
}

impl FromRequest for ReturnedLease {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let id = parts.required("id", |text| {
            Uuid::parse_str(&text)
                .map_err(|_| Invalid::new(FieldErrorType::UuidParsing, "expected a UUID of 36 characters"))
        });
        Some(Self { id: id?, uses: parts.number("uses")? })
    }
}

impl FromRequest for RefusedUse {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secret = parts.nullable("secret", SecretName::try_from);
        let method = parts.required("method", Method::try_from);
        let host = parts.required("host", AnyHost::try_from);
        let port = parts.port("port");
        let path = parts.required("path", RequestPath::try_from);
        let why = parts.required("why", |text| WhyRefused::parse(&text));
        let refused = RefusedRequest { method: method?, host: host?, port: port?, path: path? };
        Some(Self { secret: secret?.flatten(), refused, why: why? })
    }
}

json! {
    TakeReply => sensitive(OK),
}
