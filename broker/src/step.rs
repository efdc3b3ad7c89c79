//! What of a request or an answer is for one step of its way alone.

use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

/// Headers that say how a request travels one step (RFC 9110, section 7.6.1), and those that are for a proxy alone, which
/// some programs send once more inside of the tunnel.
const OF_ONE_STEP: [&str; 8] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Takes out what is for one step alone: these headers, and those that `Connection` names (RFC 9110, section 7.6.1).
pub(crate) fn keep_end_to_end(headers: &mut HeaderMap) {
    let trailers = headers.get("te").is_some_and(|te| te == "trailers");
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let goes = |name: &&HeaderName| {
        OF_ONE_STEP.contains(&name.as_str()) || name.as_str().starts_with("proxy-") || named.contains(name)
    };
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    if trailers {
        // gRPC asks for it, and it is true of us.
        headers.insert("te", HeaderValue::from_static("trailers"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_step_goes_no_further() {
        let fields = [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("Proxy-Authorization", "Basic eDp5"),
            ("proxy-anything", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static(value));
        }
        keep_end_to_end(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "te"]);
    }
}
