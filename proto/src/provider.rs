//! Names of providers: who issued a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};

/// A provider's name: `^[a-z0-9][a-z0-9_-]{0,63}$`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[a-z0-9][a-z0-9_-]*$", "minLength" = 1, "maxLength" = 64)))]
#[serde(try_from = "String", into = "String")]
pub struct Provider(String);

impl Provider {
    /// Checks a provider's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "a provider has at least 1 character"));
        }
        if text.len() > 64 {
            return Err(Invalid::new(StringTooLong, "a provider has at most 64 characters"));
        }
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let all_well =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !starts_well || !all_well {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a provider has only lower-case letters, digits, underscores and hyphens, and starts with a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The provider's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Provider {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Provider> for String {
    fn from(provider: Provider) -> Self {
        provider.0
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses_by_the_pattern() {
        for good in ["openai", "9router", "a-b_c", "x"] {
            assert!(Provider::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "-a", "_a", "OpenAI", "a b", "ä", long.as_str()] {
            assert!(Provider::parse(bad).is_err(), "{bad}");
        }
    }
}
