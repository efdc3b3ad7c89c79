//! Where in a request a value stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::checked_text;
use crate::SecretName;
use crate::invalid::{FieldErrorType, Invalid};

/// The place of a value in a request. There it stands alone and whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(with = "SiteText"))]
#[serde(try_from = "String", into = "String")]
pub enum Site {
    /// All after one word and a space in `Authorization`.
    Bearer,
    /// User or password of `Authorization: Basic`.
    Basic,
    /// The whole value of this header, whose name is in lower case.
    Header(String),
    /// The whole value of this parameter of the query.
    Query(String),
    /// The whole value of this field of a form, or of this field at the top of a JSON object, in the body.
    Body(String),
    /// A signature for AWS (Signature Version 4): by the value, with the id of this secret and, if the program sends a session
    /// token, that of this one. Rules of those two have the same site.
    AwsSigv4 {
        /// The secret that is the key's id.
        id: SecretName,
        /// The secret that is the session token.
        token: Option<SecretName>,
    },
}

/// A site as text.
#[cfg(feature = "openapi")]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "Site", description = "Where in a request the value stands: `bearer`, all after one word and a space in `Authorization`; `basic`, user or password of `Authorization: Basic`; `header:NAME`, the whole value of this header; `query:NAME`, the whole value of this parameter of the query; `body:NAME`, the whole value of this field of a form or of a JSON object, in a body of up to 1 MiB; `aws-sigv4:ID` and `aws-sigv4:ID,TOKEN`, the signature of AWS by this key, whose id and session token are the secrets of these names.", extend("pattern" = r"^(bearer|basic|header:[a-z0-9-]+|(query|body):[A-Za-z0-9._~-]+|aws-sigv4:[A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_]*)?)$", "maxLength" = 521))]
#[expect(dead_code, reason = "only its schema is wanted")]
struct SiteText(String);

/// Headers that say how a request travels, and so hold no value of a secret.
const OF_TRANSPORT: [&str; 14] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Site {
    /// Reads a site: `bearer`, `basic`, `header:NAME`, `query:NAME`, `body:NAME` or `aws-sigv4:ID[,TOKEN]`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{Enum, StringPatternMismatch, ValueError};
        let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
        match (kind, name) {
            ("bearer", None) => Ok(Self::Bearer),
            ("basic", None) => Ok(Self::Basic),
            ("header", Some(name)) => {
                let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                if name.is_empty() || name.len() > 64 || !name.bytes().all(known) {
                    return Err(Invalid::new(
                        StringPatternMismatch,
                        "a site header:NAME has the name of a header in lower case, up to 64 letters, digits and hyphens",
                    ));
                }
                if OF_TRANSPORT.contains(&name) {
                    return Err(Invalid::new(
                        ValueError,
                        "this header says how a request travels and holds no secret",
                    ));
                }
                Ok(Self::Header(name.to_owned()))
            }
            ("query", Some(name)) if is_parameter(name) => Ok(Self::Query(name.to_owned())),
            ("query", Some(_)) => Err(Invalid::new(
                StringPatternMismatch,
                "a site query:NAME has the name of a parameter, up to 64 letters, digits and . _ ~ -",
            )),
            ("body", Some(name)) if is_parameter(name) => Ok(Self::Body(name.to_owned())),
            ("body", Some(_)) => Err(Invalid::new(
                StringPatternMismatch,
                "a site body:NAME has the name of a field, up to 64 letters, digits and . _ ~ -",
            )),
            ("aws-sigv4", Some(names)) => {
                let (id, token) =
                    names.split_once(',').map_or((names, None), |(id, token)| (id, Some(token)));
                let id = SecretName::parse(id);
                match (id, token.map(SecretName::parse).transpose()) {
                    (Ok(id), Ok(token)) if token.as_ref() != Some(&id) => Ok(Self::AwsSigv4 { id, token }),
                    _ => Err(Invalid::new(
                        StringPatternMismatch,
                        "a site aws-sigv4:ID or aws-sigv4:ID,TOKEN has the names of the secrets with the key's id and with the session token",
                    )),
                }
            }
            _ => Err(Invalid::new(
                Enum,
                "a site is one of bearer, basic, header:NAME, query:NAME, body:NAME and aws-sigv4:ID[,TOKEN]",
            )),
        }
    }

    /// Whether this value can stand there. In a header there can be no control character, and no space at either end, which
    /// would be lost; in a query and in a body everything is encoded.
    pub fn can_hold(&self, value: &str) -> bool {
        match self {
            Self::Bearer | Self::Header(_) | Self::AwsSigv4 { .. } => {
                !value.chars().any(char::is_control) && value.trim() == value
            }
            Self::Basic => !value.chars().any(char::is_control),
            Self::Query(_) | Self::Body(_) => true,
        }
    }
}

/// Whether this may be the name of a parameter or field: none that would be written in two ways.
fn is_parameter(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(known)
}

checked_text!(Site);

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.pad("bearer"),
            Self::Basic => f.pad("basic"),
            Self::Header(name) => f.pad(&format!("header:{name}")),
            Self::Query(name) => f.pad(&format!("query:{name}")),
            Self::Body(name) => f.pad(&format!("body:{name}")),
            Self::AwsSigv4 { id, token: None } => f.pad(&format!("aws-sigv4:{id}")),
            Self::AwsSigv4 { id, token: Some(token) } => f.pad(&format!("aws-sigv4:{id},{token}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_shown_as_it_was_written() {
        for good in [
            "bearer",
            "basic",
            "header:x-api-key",
            "header:authorization",
            "query:key",
            "query:api_key.v1~-",
            "body:token",
            "aws-sigv4:ID",
            "aws-sigv4:ID,TOKEN",
        ] {
            assert_eq!(Site::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn each_malformed_site_has_an_error_of_its_own() {
        let long = format!("header:{}", "a".repeat(65));
        for (bad, message) in [
            ("", "one of bearer"),
            ("Bearer", "one of bearer"),
            ("bearer:x", "one of bearer"),
            ("cookie", "one of bearer"),
            ("header", "one of bearer"),
            ("query", "one of bearer"),
            ("header:", "lower case"),
            ("header:X-Api-Key", "lower case"),
            ("header:x y", "lower case"),
            (long.as_str(), "lower case"),
            ("header:host", "travels"),
            ("header:content-length", "travels"),
            ("query:", "parameter"),
            ("query:a=b", "parameter"),
            ("query:a&b", "parameter"),
            ("body", "one of bearer"),
            ("body:", "field"),
            ("body:a/b", "field"),
            ("aws-sigv4", "one of bearer"),
            ("aws-sigv4:", "the key's id"),
            ("aws-sigv4:ID,", "the key's id"),
            ("aws-sigv4:ID,ID", "the key's id"),
            ("aws-sigv4:ID,A,B", "the key's id"),
            ("aws-sigv4:a-b", "the key's id"),
        ] {
            let invalid = Site::parse(bad).unwrap_err();
            assert!(invalid.message.contains(message), "{bad:?}: {}", invalid.message);
        }
    }

    #[test]
    fn a_value_with_a_control_character_stands_in_no_header() {
        let [bearer, query] = ["bearer", "query:key"].map(|site| Site::parse(site).unwrap());
        assert!(bearer.can_hold("sk-1") && bearer.can_hold("a b"));
        for bad in ["a\nb", "a\r", "a\0b", "a\u{7f}", " a", "a "] {
            assert!(!bearer.can_hold(bad) && query.can_hold(bad), "{bad:?}");
        }
    }
}
