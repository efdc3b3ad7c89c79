//! `POST /user/secrets/reveal`: the one operation that hands values over.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::{SecretName, SecretValue, Selector, Timestamp};

/// Body of a reveal. All or nothing: one exact name that is missing fails the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct RevealRequest {
    /// Which secrets; 1–1,000 selectors, answered in order of first appearance, each secret once.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 1000)))]
    pub secrets: Vec<Selector>,
    /// What for, in a word; goes to the audit log.
    pub purpose: Purpose,
    /// The program that will get the values (`argv[0]` alone, never its arguments).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Remark>,
    /// Why, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Remark>,
    /// The directory in which that program starts; goes to the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Remark>,
}

impl RevealRequest {
    /// The most selectors a request may have.
    pub const MAX_SELECTORS: usize = 1_000;
}

/// What a value is wanted for: `^[a-z][a-z0-9-]{0,63}$`, like `run`, `get`, `inject`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[a-z][a-z0-9-]*$", "minLength" = 1, "maxLength" = 64)))]
#[serde(try_from = "String", into = "String")]
pub struct Purpose(String);

impl Purpose {
    /// Checks a purpose.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let all_well = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !starts_well || !all_well || text.len() > 64 {
            return Err(Invalid::new(
                FieldErrorType::StringPatternMismatch,
                "a purpose is a lower-case word of up to 64 letters, digits and hyphens",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Purpose {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Purpose> for String {
    fn from(purpose: Purpose) -> Self {
        purpose.0
    }
}

/// A line for people in the audit log or in a note: 1–1,000 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[^\u0000-\u001f\u007f-\u009f]*$", "minLength" = 1, "maxLength" = 1000)))]
#[serde(try_from = "String", into = "String")]
pub struct Remark(String);

impl Remark {
    /// Checks a remark.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "this text is empty"));
        }
        if text.len() > 1_000 {
            return Err(Invalid::new(StringTooLong, "this text has at most 1000 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(StringPatternMismatch, "this text has no control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Remark {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Remark> for String {
    fn from(remark: Remark) -> Self {
        remark.0
    }
}

/// Answer of a reveal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RevealReply {
    /// The secrets with their values.
    pub secrets: Vec<RevealedSecret>,
}

/// One secret with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RevealedSecret {
    /// The secret's id.
    pub id: Uuid,
    /// The secret's name.
    pub name: SecretName,
    /// The secret's value, byte for byte.
    pub value: SecretValue,
    /// When the owner says it stops working; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether another machine stored another value at the same time, which is kept beside this one; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
}
