//! Which systemd unit may load which secrets: names of units, and the operations on `/credentials`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};
use crate::proof::Proof;
use crate::{SecretName, Timestamp};

/// The name of a unit that can load credentials, as `systemd.unit(5)` has it: `prefix.type`, an instance
/// `prefix@instance.type`, or a template `prefix@.type`; kept as it is, for systemd tells upper from lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*\.(service|socket|mount|swap)$", "minLength" = 1, "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

impl UnitName {
    /// The most characters a name may have.
    pub const MAX: usize = 255;

    /// The types of units that run programs, and so can have credentials.
    const TYPES: [&str; 4] = ["service", "socket", "mount", "swap"];

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        if text.is_empty() {
            return Err(Invalid::new(StringTooShort, "a unit's name has at least 1 character"));
        }
        if text.len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a unit's name has at most 255 characters"));
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if !text.bytes().all(known) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a unit's name has only letters, digits and : - _ . \\ @",
            ));
        }
        let typed = text.rsplit_once('.').filter(|(_, kind)| Self::TYPES.contains(kind));
        if typed.is_none_or(|(stem, _)| stem.is_empty() || stem.starts_with('@')) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a unit's name ends in .service, .socket, .mount or .swap",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names no unit that runs, but the pattern of its instances.
    pub fn is_template(&self) -> bool {
        self.template().is_some_and(|template| template == *self)
    }

    /// The template that this is an instance of; a template is its own.
    pub fn template(&self) -> Option<Self> {
        let (prefix, _) = self.0.split_once('@')?;
        let (_, kind) = self.0.rsplit_once('.')?;
        Some(Self(format!("{prefix}@.{kind}")))
    }
}

impl TryFrom<String> for UnitName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Body of `POST /credentials`: adds to what the unit may load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct AllowCredentials {
    /// The unit, or a template for all its instances.
    pub unit: UnitName,
    /// The secrets, by name: 1–1,000.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 1000)))]
    pub secrets: Vec<SecretName>,
    /// Needed if one of the secrets is guarded that the unit may not load yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl AllowCredentials {
    /// The most secrets in one request.
    pub const MAX_SECRETS: usize = 1_000;
}

/// What a unit may load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct CredentialGrant {
    /// The unit, or a template for all its instances.
    pub unit: UnitName,
    /// The names of the secrets, sorted.
    pub secrets: Vec<SecretName>,
    /// When it was first allowed something.
    pub created_at: Timestamp,
    /// When this last changed.
    pub updated_at: Timestamp,
}

/// Answer of `GET /credentials`, by unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct CredentialList {
    /// The units.
    pub credentials: Vec<CredentialGrant>,
    /// How many there are.
    pub total: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_run_programs_are_named_as_systemd_names_them() {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        let longest = format!("{}.service", "x".repeat(247));
        for good in [
            "a.service",
            "a@b.service",
            "a@.service",
            "a@b@c.service",
            "dev-disk\\x2d1.swap",
            "A:b_c.d-e.socket",
            "a@.b.mount",
            longest.as_str(),
        ] {
            assert_eq!(UnitName::parse(good).unwrap().as_str(), good);
        }
        for (bad, kind) in [
            ("", StringTooShort),
            (&format!("x{longest}")[..], StringTooLong),
            ("a", StringPatternMismatch),
            ("a.timer", StringPatternMismatch),
            ("a.SERVICE", StringPatternMismatch),
            (".service", StringPatternMismatch),
            ("@b.service", StringPatternMismatch),
            ("a/b.service", StringPatternMismatch),
            ("a b.service", StringPatternMismatch),
            ("a.service\n", StringPatternMismatch),
            ("é.service", StringPatternMismatch),
            ("a*.service", StringPatternMismatch),
        ] {
            assert_eq!(UnitName::parse(bad).unwrap_err().kind, kind, "{bad:?}");
        }
    }

    #[test]
    fn an_instance_knows_its_template() {
        let template = |text: &str| UnitName::parse(text).unwrap().template().map(String::from);
        assert_eq!(template("a@b.service").as_deref(), Some("a@.service"));
        assert_eq!(template("a@b@c.d.service").as_deref(), Some("a@.service"));
        assert_eq!(template("a@.service").as_deref(), Some("a@.service"));
        assert_eq!(template("a.service"), None);
        assert!(UnitName::parse("a@.service").unwrap().is_template());
        assert!(!UnitName::parse("a@b.service").unwrap().is_template());
        assert!(!UnitName::parse("a.service").unwrap().is_template());
    }
}
