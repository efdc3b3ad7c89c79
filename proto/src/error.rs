//! The one envelope that every error of the API has.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};

/// The stable, machine-readable type of an error. Each belongs to exactly one status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// 400: the request is not one the daemon can read.
    InvalidRequestError,
    /// 401: no token, or one that is unknown or revoked.
    AuthenticationError,
    /// 401: a token that was good until it expired.
    ExpiredTokenError,
    /// 403: authenticated, but not allowed.
    ForbiddenError,
    /// 403: the vault is locked or was not made yet.
    VaultLockedError,
    /// 403: the passphrase, key file or recovery key does not open the vault.
    WrongKeyError,
    /// 403: a guarded secret, and nobody has allowed this yet; `X-Secretsd-Approval` is the id of the ask that waits.
    ApprovalRequiredError,
    /// 403: a guarded secret, and a person or a rule has denied this.
    ApprovalDeniedError,
    /// 404: no such route, secret or version.
    NotFoundError,
    /// 409: the name is taken, or the vault exists.
    AlreadyExistsError,
    /// 409: the request contradicts the present state.
    ConflictError,
    /// 422: a field is missing or malformed; `errors` says which.
    ValidationError,
    /// 422: an item is larger than one can be, or there are as many as there can be; nothing was stored.
    LimitExceededError,
    /// 426: an HTTP or API version that the daemon does not speak.
    UpgradeRequiredError,
    /// 429: too many; `Retry-After` says when to come back.
    RateLimitError,
    /// 500: a bug in the daemon.
    InternalError,
    /// 500: the disk is full or failing; nothing that was answered is lost.
    StorageError,
    /// 500: the vault was damaged or changed by something else.
    VaultCorruptError,
    /// 502: a program that the daemon asked has failed.
    BadGatewayError,
    /// 504: that program, or the vault, did not answer in time.
    GatewayTimeoutError,
}

impl ErrorType {
    /// Every type, for tables and tests.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequestError,
        Self::AuthenticationError,
        Self::ExpiredTokenError,
        Self::ForbiddenError,
        Self::VaultLockedError,
        Self::WrongKeyError,
        Self::ApprovalRequiredError,
        Self::ApprovalDeniedError,
        Self::NotFoundError,
        Self::AlreadyExistsError,
        Self::ConflictError,
        Self::ValidationError,
        Self::LimitExceededError,
        Self::UpgradeRequiredError,
        Self::RateLimitError,
        Self::InternalError,
        Self::StorageError,
        Self::VaultCorruptError,
        Self::BadGatewayError,
        Self::GatewayTimeoutError,
    ];

    /// The HTTP status code that goes with this type.
    pub const fn code(self) -> u16 {
        match self {
            Self::InvalidRequestError => 400,
            Self::AuthenticationError | Self::ExpiredTokenError => 401,
            Self::ForbiddenError
            | Self::VaultLockedError
            | Self::WrongKeyError
            | Self::ApprovalRequiredError
            | Self::ApprovalDeniedError => 403,
            Self::NotFoundError => 404,
            Self::AlreadyExistsError | Self::ConflictError => 409,
            Self::ValidationError | Self::LimitExceededError => 422,
            Self::UpgradeRequiredError => 426,
            Self::RateLimitError => 429,
            Self::InternalError | Self::StorageError | Self::VaultCorruptError => 500,
            Self::BadGatewayError => 502,
            Self::GatewayTimeoutError => 504,
        }
    }
}

/// The error envelope: `{"code", "detail", "type", "errors"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// The HTTP status code, again.
    pub code: u16,
    /// What went wrong and what to do, in fixed text.
    pub detail: Cow<'static, str>,
    /// The stable type.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// The fields at fault, for [`ErrorType::ValidationError`] and for names that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl ErrorBody {
    /// An envelope without field errors.
    pub const fn new(kind: ErrorType, detail: &'static str) -> Self {
        Self { code: kind.code(), detail: Cow::Borrowed(detail), kind, errors: Vec::new() }
    }
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FieldError {
    /// Where: `["body", "name"]`, `["path", "id"]`, `["query", "name"]`, `["body", "secrets", 2]`.
    pub loc: Vec<Loc>,
    /// What is expected, in fixed text.
    pub msg: Cow<'static, str>,
    /// The kind, in pydantic's vocabulary.
    #[serde(rename = "type")]
    pub kind: FieldErrorType,
}

impl FieldError {
    /// The refusal `invalid` at this place.
    pub fn new(loc: Vec<Loc>, invalid: Invalid) -> Self {
        Self { loc, msg: Cow::Borrowed(invalid.message), kind: invalid.kind }
    }
}

/// One step of a field's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Loc {
    /// A position in a list.
    Index(usize),
    /// A part of the request (`body`, `path`, `query`, `header`) or a field's name. Only names that the
    /// API defines appear here, never one that was sent.
    Field(Cow<'static, str>),
}

impl Loc {
    /// A named step.
    pub const fn field(name: &'static str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_has_the_documented_shape() {
        let body = ErrorBody {
            errors: vec![FieldError::new(
                vec![Loc::field("body"), Loc::field("secrets"), Loc::Index(2)],
                Invalid::new(FieldErrorType::StringType, "expected a string"),
            )],
            ..ErrorBody::new(ErrorType::ValidationError, "some fields are invalid")
        };
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"code":422,"detail":"some fields are invalid","type":"validation_error","errors":[{"loc":["body","secrets",2],"msg":"expected a string","type":"string_type"}]}"#
        );
        let plain = ErrorBody::new(ErrorType::AuthenticationError, "no token");
        assert_eq!(
            serde_json::to_string(&plain).unwrap(),
            r#"{"code":401,"detail":"no token","type":"authentication_error"}"#
        );
    }

    #[test]
    fn every_code_is_one_of_the_eleven() {
        let eleven = [400, 401, 403, 404, 409, 422, 426, 429, 500, 502, 504];
        let mut used: Vec<u16> = ErrorType::ALL.iter().map(|kind| kind.code()).collect();
        used.dedup();
        assert_eq!(used, eleven);
    }
}
