//! Hosts, as a rule names them and as a request does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::checked_text;
use crate::invalid::{FieldErrorType, Invalid};

/// The port of HTTPS, which holds unless another is said.
pub const HTTPS: u16 = 443;

/// The most characters of a host's name (RFC 1035, section 2.3.4, without the dot at the end).
const MAX_HOST: usize = 253;

/// The most characters of a label.
const MAX_LABEL: usize = 63;

/// A host that a request goes to: labels of lower-case letters, digits and hyphens, with dots between them; no address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", "minLength" = 1, "maxLength" = 253)))]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

impl Host {
    /// Checks a host's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hosts and the port of a rule: `api.example.com`; `*.example.com`, one label more; `**.example.com`, one or more;
/// each with a port that is not 443 behind it, as in `api.example.com:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^(\*{1,2}\.)?[a-z0-9.-]+(:[1-9][0-9]{0,4})?$", "minLength" = 1, "maxLength" = 262)))]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    depth: Depth,
    /// The name, or what is behind the wildcard and its dot.
    name: String,
    port: u16,
}

/// How many labels more than its name a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Depth {
    None,
    One,
    Any,
}

impl HostPattern {
    /// Checks a pattern. Each part that is malformed has a message of its own.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('[') || text.matches(':').count() > 1 {
            return Err(ADDRESS);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, HTTPS),
        };
        let (depth, name) = if let Some(name) = host.strip_prefix("**.") {
            (Depth::Any, name)
        } else if let Some(name) = host.strip_prefix("*.") {
            (Depth::One, name)
        } else {
            (Depth::None, host)
        };
        if name.contains('*') {
            return Err(WILDCARD);
        }
        check_name(name)?;
        if depth != Depth::None && !name.contains('.') {
            return Err(TOO_BROAD);
        }
        Ok(Self { depth, name: name.to_owned(), port })
    }

    /// Whether more hosts than one are meant.
    pub fn has_wildcard(&self) -> bool {
        self.depth != Depth::None
    }

    /// Whether a request to this host and port is meant.
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        if port != self.port {
            return false;
        }
        let Some(more) = host.0.strip_suffix(&self.name) else { return false };
        match self.depth {
            Depth::None => more.is_empty(),
            Depth::One => more.strip_suffix('.').is_some_and(|label| !label.contains('.')),
            Depth::Any => more.ends_with('.'),
        }
    }
}

checked_text!(Host);
checked_text!(HostPattern);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = match self.depth {
            Depth::None => "",
            Depth::One => "*.",
            Depth::Any => "**.",
        };
        let port = if self.port == HTTPS { String::new() } else { format!(":{}", self.port) };
        f.pad(&format!("{wildcard}{}{port}", self.name))
    }
}

const ADDRESS: Invalid = Invalid::new(
    FieldErrorType::ValueError,
    "a host is a name, not an IP address; its certificate is for a name",
);
const WILDCARD: Invalid = Invalid::new(
    FieldErrorType::StringPatternMismatch,
    "a wildcard is the whole first label of a host, like *.example.com or **.example.com",
);
const TOO_BROAD: Invalid = Invalid::new(
    FieldErrorType::ValueError,
    "behind a wildcard at least two labels are expected, like *.example.com",
);

fn parse_port(text: &str) -> Result<u16, Invalid> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let invalid = Invalid::new(FieldErrorType::IntParsing, "a host's port is a number from 1 to 65535");
    text.parse().ok().filter(|_| plain).ok_or(invalid)
}

/// Checks a name without wildcard and port.
fn check_name(name: &str) -> Result<(), Invalid> {
    use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
    if name.is_empty() {
        return Err(Invalid::new(StringTooShort, "a host has a name"));
    }
    if name.len() > MAX_HOST {
        return Err(Invalid::new(StringTooLong, "a host's name has at most 253 characters"));
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        return Err(Invalid::new(
            StringPatternMismatch,
            "a host is in lower case, an international one in its xn-- form",
        ));
    }
    if name.contains('*') {
        return Err(WILDCARD);
    }
    if name.contains(['[', ']', ':']) {
        return Err(ADDRESS);
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        return Err(Invalid::new(
            StringPatternMismatch,
            "a host has only letters, digits, hyphens and dots: no scheme, user or path",
        ));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL || label.starts_with('-') || label.ends_with('-') {
            return Err(Invalid::new(
                StringPatternMismatch,
                "between a host's dots are 1 to 63 characters, without a hyphen at either end",
            ));
        }
    }
    // What has a number as its last label is read as an IPv4 address, also `127.1` and `0x7f.1` (WHATWG URL, 3.5).
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ADDRESS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        for good in [
            "api.openai.com",
            "*.example.com",
            "**.amazonaws.com:8443",
            "localhost",
            "xn--bcher-kva.example",
            "a1.b-c.d:1",
        ] {
            assert_eq!(HostPattern::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(HostPattern::parse("a.example:443").unwrap().to_string(), "a.example");
    }

    #[test]
    fn each_malformed_part_has_an_error_of_its_own() {
        let long = format!("{}.example.com", "a.".repeat(130));
        let label = format!("{}.com", "a".repeat(64));
        for (bad, message) in [
            ("", "a host has a name"),
            (":443", "a host has a name"),
            (long.as_str(), "at most 253"),
            ("API.example.com", "lower case"),
            ("bücher.example", "lower case"),
            ("*", "wildcard"),
            ("**", "wildcard"),
            ("***.example.com", "wildcard"),
            ("a*.example.com", "wildcard"),
            ("a.*.example.com", "wildcard"),
            ("*.*.example.com", "wildcard"),
            ("*.com", "two labels"),
            ("**.localhost", "two labels"),
            ("127.0.0.1", "IP address"),
            ("127.1", "IP address"),
            ("0x7f.1", "IP address"),
            ("0x7f", "IP address"),
            ("0x", "IP address"),
            ("2130706433", "IP address"),
            ("[::1]:443", "IP address"),
            ("::1", "IP address"),
            ("a.example:0", "port"),
            ("a.example:", "port"),
            ("a.example:0443", "port"),
            ("a.example:65536", "port"),
            ("a.example:+1", "port"),
            ("https://a.example", "port"),
            ("a.example/path", "no scheme"),
            ("user@a.example", "no scheme"),
            ("a_b.example", "no scheme"),
            ("a.example.", "between a host's dots"),
            ("a..example", "between a host's dots"),
            (".example", "between a host's dots"),
            ("-a.example", "between a host's dots"),
            ("a-.example", "between a host's dots"),
            (label.as_str(), "between a host's dots"),
        ] {
            let invalid = HostPattern::parse(bad).unwrap_err();
            assert!(invalid.message.contains(message), "{bad:?}: {}", invalid.message);
        }
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels() {
        let matches = |pattern: &str, host: &str, port| {
            HostPattern::parse(pattern).unwrap().matches(&Host::parse(host).unwrap(), port)
        };
        assert!(matches("a.example.com", "a.example.com", 443));
        assert!(!matches("a.example.com", "a.example.com", 80));
        assert!(!matches("a.example.com", "b.a.example.com", 443));
        assert!(!matches("a.example.com", "xa.example.com", 443));
        assert!(!matches("a.example.com", "a.example.com.evil.net", 443));
        assert!(matches("*.example.com:8443", "a.example.com", 8443));
        for other in ["example.com", "a.b.example.com", "aexample.com", "example.com.evil.net"] {
            assert!(!matches("*.example.com", other, 443), "{other}");
        }
        assert!(matches("**.example.com", "a.b.example.com", 443));
        assert!(matches("**.example.com", "a.example.com", 443));
        assert!(!matches("**.example.com", "example.com", 443));
        assert!(!matches("**.example.com", "evilexample.com", 443));
    }

    proptest! {
        #[test]
        fn reading_any_text_ends_in_a_pattern_that_reads_the_same_or_an_error(text in "[*.:a-cA-Z0-9x\\[\\]é-]{0,24}") {
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert_eq!(&HostPattern::parse(&pattern.to_string()).unwrap(), &pattern);
            }
        }

        #[test]
        fn a_pattern_matches_what_comparing_label_by_label_does(
            wildcard in prop::sample::select(vec!["", "*.", "**."]),
            name in "[ab]{1,2}\\.[ab]{1,2}",
            host in "([ab]{1,2}\\.){0,3}[ab]{1,2}",
        ) {
            let pattern = HostPattern::parse(&format!("{wildcard}{name}")).unwrap();
            let labels: Vec<&str> = host.split('.').collect();
            let tail: Vec<&str> = name.split('.').collect();
            let more = labels.len().checked_sub(tail.len());
            let expected = labels.ends_with(&tail) && match wildcard {
                "" => more == Some(0),
                "*." => more == Some(1),
                _ => more.is_some_and(|more| more >= 1),
            };
            prop_assert_eq!(pattern.matches(&Host::parse(&host).unwrap(), HTTPS), expected);
        }
    }
}
