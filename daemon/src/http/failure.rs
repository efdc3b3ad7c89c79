//! Errors on their way out: what a caller is told, in fixed text, and what the log is told.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use secrets_proto::approval::APPROVAL_HEADER;
use secrets_proto::audit::Refusal;
use secrets_proto::{ErrorBody, ErrorType, FieldError, FieldErrorType, Invalid, Loc, Uuid};

use super::response::{Response, Unwritable};
use crate::caller::TokenRights;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Failure {
    body: Box<ErrorBody>,
    header: Header,
    close: bool,
    /// For the log only.
    cause: Option<String>,
    /// For the audit log only.
    refusal: Option<Refusal>,
    /// The token that was shown, if it is known; for the audit log only.
    holder: Option<Arc<TokenRights>>,
}

/// The header that goes with some errors.
#[derive(Debug)]
enum Header {
    None,
    Allow(HeaderValue),
    Challenge,
    RetryAfter(u32),
    Upgrade(&'static str),
    Approval(Uuid),
}

impl Failure {
    /// An error of this type, with a text that says what to do.
    pub(crate) fn new(kind: ErrorType, detail: &'static str) -> Self {
        let body = Box::new(ErrorBody::new(kind, detail));
        Self { body, header: Header::None, close: false, cause: None, refusal: None, holder: None }
    }

    /// 400: the request cannot be read.
    pub(crate) fn invalid_request(detail: &'static str) -> Self {
        Self::new(ErrorType::InvalidRequestError, detail)
    }

    /// 422: these fields are at fault.
    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let is_too_large = errors.iter().any(|error| error.kind == FieldErrorType::LimitExceeded);
        let failure = if is_too_large {
            Self::new(
                ErrorType::LimitExceededError,
                "An item cannot be so large; nothing was done, see errors",
            )
        } else {
            Self::new(ErrorType::ValidationError, "Some fields are missing or malformed; see errors")
        };
        failure.with_errors(errors)
    }

    /// 401: no caller.
    pub(crate) fn unauthenticated(detail: &'static str) -> Self {
        Self::challenge(ErrorType::AuthenticationError, detail)
    }

    /// 401: another token is needed, for the reason that this type tells.
    pub(crate) fn challenge(kind: ErrorType, detail: &'static str) -> Self {
        Self { header: Header::Challenge, ..Self::new(kind, detail) }
    }

    /// 404: nothing is there, for this method or for any.
    pub(crate) fn no_route(allow: Option<HeaderValue>) -> Self {
        let Some(allow) = allow else {
            return Self::new(
                ErrorType::NotFoundError,
                "No such route; the API's routes begin with /api/v1/user/secrets and /api/v1/vault",
            );
        };
        let detail = "This route does not support this method; see the Allow header";
        Self { header: Header::Allow(allow), ..Self::new(ErrorType::NotFoundError, detail) }
    }

    /// 426: another protocol is needed.
    pub(crate) fn upgrade(protocol: &'static str, detail: &'static str) -> Self {
        Self { header: Header::Upgrade(protocol), ..Self::new(ErrorType::UpgradeRequiredError, detail) }
    }

    /// 429: come back after this many seconds.
    pub(crate) fn rate_limit(seconds: u32, detail: &'static str) -> Self {
        Self { header: Header::RetryAfter(seconds), ..Self::new(ErrorType::RateLimitError, detail) }
    }

    /// 429: a person must allow it, and as much waits for that person as may.
    pub(crate) fn too_many_asks() -> Self {
        let invalid = Invalid::new(
            FieldErrorType::TooLong,
            "too many asks wait for a person already, and each ends when it is answered or after 5 minutes; answer them with: secretctl approve",
        );
        let detail = "Too many asks wait for a person already, and each ends when it is answered or after 5 minutes; answer them with `secretctl approve`, then repeat";
        Self::rate_limit(5, detail).with_errors(vec![FieldError::new(vec![Loc::field("approval")], invalid)])
    }

    /// 403: a person must allow it; this ask waits.
    pub(crate) fn approval(ask: Uuid) -> Self {
        let detail = "This is guarded, and nobody has allowed it yet; answer the ask with `secretctl approve`, then repeat";
        let error = FieldError {
            loc: vec![Loc::field("approval")],
            msg: ask.to_string().into(),
            kind: FieldErrorType::Approval,
        };
        let failure = Self::new(ErrorType::ApprovalRequiredError, detail).with_errors(vec![error]);
        Self { header: Header::Approval(ask), ..failure }
    }

    /// 500: a bug.
    pub(crate) fn internal(cause: &'static str) -> Self {
        Self::new(ErrorType::InternalError, "The daemon has a bug; see its log for this X-Request-Id")
            .with_cause(cause.to_owned())
    }

    /// Ends the connection after this failure.
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Sets what the audit log is told of this failure. What the vault itself refuses, it tells.
    pub(crate) fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// What the audit log is to be told.
    pub(crate) const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Sets the token that was shown, if it is known.
    pub(crate) fn of(self, holder: Option<Arc<TokenRights>>) -> Self {
        Self { holder, ..self }
    }

    /// The token that was shown, if it is known although it makes nobody a caller.
    pub(crate) const fn holder(&self) -> Option<&Arc<TokenRights>> {
        self.holder.as_ref()
    }

    /// 500: the vault is not as it was written. The text names what was found, never what was asked.
    pub(crate) fn corrupt(detail: String) -> Self {
        Self::found(ErrorType::VaultCorruptError, detail)
    }

    /// An error whose text names what was found, never what was asked.
    pub(crate) fn found(kind: ErrorType, detail: String) -> Self {
        let mut failure = Self::new(kind, "");
        failure.body.detail = detail.into();
        failure
    }

    /// With these faults of fields.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.body.errors = errors;
        self
    }

    /// With a cause for the log, and for the log only.
    pub(crate) fn with_cause(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Tells the log the cause, and makes the response.
    pub(crate) fn into_response(self, request_id: &str) -> Response {
        let Self { body, header, close, cause, refusal: _, holder: _ } = self;
        let kind = body.kind;
        let cause = cause.as_deref().unwrap_or(&body.detail);
        match body.code {
            500.. => tracing::error!(request = request_id, ?kind, cause, "request failed"),
            _ => tracing::debug!(request = request_id, ?kind, cause, "request refused"),
        }
        let status = StatusCode::from_u16(body.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Response::json(status, serde_json::to_vec(&body).unwrap_or_default());
        let answer = match header {
            Header::None => answer,
            Header::Allow(methods) => answer.with(ALLOW, methods),
            Header::Challenge => answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Header::RetryAfter(seconds) => answer.with(RETRY_AFTER, HeaderValue::from(seconds)),
            Header::Approval(ask) => match HeaderValue::try_from(ask.to_string()) {
                Ok(ask) => answer.with(HeaderName::from_static(APPROVAL_HEADER), ask),
                Err(_) => answer,
            },
            Header::Upgrade(protocol) => {
                // Two of a kind, one line: a connection that closes also names the header that is its own.
                let connection = if close { "Upgrade, close" } else { "Upgrade" };
                return answer
                    .with(UPGRADE, HeaderValue::from_static(protocol))
                    .with(CONNECTION, HeaderValue::from_static(connection));
            }
        };
        if close { answer.with(CONNECTION, HeaderValue::from_static("close")) } else { answer }
    }
}

impl From<Unwritable> for Failure {
    fn from(Unwritable: Unwritable) -> Self {
        Self::internal("a reply cannot be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    fn headers_of(failure: Failure) -> HeaderMap {
        failure.into_response("id").into_http("id".into(), HeaderMap::new()).into_parts().0.headers
    }

    #[test]
    fn the_headers_that_go_with_an_error_are_there() {
        let headers = headers_of(Failure::unauthenticated("x").closing());
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(headers[CONNECTION], "close");
        let headers = headers_of(Failure::no_route(Some(HeaderValue::from_static("GET"))));
        assert_eq!(headers[ALLOW], "GET");
        let headers = headers_of(Failure::upgrade("HTTP/1.1", "x").closing());
        assert_eq!(
            (&headers[UPGRADE], &headers[CONNECTION]),
            (&"HTTP/1.1".parse().unwrap(), &"Upgrade, close".parse().unwrap())
        );
        let headers = headers_of(Failure::rate_limit(7, "x"));
        assert_eq!(headers[RETRY_AFTER], "7");
    }
}
