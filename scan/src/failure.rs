//! Why nothing was scanned: an exit code and a line. The codes are those of `secretctl`.

use secrets_client::Error;
use secrets_proto::ErrorType;

/// A failure. Its message holds no value.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// What to do, on a line of its own.
    pub(crate) fix: Option<String>,
}

impl Failure {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), fix: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), fix: None }
    }

    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into(), fix: None }
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self { code: 6, message: message.into(), fix: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match (&error, error.kind()) {
            (_, Some(ErrorType::VaultLockedError | ErrorType::ApprovalRequiredError)) => 3,
            (_, Some(ErrorType::NotFoundError)) => 4,
            (
                _,
                Some(
                    ErrorType::AuthenticationError
                    | ErrorType::ExpiredTokenError
                    | ErrorType::ForbiddenError
                    | ErrorType::ApprovalDeniedError,
                ),
            )
            | (Error::ForeignServer(..) | Error::Token(_), _) => 5,
            (Error::NotListening(_) | Error::TooLong(_) | Error::Connect { .. }, _) => 8,
            (Error::Timeout | Error::Broken | Error::NotUnderstood(_), _) => 9,
            (Error::Refused(body), _) if body.kind.code() >= 500 => 9,
            (Error::Refused(_), _) => 1,
        };
        Self { code, message: error.to_string(), fix: None }
    }
}
