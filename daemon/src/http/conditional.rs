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

/// The version that `If-Match` demands; `None` without one, or for `*`.
pub(crate) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Invalid> {
    let malformed =
        Invalid::new(FieldErrorType::ValueError, "expected one version in quotes, like \"3\", or *");
    let mut lines = headers.get_all(IF_MATCH).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(malformed);
    }
    let text = line.as_bytes().trim_ascii();
    if text == b"*" {
        return Ok(None);
    }
    let digits = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).ok_or(malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(malformed)?;
    Ok(Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: hyper::header::HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn if_match_is_one_strong_version_or_a_star() {
        let version = |lines: &[&'static str]| expected_version(&headers(IF_MATCH, lines));
        assert_eq!(version(&[]), Ok(None));
        assert_eq!(version(&["*"]), Ok(None));
        assert_eq!(version(&["\"7\""]), Ok(Some(7)));
        for bad in
            ["7", "W/\"7\"", "\"7\", \"8\"", "\"\"", "\"+7\"", "\"a\"", "\"", "", "\"99999999999999999999\""]
        {
            assert_eq!(version(&[bad]).unwrap_err().kind, FieldErrorType::ValueError, "{bad}");
        }
        assert!(version(&["\"7\"", "\"7\""]).is_err());
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
