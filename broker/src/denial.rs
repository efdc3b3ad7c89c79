//! Answers of the broker's own: why a request went no further, and what would let it.

use std::borrow::Cow;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use secrets_proto::session::WhyRefused;
use secrets_proto::{ErrorType, SecretName};
use serde::Serialize;

use crate::body::{Body, DENIED};
use crate::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a request is answered by the broker. Nothing in it was sent by the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    kind: ErrorType,
    item: &'static str,
    /// The secret that was meant, and the number of its rule if one was concerned.
    secret: Option<SecretName>,
    rule: Option<usize>,
    message: Cow<'static, str>,
    /// What the daemon is told, if it is a refusal that belongs in the audit log.
    why: Option<WhyRefused>,
    retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    code: u16,
    detail: &'a str,
    #[serde(rename = "type")]
    kind: ErrorType,
    errors: [Item<'a>; 1],
}

#[derive(Serialize)]
struct Item<'a> {
    loc: [&'a str; 2],
    msg: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl Denial {
    /// A failure that is nobody's attempt: `item` names it.
    pub(crate) fn failure(
        kind: ErrorType,
        item: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, item, secret: None, rule: None, message: message.into(), why: None, retry_after: None }
    }

    /// A refusal, which the audit log is told of.
    pub(crate) fn refusal(why: WhyRefused, message: impl Into<Cow<'static, str>>) -> Self {
        let kind = match why {
            WhyRefused::HostMismatch | WhyRefused::AmbiguousPath | WhyRefused::Smuggling => {
                ErrorType::InvalidRequestError
            }
            WhyRefused::PlaceholderEnded => ErrorType::AuthenticationError,
            WhyRefused::HostNotAllowed
            | WhyRefused::RuleMismatch
            | WhyRefused::PlaceholderMisplaced
            | WhyRefused::PlaceholderRepeated
            | WhyRefused::BodyForm
            | WhyRefused::SignatureForm
            | WhyRefused::PlainHttp
            | WhyRefused::PrivateAddress => ErrorType::ForbiddenError,
        };
        Self { why: Some(why), ..Self::failure(kind, why.as_str(), message) }
    }

    /// Names the secret that was meant, and the number of its rule if one was concerned.
    pub(crate) fn about(self, secret: &SecretName, rule: Option<usize>) -> Self {
        Self { secret: Some(secret.clone()), rule, ..self }
    }

    /// Says after how many seconds another try makes sense.
    pub(crate) fn retry_after(self, seconds: Option<u64>) -> Self {
        Self { retry_after: seconds, ..self }
    }

    /// Says that the audit log knows of it.
    pub(crate) fn told_already(self) -> Self {
        Self { why: None, ..self }
    }

    /// What the audit log is told, if anything.
    pub(crate) const fn why(&self) -> Option<WhyRefused> {
        self.why
    }

    /// The secret that was meant.
    pub(crate) fn secret(&self) -> Option<&SecretName> {
        self.secret.as_ref()
    }

    /// The item's name, for the log.
    pub(crate) const fn item(&self) -> &'static str {
        self.item
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Body> {
        let rule = match (&self.secret, self.rule) {
            (Some(secret), Some(number)) => format!("{secret}/{number}"),
            (Some(secret), None) => secret.to_string(),
            (None, _) => "-".to_owned(),
        };
        let detail = if self.kind.code() < 500 {
            "secretsd did not send this request on"
        } else {
            "secretsd could not send this request on"
        };
        let envelope = Envelope {
            code: self.kind.code(),
            detail,
            kind: self.kind,
            errors: [Item { loc: ["rule", &rule], msg: &self.message, kind: self.item }],
        };
        let json = serde_json::to_vec(&envelope).unwrap_or_default();
        let mut response = Response::new(Body::full(Bytes::from(json)));
        *response.status_mut() =
            StatusCode::from_u16(self.kind.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(DENIED, HeaderValue::from_str(&rule).unwrap_or(HeaderValue::from_static("-")));
        if let Ok(id) = HeaderValue::from_str(&HEXLOWER.encode(&random::bytes::<12>())) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
