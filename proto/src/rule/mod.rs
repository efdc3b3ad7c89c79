//! Rules of a secret: to which requests its value may be put, and where in them. Reading and comparing them is pure code,
//! which the broker, which puts the value there, and the daemon, which hands it over, both have.
//!
//! # Layout
//!
//! - [`host`], [`path`], [`site`]: the checked parts of a rule
//! - [`target`]: where a request goes, read from a URL
//! - [`decide`]: which rule a request falls under

pub mod decide;
pub mod host;
pub mod path;
pub mod site;
pub mod target;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::SecretName;
use crate::invalid::{FieldErrorType, Invalid};

pub use host::{Host, HostPattern};
pub use path::{PathPattern, RequestPath};
pub use site::Site;
pub use target::Target;

/// One rule: requests to this host, by these methods, for these paths may carry the value, at this one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The hosts and the port.
    pub host: HostPattern,
    /// The methods, 1–16; absent is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Vec<Method>>", length(min = 1, max = 16)))]
    pub methods: Vec<Method>,
    /// The paths, 1–16; absent is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Vec<PathPattern>>", length(min = 1, max = 16)))]
    pub paths: Vec<PathPattern>,
    /// Of those the paths that are refused all the same, 1–16; absent is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Vec<PathPattern>>", length(min = 1, max = 16)))]
    pub except: Vec<PathPattern>,
    /// Where in the request the value stands.
    pub site: Site,
    /// Whether the host may have an address that is not public.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

impl Rule {
    /// The most rules that a secret may have.
    pub const MAX: usize = 16;

    /// The most methods, paths or exceptions that a rule may have.
    pub const MAX_PARTS: usize = 16;

    /// A rule for all requests to a host.
    pub const fn new(host: HostPattern, site: Site) -> Self {
        Self { host, methods: Vec::new(), paths: Vec::new(), except: Vec::new(), site, private: false }
    }

    /// Whether the rule is for this host and port. What signs for AWS signs for the hosts that make and show keys (IAM and STS)
    /// only if a rule names such a host itself.
    pub fn is_for(&self, host: &Host, port: u16) -> bool {
        let signs_by_wildcard = matches!(self.site, Site::AwsSigv4 { .. }) && self.host.has_wildcard();
        let makes_keys = |label: &str| ["iam", "sts"].contains(&label.strip_suffix("-fips").unwrap_or(label));
        self.host.matches(host, port) && !(signs_by_wildcard && host.as_str().split('.').any(makes_keys))
    }

    /// Whether the path decides about a request, so that it must be read in one way only.
    pub const fn restricts_paths(&self) -> bool {
        !self.paths.is_empty() || !self.except.is_empty()
    }
}

/// A method of HTTP: 1–32 upper-case letters and hyphens; not `CONNECT`, which asks for a tunnel and carries no value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[A-Z][A-Z-]*$", "minLength" = 1, "maxLength" = 32)))]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

impl Method {
    /// Checks a method.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, ValueError};
        if text.len() > 32 {
            return Err(Invalid::new(StringTooLong, "a method has at most 32 characters"));
        }
        let starts_well = text.starts_with(|first: char| first.is_ascii_uppercase());
        if !starts_well || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(Invalid::new(StringPatternMismatch, "a method is a word in upper case, like GET"));
        }
        if text == "CONNECT" {
            return Err(Invalid::new(ValueError, "CONNECT asks for a tunnel, which carries no value"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where the rules of a secret come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleSource {
    /// The rules were set for this secret.
    Own,
    /// The secret has no rules of its own, and its provider is known.
    Preset,
    /// The secret has no rules: its value cannot be used.
    None,
}

impl RuleSource {
    /// The source's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Preset => "preset",
            Self::None => "none",
        }
    }
}

/// Body of `PUT /user/secrets/{id}/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(deny_unknown_fields)]
pub struct SetRules {
    /// The rules, in the order in which they are tried, 16 at most; none gives up the secret's own, so that those of
    /// its provider hold again.
    #[cfg_attr(feature = "openapi", schemars(length(max = 16)))]
    pub rules: Vec<Rule>,
}

/// Answer of `GET` and `PUT /user/secrets/{id}/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RuleList {
    /// The secret's name.
    pub name: SecretName,
    /// Where the rules come from.
    pub source: RuleSource,
    /// The rules that hold, in the order in which they are tried.
    pub rules: Vec<Rule>,
    /// The rules of the secret's provider, which its own replace; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preset: Vec<Rule>,
}

/// What a checked text has: it is read from a string, written as one and shown as one.
macro_rules! checked_text {
    ($name:ty) => {
        impl TryFrom<String> for $name {
            type Error = crate::invalid::Invalid;
            fn try_from(text: String) -> Result<Self, crate::invalid::Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.to_string()
            }
        }
    };
}
use checked_text;

checked_text!(Method);

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_without_what_it_does_not_say() {
        let json = r#"{"host":"api.example.com","site":"bearer"}"#;
        let rule: Rule = serde_json::from_str(json).unwrap();
        assert_eq!(rule, Rule::new(HostPattern::parse("api.example.com").unwrap(), Site::Bearer));
        assert_eq!(serde_json::to_string(&rule).unwrap(), json);
        let json = r#"{"host":"*.example.com:8443","methods":["GET"],"paths":["/v1/**"],"except":["/v1/keys"],"site":"header:x-api-key","private":true}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Rule>(json).unwrap()).unwrap(), json);
        assert!(serde_json::from_str::<Rule>(r#"{"host":"a.b","site":"bearer","more":1}"#).is_err());
    }

    #[test]
    fn a_wildcard_signs_for_no_host_that_makes_keys() {
        let rule = |host, site| Rule::new(HostPattern::parse(host).unwrap(), Site::parse(site).unwrap());
        let (wide, plain) = (rule("**.amazonaws.com", "aws-sigv4:ID"), rule("**.amazonaws.com", "bearer"));
        let is_for = |rule: &Rule, host| rule.is_for(&Host::parse(host).unwrap(), 443);
        for host in
            ["s3.amazonaws.com", "my-sts.s3.eu-west-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"]
        {
            assert!(is_for(&wide, host), "{host}");
        }
        for host in [
            "iam.amazonaws.com",
            "sts.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "sts-fips.us-east-1.amazonaws.com",
            "iam-fips.amazonaws.com",
            "vpce-1.sts.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(!is_for(&wide, host) && is_for(&plain, host), "{host}");
        }
        assert!(is_for(&rule("sts.eu-west-1.amazonaws.com", "aws-sigv4:ID"), "sts.eu-west-1.amazonaws.com"));
    }

    #[test]
    fn methods_are_words_in_upper_case() {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, ValueError};
        for good in ["GET", "VERSION-CONTROL", "X"] {
            assert_eq!(Method::parse(good).unwrap().to_string(), good);
        }
        let long = "X".repeat(33);
        for (bad, kind) in [
            ("", StringPatternMismatch),
            ("get", StringPatternMismatch),
            ("-", StringPatternMismatch),
            ("GE T", StringPatternMismatch),
            ("GET\r\n", StringPatternMismatch),
            ("*", StringPatternMismatch),
            (long.as_str(), StringTooLong),
            ("CONNECT", ValueError),
        ] {
            assert_eq!(Method::parse(bad).unwrap_err().kind, kind, "{bad:?}");
        }
    }
}
