//! Paths, as a rule names them, and when a request's path can be read in one way only.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::checked_text;
use crate::invalid::{FieldErrorType, Invalid};

/// A pattern of paths: begins with `/`; `*` stands for any characters of one segment, none too, and `**` for any at all.
/// What it says is compared with the path as it is after percent-decoding, in which case counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^/[!$&'()*+,./0-9:=@A-Z_a-z~-]*$", "minLength" = 1, "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

impl PathPattern {
    /// The most characters of a pattern.
    pub const MAX: usize = 255;

    /// Checks a pattern.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, ValueError};
        if text.len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a path has at most 255 characters"));
        }
        if !text.starts_with('/') {
            return Err(Invalid::new(StringPatternMismatch, "a path begins with /, like /v1/**"));
        }
        if text.contains(['?', '#']) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a path is without query and fragment; rules do not see those",
            ));
        }
        if text.contains('%') {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a path is written without percent-encoding, with * in its place",
            ));
        }
        if !text.bytes().all(is_plain) {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a path has only what stands in a URL as it is, and * and **",
            ));
        }
        if text.contains("***") {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a path has * for one segment or ** for any, no more stars in a row",
            ));
        }
        if has_odd_segments(text.as_bytes()) {
            return Err(Invalid::new(
                ValueError,
                "a path has no // and no segment . or .., which requests must not have either",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether this path, which is [decoded], is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut pattern = self.0.as_bytes();
        // After which bytes of the path the pattern so far may end; so it takes no longer for what is hard to match.
        let mut ends = vec![false; path.len() + 1];
        if let Some(first) = ends.first_mut() {
            *first = true;
        }
        while let Some((first, rest)) = pattern.split_first() {
            let many = *first == b'*' && rest.first() == Some(&b'*');
            pattern = if many { rest.get(1..).unwrap_or_default() } else { rest };
            let mut before = false;
            for (at, end) in ends.iter_mut().enumerate() {
                let byte = at.checked_sub(1).and_then(|at| path.get(at)).copied();
                let here = *end;
                *end = match first {
                    b'*' if many => here || before,
                    b'*' => here || (before && byte != Some(b'/')),
                    literal => before && byte == Some(*literal),
                };
                // A star goes on from where it has come to, a character from where the pattern was before it.
                before = if *first == b'*' { *end } else { here };
            }
        }
        ends.last().copied().unwrap_or(false)
    }
}

/// The path of a request as it is sent, without query: 1–8,192 visible ASCII characters, of which the first is `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^/[!-~]*$", "maxLength" = 8192)))]
#[serde(try_from = "String", into = "String")]
pub struct RequestPath(String);

impl RequestPath {
    /// The most characters of a path.
    pub const MAX: usize = 8_192;

    /// Checks a path.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong};
        if text.len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a request's path has at most 8192 characters"));
        }
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
        if !text.starts_with('/') || !visible {
            return Err(Invalid::new(
                StringPatternMismatch,
                "a request's path begins with / and is visible ASCII without query and fragment",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

checked_text!(PathPattern);
checked_text!(RequestPath);

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The path of a request with its percent-encoding taken away, if it can be read in one way only; else `None`. Two
/// programs may differ about what has `//`, a segment `.` or `..`, a backslash or `;` in it, in clear or encoded; an
/// encoded `/`, `%` or control character; an escape that is none; or bytes that do not stand in a URL.
pub fn decoded(path: &str) -> Option<Cow<'_, [u8]>> {
    let bytes = path.as_bytes();
    if !path.starts_with('/') || !bytes.iter().all(|byte| *byte == b'%' || *byte == b'*' || is_plain(*byte)) {
        return None;
    }
    let plain = if path.contains('%') { Cow::Owned(unescaped(bytes)?) } else { Cow::Borrowed(bytes) };
    (!has_odd_segments(&plain)).then_some(plain)
}

fn unescaped(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            plain.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        rest = tail;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let value = digit(digits.first()?)? * 16 + digit(digits.last()?)?;
        let byte = u8::try_from(value).ok()?;
        if byte.is_ascii_control() || b"/\\%;".contains(&byte) {
            return None;
        }
        plain.push(byte);
    }
    Some(plain)
}

/// What stands in a path as it is (RFC 3986, `pchar` and `/`), but for `;`, which some servers cut off a segment.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

/// Whether a segment is `.` or `..`, or one that is not the last is empty.
fn has_odd_segments(path: &[u8]) -> bool {
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    path.windows(2).any(|pair| pair == b"//") || path.split(|byte| *byte == b'/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(&decoded(path).unwrap())
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_do_not() {
        assert!(matches("/v1/models", "/v1/models"));
        assert!(!matches("/v1/models", "/v1/models/"));
        assert!(!matches("/v1/models", "/V1/models"));
        assert!(matches("/v1/*", "/v1/a") && matches("/v1/*", "/v1/"));
        assert!(!matches("/v1/*", "/v1/a/b") && !matches("/v1/*", "/v1"));
        assert!(matches("/v1/**", "/v1/a/b/") && !matches("/v1/**", "/v1"));
        assert!(matches("/**", "/"));
        assert!(matches("/*/*/git-*", "/o/r/git-upload-pack"));
        assert!(!matches("/*/*/git-*", "/o/r/x/git-upload-pack"));
        assert!(matches("/**/*.git/**", "/group/sub/r.git/info/refs"));
        assert!(matches("/v1/a:b", "/v1/a%3Ab") && matches("/v1/keys", "/v1/%6beys"));
    }

    #[test]
    fn each_malformed_part_has_an_error_of_its_own() {
        let long = format!("/{}", "a".repeat(255));
        for (bad, message) in [
            ("", "begins with /"),
            ("v1", "begins with /"),
            ("**", "begins with /"),
            (long.as_str(), "255"),
            ("/v1?x=*", "query"),
            ("/v1#x", "query"),
            ("/v1/%2f", "percent"),
            ("/v1/ a", "stands in a URL"),
            ("/v1/a;b", "stands in a URL"),
            ("/v1/a\\b", "stands in a URL"),
            ("/é", "stands in a URL"),
            ("/v1/***", "stars in a row"),
            ("/v1//a", "no //"),
            ("//", "no //"),
            ("/v1/./a", "no //"),
            ("/v1/..", "no //"),
        ] {
            let invalid = PathPattern::parse(bad).unwrap_err();
            assert!(invalid.message.contains(message), "{bad:?}: {}", invalid.message);
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_none() {
        for good in ["/", "/a/b/", "/a%20b", "/%C3%A9", "/a.b", "/...", "/a:b@c*", "/.a", "/a..", "/%3F"] {
            assert!(decoded(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a",
            "*",
            "/a//b",
            "//",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e/",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/a%252e",
            "/a%25",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+2",
            "/a b",
            "/é",
            "/a?b",
            "/a#b",
            "/a;b",
            "/a%3bb",
            "/..;/a",
            "/a\n",
            "/a\"",
        ] {
            assert!(decoded(bad).is_none(), "{bad}");
        }
    }

    /// The plain way to compare, which takes as long as it takes.
    fn compare(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| compare(rest, &path[at..])),
            [b'*', rest @ ..] => {
                let segment = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
                (0..=segment).any(|at| compare(rest, &path[at..]))
            }
            [first, rest @ ..] => path.first() == Some(first) && compare(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_the_plain_way_does(pattern in "/[ab/*]{0,8}", path in "/[ab/]{0,10}") {
            if let (Ok(pattern), Some(path)) = (PathPattern::parse(&pattern), decoded(&path)) {
                prop_assert_eq!(pattern.matches(&path), compare(pattern.0.as_bytes(), &path));
            }
        }

        #[test]
        fn what_is_decoded_has_no_odd_part_and_encoding_more_changes_nothing(path in "/[a-c./%;\\\\250ef]{0,12}", at in 0_usize..12) {
            if let Some(plain) = decoded(&path) {
                prop_assert!(!plain.windows(2).any(|pair| pair == b"//"));
                prop_assert!(!plain.iter().any(|byte| b"\\%;\0".contains(byte)));
                prop_assert!(plain.split(|byte| *byte == b'/').all(|segment| segment != b"." && segment != b".."));
                if !path.contains('%') && at < path.len() && plain[at] != b'/' {
                    let encoded = format!("{}%{:02x}{}", &path[..at], path.as_bytes()[at], &path[at + 1..]);
                    prop_assert_eq!(decoded(&encoded), Some(plain));
                }
            }
        }
    }

    #[test]
    fn what_is_hard_to_match_takes_no_longer() {
        let pattern = PathPattern::parse(&format!("/{}", "**a".repeat(80))).unwrap();
        assert!(!pattern.matches(format!("/{}b", "a".repeat(8_000)).as_bytes()));
    }
}
