//! `ETag`, `If-None-Match` and `If-Match`.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH};
use secrets_proto::{FieldErrorType, Invalid};

/// A tag that is in quotes already.
pub(crate) fn etag(quoted: Bytes) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(quoted).ok()
}

/// The tag of one secret: its version, which `If-Match` compares.
pub(crate) fn version_tag(version: u64) -> Option<HeaderValue> {
    etag(Bytes::from(format!("\"{version}\"")))
}

/// Whether the caller has what this tag stands for. What cannot be read matches nothing: the caller gets the whole.
pub(crate) fn has_already(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|item| {
            let item = item.trim_ascii();
            item == b"*" || item.strip_prefix(b"W/").unwrap_or(item) == tag.as_bytes()
        })
    })
}

/// The versions of which `If-Match` demands one; `None` without it, or for `*`. They are compared strongly, so that a weak
/// tag or a tag that is no version is none of them: RFC 9110, 13.1.1.
pub(crate) fn expected_versions(headers: &HeaderMap) -> Result<Option<Vec<u64>>, Invalid> {
    let malformed = || {
        Invalid::new(
            FieldErrorType::ValueError,
            "expected versions in quotes, like \"3\" or \"3\", \"4\", or *",
        )
    };
    let lines: Vec<&[u8]> =
        headers.get_all(IF_MATCH).iter().map(|line| line.as_bytes().trim_ascii()).collect();
    if lines.is_empty() || lines == [b"*"] {
        return Ok(None);
    }
    let (mut versions, mut tags) = (Vec::new(), 0);
    for mut rest in lines {
        while let Some((tag, after)) = next_tag(rest).ok_or_else(malformed)? {
            tags += 1;
            rest = after;
            let strong = std::str::from_utf8(tag).ok().filter(|text| !text.starts_with("W/"));
            let version = strong.and_then(|text| text.trim_matches('"').parse::<u64>().ok());
            versions.extend(version.filter(|version| strong == Some(&format!("\"{version}\""))));
        }
    }
    if tags == 0 { Err(malformed()) } else { Ok(Some(versions)) }
}

/// Takes the first tag off a list of them (RFC 9110, 5.6.1 and 8.8.3); what is outside is `None` where there is none such.
fn next_tag(list: &[u8]) -> Option<Option<(&[u8], &[u8])>> {
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b'\t' | b',');
    let list = list.get(list.iter().take_while(is_gap).count()..)?;
    if list.is_empty() {
        return Some(None);
    }
    let opaque = list.strip_prefix(b"W/").unwrap_or(list).strip_prefix(b"\"")?;
    let length = memchr::memchr(b'"', opaque)?;
    let (inside, after) = opaque.split_at_checked(length)?;
    if !inside.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
        return None;
    }
    let after = after.get(1..)?;
    let ends = after.trim_ascii_start().first().is_none_or(|byte| *byte == b',');
    let tag = list.get(..list.len() - after.len())?;
    ends.then_some(Some((tag, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: hyper::header::HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn if_match_is_strong_versions_or_a_star() {
        let versions = |lines: &[&'static str]| expected_versions(&headers(IF_MATCH, lines));
        assert_eq!(versions(&[]), Ok(None));
        assert_eq!(versions(&["*"]), Ok(None));
        for (good, expected) in [
            (&["\"7\""][..], &[7][..]),
            (&["\"7\", \"8\""], &[7, 8]),
            (&[" ,\"7\" ,\t,\"8\","], &[7, 8]),
            (&["\"7\"", "\"8\""], &[7, 8]),
            (&["W/\"7\", \"a,b\", \"8\""], &[8]),
        ] {
            assert_eq!(versions(good).unwrap().unwrap(), expected, "{good:?}");
        }
        for other in ["W/\"7\"", "\"\"", "\"+7\"", "\"07\"", "\"a\"", "\"99999999999999999999\""] {
            assert_eq!(versions(&[other]).unwrap().unwrap(), [0_u64; 0], "{other}");
        }
        for bad in
            ["7", "\"", "", ",", "\"7\" \"8\"", "\"7\"8", "w/\"7\"", "W/7", "\"7 8\"", "*, \"7\"", "\"7\", *"]
        {
            assert_eq!(versions(&[bad]).unwrap_err().kind, FieldErrorType::ValueError, "{bad}");
        }
        assert!(versions(&["*", "*"]).is_err() && versions(&["\"7\"", "8"]).is_err());
    }

    #[test]
    fn if_none_match_compares_weakly_in_lists() {
        let tag = etag(Bytes::from_static(b"\"7-x\"")).unwrap();
        let has = |lines: &[&'static str]| has_already(&headers(IF_NONE_MATCH, lines), &tag);
        assert!(has(&["\"7-x\""]) && has(&["W/\"7-x\""]) && has(&["*"]));
        assert!(has(&["\"1\", W/\"7-x\""]) && has(&["\"1\"", "\"7-x\""]));
        assert!(!has(&[]) && !has(&["\"7\""]) && !has(&["7-x"]) && !has(&[""]));
    }
}
