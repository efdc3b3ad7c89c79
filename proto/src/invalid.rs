//! Why a field was refused. The type names are pydantic's, because clients of the API know them; the
//! messages are fixed text, because what was sent must never come back.

use serde::{Deserialize, Serialize};

/// The machine-readable kind of a field error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FieldErrorType {
    /// A required field is absent, or a named secret does not exist.
    Missing,
    /// Shorter than the field allows.
    StringTooShort,
    /// Longer than the field allows.
    StringTooLong,
    /// Not of the field's form.
    StringPatternMismatch,
    /// Not a string.
    StringType,
    /// Not one of the listed words.
    Enum,
    /// Not a UUID.
    UuidParsing,
    /// A field that this operation does not have.
    ExtraForbidden,
    /// Not a list.
    ListType,
    /// A list with too few items.
    TooShort,
    /// A list with too many items.
    TooLong,
    /// The body is not a JSON object.
    ModelType,
    /// Not a whole number in range.
    IntParsing,
    /// Not a number.
    IntType,
    /// Not true or false.
    BoolType,
    /// Not an RFC 3339 time.
    DatetimeParsing,
    /// Valid by itself, but not together with the rest.
    ValueError,
    /// Larger than it can be, in an item.
    LimitExceeded,
    /// No fault: the message is the id of the ask that waits for a person.
    Approval,
}

/// A refused field: its kind and a fixed message that says what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The kind, for programs.
    pub kind: FieldErrorType,
    /// What is expected, for people; never contains what was sent.
    pub message: &'static str,
}

impl Invalid {
    /// A refusal of this kind with this message.
    pub const fn new(kind: FieldErrorType, message: &'static str) -> Self {
        Self { kind, message }
    }
}
