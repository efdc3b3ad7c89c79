//! Access tokens: what they look like, what they may do, and the operations on `/tokens`.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::secret::nullable;
use crate::selector::parse_id;
use crate::{Glob, SensitiveString, Timestamp};

/// What every access token begins with.
pub const PREFIX: &str = "ssd_";

/// How many random characters follow the prefix: 43 of 62 are a little more than 256 bits.
pub const RANDOM: usize = 43;

/// The characters of a token, in the order of their values as digits.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many characters of checksum end it: a CRC-32 has 32 bits.
const CHECKSUM: usize = 6;

/// The length of a token.
pub const LENGTH: usize = PREFIX.len() + RANDOM + CHECKSUM;

/// The name, in the audit log and in approval rules, of the token that what serves the Secret Service has. No new access
/// token gets it.
pub const ITEMS_NAME: &str = "items";

/// Whether this is meant as an access token, and not as the owner's.
pub fn is_meant(text: &[u8]) -> bool {
    text.starts_with(PREFIX.as_bytes())
}

/// Whether this has the form of an access token, `ssd_[0-9A-Za-z]{49}`, and the right checksum. It tells a token that
/// was mistyped or cut off from one that is unknown, without asking anybody.
pub fn is_well_formed(text: &[u8]) -> bool {
    let Some((body, sum)) = text.split_at_checked(LENGTH - CHECKSUM) else { return false };
    let known = |byte: &u8| byte.is_ascii_alphanumeric();
    is_meant(text) && text.iter().skip(PREFIX.len()).all(known) && *sum == checksum(body)
}

/// The CRC-32 (the one of zip, PNG and Ethernet) of prefix and random part, in base 62, most significant digit first.
pub fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = u32::MAX;
    for byte in body {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    crc = !crc;
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET.get((crc % 62) as usize).copied().unwrap_or(b'0');
        crc /= 62;
    }
    digits
}

/// A right that a token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read metadata.
    List,
    /// Store, change and delete.
    Write,
    /// Receive values.
    Reveal,
    /// Manage the vault, its keys and tokens.
    Admin,
    /// Have values used where their rules allow it, without ever seeing them. No other scope includes it.
    Use,
    /// Have, store and change items, lock the vault, and ask a person to open it. No other scope includes it.
    Items,
}

impl Scope {
    /// Every right.
    pub const ALL: [Self; 6] = [Self::List, Self::Write, Self::Reveal, Self::Admin, Self::Use, Self::Items];

    /// Reads a scope's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or(Invalid::new(
            FieldErrorType::Enum,
            "a scope is one of list, write, reveal, admin, use and items",
        ))
    }

    /// The scope's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Write => "write",
            Self::Reveal => "reveal",
            Self::Admin => "admin",
            Self::Use => "use",
            Self::Items => "items",
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A token's name: 1–64 printable ASCII characters, no space at either end. It stands in the audit log as the name of
/// who asked, so those that the daemon uses itself are taken, and one that looks like an id is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[!-~]([ -~]*[!-~])?$", "minLength" = 1, "maxLength" = 64)))]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

impl TokenName {
    /// Names in the audit log that belong to no access token.
    pub const RESERVED: [&str; 7] =
        ["owner", "credential", "signal", "auto-lock", "shutdown", "trash", "expiry"];

    /// The most characters a name may have.
    pub const MAX: usize = 64;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "a token's name has at least 1 character"));
        }
        if text.len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a token's name has at most 64 characters"));
        }
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.trim() != text || !text.bytes().all(printable) || parse_id(text).is_some() {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a token's name is printable ASCII, without a space at either end, and no id",
            ));
        }
        let name = Self(text.to_owned());
        if Self::RESERVED.iter().any(|taken| name.is_same(taken)) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "this name means the daemon or its owner in the audit log",
            ));
        }
        Ok(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether another name is the same but for case: such two would be taken for one.
    pub fn is_same(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl TryFrom<String> for TokenName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Body of `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct CreateToken {
    /// The token's name, unlike any other's.
    pub name: TokenName,
    /// What it may do: 1–6 scopes.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 6)))]
    pub scopes: Vec<Scope>,
    /// The names of secrets that exist for it: 1–64 globs; absent or null is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 64)))]
    pub secrets: Option<Vec<Glob>>,
    /// For how many seconds it is good, 1 to ten years; absent is 30 days, null means no end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nullable")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<u64>", range(min = 1, max = 315_360_000)))]
    pub ttl_seconds: Option<Option<u64>>,
    /// How many requests a minute it may make, 1 to 60,000; absent or null is any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 60_000)))]
    pub rate_per_minute: Option<u64>,
}

impl CreateToken {
    /// The most globs that a token may have.
    pub const MAX_GLOBS: usize = 64;
    /// For how long a token is valid by default: 30 days.
    pub const DEFAULT_TTL: u64 = 30 * 86_400;
    /// The longest time that can be asked for, ten years; what lasts longer has no end.
    pub const MAX_TTL: u64 = 3_650 * 86_400;
    /// The highest rate that can be asked for.
    pub const MAX_RATE: u64 = 60_000;
}

/// What is known of a token; never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TokenInfo {
    /// The token's id.
    pub id: Uuid,
    /// The token's name.
    pub name: TokenName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The names of secrets that exist for it; null is all.
    pub secrets: Option<Vec<Glob>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; null is never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// How many requests a minute it may make, those of the tokens included that it has made; null is any number.
    pub rate_per_minute: Option<u64>,
}

/// Answer of `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct CreatedToken {
    /// What is known of it.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The token. Shown this once; the vault keeps a hash.
    pub token: SensitiveString,
}

/// Answer of `GET /tokens`, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TokenList {
    /// The tokens, expired ones too.
    pub tokens: Vec<TokenInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(random: &str) -> String {
        let body = format!("{PREFIX}{random}");
        format!("{body}{}", std::str::from_utf8(&checksum(body.as_bytes())).unwrap())
    }

    #[test]
    fn the_checksum_is_the_crc_of_zip_in_base_62() {
        // The check value of CRC-32/ISO-HDLC, 0xcbf43926, is 3,421,780,262.
        assert_eq!(&checksum(b"123456789"), b"3jZRME");
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn a_typing_error_is_told_from_a_token() {
        let good = token("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg");
        assert!(good.len() == LENGTH && is_well_formed(good.as_bytes()));
        for at in 0..LENGTH {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(&bad), "{at}");
            assert!(!is_well_formed(&good.as_bytes()[..at]));
        }
        assert!(!is_well_formed(format!("{good}0").as_bytes()));
        assert!(!is_well_formed(token("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcde_-").as_bytes()));
        assert!(!is_well_formed(token("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcde\u{e9}").as_bytes()));
    }

    #[test]
    fn names_are_printable_and_not_the_daemons_own() {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        for good in ["ci", "my agent (2)", "a@b/c", &"x".repeat(64)] {
            assert_eq!(TokenName::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for (bad, kind) in [
            ("", StringTooShort),
            (long.as_str(), StringTooLong),
            (" ci", StringPatternMismatch),
            ("ci\n", StringPatternMismatch),
            ("c\u{202e}i", StringPatternMismatch),
            ("Owner", StringPatternMismatch),
            ("auto-lock", StringPatternMismatch),
            ("2489e9ad-2ee2-4e00-8ec9-32d5f69181c0", StringPatternMismatch),
        ] {
            assert_eq!(TokenName::parse(bad).unwrap_err().kind, kind, "{bad:?}");
        }
    }

    #[test]
    fn no_expiry_is_said_and_the_usual_one_is_not() {
        let new = |ttl_seconds| CreateToken {
            name: TokenName::parse("ci").unwrap(),
            scopes: vec![Scope::List],
            secrets: None,
            ttl_seconds,
            rate_per_minute: None,
        };
        for (ttl, json) in [
            (None, r#"{"name":"ci","scopes":["list"]}"#),
            (Some(None), r#"{"name":"ci","scopes":["list"],"ttl_seconds":null}"#),
            (Some(Some(60)), r#"{"name":"ci","scopes":["list"],"ttl_seconds":60}"#),
        ] {
            assert_eq!(serde_json::to_string(&new(ttl)).unwrap(), json);
            assert_eq!(serde_json::from_str::<CreateToken>(json).unwrap(), new(ttl));
        }
    }
}
