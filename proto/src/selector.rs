//! How a caller says which secrets it means: by name, by id, or by a glob over names.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::name::SecretName;

/// A glob over names: letters, digits, `_`, with `*`, `?` and `[…]`; 1–255 characters, kept in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^([A-Za-z0-9_*?]|\[[!^]?[A-Za-z0-9_-]+\])+$", "minLength" = 1, "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

impl Glob {
    /// Whether a selector is meant as a glob: it holds `*`, `?` or `[`.
    pub fn is_glob(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// Checks a glob and turns it to upper case. Every `[` must be closed and hold something.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "a glob has at least 1 character"));
        }
        if text.len() > SecretName::MAX {
            return Err(Invalid::new(StringTooLong, "a glob has at most 255 characters"));
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b"_*?[]!^-".contains(&b);
        if !text.bytes().all(known) || !brackets_are_sound(text) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a glob has only letters, digits, underscores, '*', '?' and closed '[…]'",
            ));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The pattern, in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Outside brackets no `]`, `!`, `^` or `-`; inside, an optional negation and at least one character.
fn brackets_are_sound(text: &str) -> bool {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((class, tail)) = after.split_once(']') else { return false };
        let members = class.strip_prefix(['!', '^']).unwrap_or(class);
        if members.is_empty()
            || members.contains(['[', '*', '?', '!', '^'])
            || before.contains([']', '!', '^', '-'])
        {
            return false;
        }
        rest = tail;
    }
    !rest.contains([']', '!', '^', '-'])
}

impl TryFrom<String> for Glob {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0
    }
}

/// One secret, or all whose names match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// The secret with this id.
    Id(Uuid),
    /// The secret with this name.
    Name(SecretName),
    /// Every secret whose name matches.
    Glob(Glob),
}

impl Selector {
    /// Reads a selector: a hyphenated UUID is an id, `*`, `?` or `[` make a glob, anything else is a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(id) = parse_id(text) {
            return Ok(Self::Id(id));
        }
        if Glob::is_glob(text) {
            return Glob::parse(text).map(Self::Glob);
        }
        SecretName::parse(text).map(Self::Name)
    }

    /// Whether it may select several secrets.
    pub const fn is_glob(&self) -> bool {
        matches!(self, Self::Glob(_))
    }
}

impl TryFrom<String> for Selector {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Glob(glob) => f.pad(glob.as_str()),
        }
    }
}

/// Reads an id as the API writes it: 36 characters, hyphenated, in either case. The other forms that
/// UUID libraries accept (braces, URN, bare hex) are not ids here: bare hex can be a name.
pub fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids_names_and_globs_apart() {
        let id = "2489E9AD-2EE2-4E00-8EC9-32D5F69181C0";
        assert!(matches!(Selector::parse(id).unwrap(), Selector::Id(_)));
        assert!(matches!(Selector::parse(&id.to_lowercase()).unwrap(), Selector::Id(_)));
        assert!(matches!(Selector::parse("aws_*").unwrap(), Selector::Glob(g) if g.as_str() == "AWS_*"));
        assert!(matches!(Selector::parse("aws_key").unwrap(), Selector::Name(n) if n.as_str() == "AWS_KEY"));
        assert!(matches!(Selector::parse(&"a".repeat(32)).unwrap(), Selector::Name(_)));
    }

    #[test]
    fn refuses_malformed_globs() {
        for bad in ["[", "A[", "A[]", "A]", "[!]", "*-", "a/*", "{a,b}*", "a\\*", "[[a]", "[*]", "!*", ""] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
        for good in ["*", "A?", "[AB]*", "[!A-C]_*", "**"] {
            assert!(Glob::parse(good).is_ok(), "{good}");
        }
    }
}
