//! What a command can end in: one exit code and one line of text. This is the only place that knows
//! which error of the API becomes which exit code.

use std::fmt;
use std::io;

use secrets_client::Error;
use secrets_proto::{ErrorBody, ErrorType, FieldError, Invalid, Loc, Uuid};

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or nobody reads the answer any more.
    Done = 0,
    /// Any failure that has no code of its own.
    Other = 1,
    /// The command line is not one.
    Usage = 2,
    /// The vault is locked or not made, or a secret is guarded, and there is nobody to ask.
    Locked = 3,
    /// No such secret.
    NotFound = 4,
    /// Not allowed: token, user, or wrong key.
    NotAllowed = 5,
    /// A secret, token or file exists already, or has changed.
    Conflict = 6,
    /// A name, value or option's argument has the wrong form.
    Invalid = 7,
    /// No daemon, and none could be started.
    NoDaemon = 8,
    /// The daemon could not do it, or did not answer.
    DaemonFailed = 9,
    /// `run` failed before its command started.
    RunFailed = 125,
    /// `run` found the command but could not execute it.
    NotExecutable = 126,
    /// `run` did not find the command.
    CommandNotFound = 127,
}

impl Exit {
    /// The code that goes with an error of the API.
    pub(crate) const fn of(kind: ErrorType) -> Self {
        match kind {
            ErrorType::VaultLockedError | ErrorType::ApprovalRequiredError => Self::Locked,
            ErrorType::NotFoundError => Self::NotFound,
            ErrorType::AuthenticationError
            | ErrorType::ExpiredTokenError
            | ErrorType::ForbiddenError
            | ErrorType::WrongKeyError
            | ErrorType::ApprovalDeniedError => Self::NotAllowed,
            ErrorType::AlreadyExistsError | ErrorType::ConflictError => Self::Conflict,
            ErrorType::ValidationError | ErrorType::LimitExceededError => Self::Invalid,
            ErrorType::InternalError
            | ErrorType::StorageError
            | ErrorType::VaultCorruptError
            | ErrorType::BadGatewayError
            | ErrorType::GatewayTimeoutError => Self::DaemonFailed,
            ErrorType::InvalidRequestError | ErrorType::UpgradeRequiredError | ErrorType::RateLimitError => {
                Self::Other
            }
        }
    }
}

/// Why a command was not done. The message never holds a value.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    refusal: Option<Box<ErrorBody>>,
}

impl Failure {
    /// A failure with this exit code; the message says what and what to do.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), refusal: None }
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The message; empty when there is nobody to tell.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the daemon said clearly that it did not do it: not after a fault of its own, when it may have.
    pub(crate) fn is_refusal(&self) -> bool {
        self.kind().is_some_and(|kind| kind.code() < 500)
    }

    /// The type of the daemon's answer, if it was the daemon that refused.
    pub(crate) fn kind(&self) -> Option<ErrorType> {
        self.refusal.as_ref().map(|body| body.kind)
    }

    /// Whether a person must allow it, who has not, or could not be asked.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.refusal.as_ref().is_some_and(|body| is_about_approval(body))
    }

    /// The ask that waits for a person, if that is why.
    pub(crate) fn ask(&self) -> Option<Uuid> {
        let body = self.refusal.as_ref().filter(|body| body.kind == ErrorType::ApprovalRequiredError)?;
        body.errors.first().and_then(|error| Uuid::parse_str(&error.msg).ok())
    }

    /// The positions in a list that the daemon found fault with.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let errors = self.refusal.as_ref().map(|body| body.errors.as_slice()).unwrap_or_default();
        errors.iter().filter_map(last_index).collect()
    }

    /// The failure; if the daemon refused this field, what the field names stands before the message.
    pub(crate) fn naming(self, field: &str, name: Option<String>) -> Self {
        match name.filter(|_| self.is_about(field)) {
            Some(name) => Self { message: format!("{name}: {}", self.message), ..self },
            None => self,
        }
    }

    /// Whether the daemon refused this field.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        let is_it = |error: &FieldError| matches!(error.loc.last(), Some(Loc::Field(name)) if name == field);
        self.refusal.as_ref().is_some_and(|body| body.errors.iter().any(is_it))
    }

    /// What the daemon found fault with in items of a list: their positions, and what it says of each.
    pub(crate) fn item_faults(&self) -> Vec<(usize, String)> {
        let errors = self.refusal.as_ref().map(|body| body.errors.as_slice()).unwrap_or_default();
        errors.iter().filter_map(|error| Some((last_index(error)?, error.msg.to_string()))).collect()
    }

    /// The failure; where the daemon refused a name because there is one, the message says which.
    pub(crate) fn taken(self, name: &str) -> Self {
        if self.kind() != Some(ErrorType::AlreadyExistsError) {
            return self;
        }
        self.with_message(format!("{name} already exists; replace its value with: secretctl set {name}"))
    }

    /// The failure with another message.
    pub(crate) fn with_message(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// The failure, with what the daemon said that led to it.
    pub(crate) fn because(self, cause: Self) -> Self {
        Self { refusal: cause.refusal, ..self }
    }

    /// Changes the exit code of a failure, and keeps its message.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// A failed write to stdout. A reader that went away (`secretctl list | head`) is no failure.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::new(Exit::Other, format!("cannot write to stdout: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(Exit::Invalid, invalid.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::NotListening(_) | Error::TooLong(_) => Exit::NoDaemon,
            Error::Connect { source, .. } if source.kind() != io::ErrorKind::PermissionDenied => {
                Exit::NoDaemon
            }
            Error::Connect { .. } | Error::ForeignServer(..) | Error::Token(_) => Exit::NotAllowed,
            Error::Timeout | Error::Broken | Error::NotUnderstood(_) => Exit::DaemonFailed,
            // Too much waits for a person: that nobody could be asked is what it comes to.
            Error::Refused(body) if is_about_approval(body) => Exit::Locked,
            Error::Refused(body) => Exit::of(body.kind),
        };
        let message = error.to_string();
        let Error::Refused(body) = error else { return Self::new(exit, message) };
        Self { exit, message: describe(&body), refusal: Some(body) }
    }
}

/// Whether it is asking a person that was refused.
fn is_about_approval(body: &ErrorBody) -> bool {
    let is_it = |error: &FieldError| matches!(error.loc.as_slice(), [Loc::Field(name)] if name == "approval");
    body.errors.iter().any(is_it)
}

/// The daemon's own words. Those on a field say all there is to say, except which of several it is.
fn describe(body: &ErrorBody) -> String {
    if let (ErrorType::ApprovalRequiredError, Some(ask)) = (body.kind, body.errors.first()) {
        let id: String = ask.msg.chars().take(8).collect();
        return format!(
            "this is guarded, and nobody has allowed it; repeat it once that is done: secretctl approve {id}"
        );
    }
    if body.errors.is_empty() {
        return in_a_line(&body.detail);
    }
    let of_field = |error: &FieldError| match error.loc.as_slice() {
        [.., Loc::Field(list), Loc::Index(index)] => format!("{list} {}: {}", index + 1, error.msg),
        _ => error.msg.to_string(),
    };
    let fields: Vec<String> = body.errors.iter().map(of_field).collect();
    fields.join("; ")
}

/// What the daemon says as a sentence, as it stands behind our name; a command at its end as we write one.
fn in_a_line(sentence: &str) -> String {
    let command = sentence.strip_suffix('`').and_then(|all| all.rsplit_once("; run `"));
    if let Some((what, command)) = command.filter(|(_, command)| !command.contains('`')) {
        return format!("{}; run: {command}", in_a_line(what));
    }
    let mut chars = sentence.chars();
    match (chars.next(), chars.clone().next()) {
        // A word, or the article; not an abbreviation.
        (Some(first), Some(second))
            if first.is_ascii_uppercase() && (second.is_ascii_lowercase() || sentence.starts_with("A ")) =>
        {
            format!("{}{}", first.to_ascii_lowercase(), chars.as_str())
        }
        _ => sentence.to_owned(),
    }
}

fn last_index(error: &FieldError) -> Option<usize> {
    match error.loc.last() {
        Some(Loc::Index(index)) => Some(*index),
        Some(Loc::Field(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use secrets_proto::FieldErrorType;

    use super::*;

    #[test]
    fn every_error_of_the_api_has_its_exit_code() {
        let codes: Vec<u8> = ErrorType::ALL.iter().map(|kind| Exit::of(*kind) as u8).collect();
        assert_eq!(codes, [1, 5, 5, 5, 3, 5, 3, 5, 4, 6, 6, 7, 7, 1, 1, 9, 9, 9, 9, 9]);
    }

    #[test]
    fn a_refusal_keeps_the_daemons_words_and_the_fields_at_fault() {
        let loc = vec![Loc::field("body"), Loc::field("secrets"), Loc::Index(2)];
        let body = ErrorBody {
            errors: vec![FieldError::new(loc, Invalid::new(FieldErrorType::Missing, "no such secret"))],
            ..ErrorBody::new(ErrorType::NotFoundError, "some secrets do not exist")
        };
        let failure = Failure::from(Error::Refused(Box::new(body)));
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(failure.message(), "secrets 3: no such secret");
        assert_eq!(failure.positions(), [2]);
    }

    #[test]
    fn a_sentence_of_the_daemon_goes_on_behind_our_name() {
        for (said, told) in [
            ("The token lacks it", "the token lacks it"),
            ("A vault exists", "a vault exists"),
            ("UTF-8 is expected", "UTF-8 is expected"),
            ("It is locked; run `secretctl unlock`", "it is locked; run: secretctl unlock"),
            ("No such one; run `a`, then `b`", "no such one; run `a`, then `b`"),
            ("", ""),
        ] {
            assert_eq!(in_a_line(said), told);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.message()), (Exit::Done, ""));
        assert_eq!(Failure::stdout(&io::Error::from(io::ErrorKind::StorageFull)).exit(), Exit::Other);
    }
}
