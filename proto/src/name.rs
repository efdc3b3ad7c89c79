//! Names of secrets, which are names of environment variables.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};

/// A secret's name: `^[A-Za-z_][A-Za-z0-9_]*$`, 1–255 characters, kept in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[A-Za-z_][A-Za-z0-9_]*$", "minLength" = 1, "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The most characters a name may have.
    pub const MAX: usize = 255;

    /// Checks a name and turns it to upper case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "a name has at least 1 character"));
        }
        if text.len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a name has at most 255 characters"));
        }
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a name has only letters, digits and underscores, and does not start with a digit",
            ));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The name, in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

/// A sorted map finds by a text those names that begin with it.
impl Borrow<str> for SecretName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_the_pattern_accepts() {
        for (sent, kept) in [("a", "A"), ("_", "_"), ("openai_api_key", "OPENAI_API_KEY"), ("K9", "K9")] {
            assert_eq!(SecretName::parse(sent).unwrap().as_str(), kept);
        }
        assert!(SecretName::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn refuses_each_fault_by_its_kind() {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        let long = "x".repeat(256);
        for (sent, kind) in [
            ("", StringTooShort),
            (long.as_str(), StringTooLong),
            ("9A", StringPatternMismatch),
            ("A-B", StringPatternMismatch),
            ("A B", StringPatternMismatch),
            ("A\n", StringPatternMismatch),
            ("Ä", StringPatternMismatch),
            ("ſ", StringPatternMismatch),
        ] {
            assert_eq!(SecretName::parse(sent).unwrap_err().kind, kind, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_variable_name(text in any::<String>()) {
            if let Ok(name) = SecretName::parse(&text) {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
                prop_assert_eq!(SecretName::parse(name.as_str()).unwrap(), name);
            }
        }
    }
}
