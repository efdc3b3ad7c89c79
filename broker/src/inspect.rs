//! A request that the program sends: whether it can be read in one way only, and where in it placeholders stand. It sees no
//! value, and speaks to nobody.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{Method, Version};
use secrets_proto::ErrorType;
use secrets_proto::rule::host::HTTPS;
use secrets_proto::session::WhyRefused;

use crate::denial::Denial;
use crate::grants::Target;

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

/// Refuses what two programs could read in two ways: what goes on is written again from what was read here, and yet a rule
/// must not be asked about one thing and another be sent.
pub(crate) fn check(head: &Parts, target: &Target) -> Result<(), Denial> {
    if head.version == Version::HTTP_10 || head.version == Version::HTTP_09 {
        return Err(Denial::failure(
            ErrorType::UpgradeRequiredError,
            "http_version",
            "HTTP/1.1 or HTTP/2 is needed",
        ));
    }
    if head.method == Method::CONNECT {
        return Err(Denial::refusal(WhyRefused::Smuggling, "a tunnel within a tunnel carries nothing"));
    }
    if !head.uri.path().starts_with('/') {
        return Err(Denial::refusal(WhyRefused::Smuggling, "a request's path begins with /"));
    }
    let mismatch = || {
        Denial::refusal(
            WhyRefused::HostMismatch,
            "the request names another host than the connection is for; connect to that host",
        )
    };
    if head.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        return Err(mismatch());
    }
    let mut named = 0;
    for host in head.headers.get_all(HOST) {
        let host = host.to_str().ok().and_then(|host| Target::parse(host, Some(HTTPS)));
        if host.as_ref() != Some(target) {
            return Err(mismatch());
        }
        named += 1;
    }
    if let Some(authority) = head.uri.authority() {
        if Target::parse(authority.as_str(), Some(HTTPS)).as_ref() != Some(target) {
            return Err(mismatch());
        }
    } else if named != 1 {
        return Err(mismatch());
    }
    if named > 1 { Err(mismatch()) } else { Ok(()) }
}

/// Whether a request asks for a WebSocket (RFC 6455, section 4.1). Other protocols are refused: what is said in them could not
/// be looked into.
pub(crate) fn asks_for_websocket(head: &Parts) -> Result<bool, Denial> {
    let mut wanted = head.headers.get_all(UPGRADE).iter();
    let Some(first) = wanted.next() else { return Ok(false) };
    let is_websocket = first.as_bytes().eq_ignore_ascii_case(b"websocket") && wanted.next().is_none();
    let has_body = head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
    if is_websocket && head.version == Version::HTTP_11 && head.method == Method::GET && !has_body {
        return Ok(true);
    }
    Err(Denial::failure(
        ErrorType::UpgradeRequiredError,
        "upgrade",
        "a connection can become a WebSocket, asked for by GET over HTTP/1.1, and nothing else; leave out Upgrade",
    ))
}

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
    use hyper::Request;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri).header("host", "api.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn target() -> Target {
        Target::parse("api.example.com", Some(443)).unwrap()
    }

    #[test]
    fn a_request_that_names_another_host_is_refused() {
        let checked = |uri: &str, headers: &[(&str, &str)]| check(&head(uri, headers), &target());
        assert_eq!(checked("/", &[]), Ok(()));
        assert_eq!(checked("https://api.example.com/", &[]), Ok(()));
        assert_eq!(checked("https://API.example.com:443/", &[]), Ok(()));
        for (uri, headers) in [
            ("https://evil.example/", &[][..]),
            ("https://api.example.com:444/", &[]),
            ("http://api.example.com:443/", &[]),
            ("/", &[("host", "evil.example")]),
            ("/", &[("host", "api.example.com")]),
        ] {
            let denial = checked(uri, headers).unwrap_err();
            assert_eq!(denial.why(), Some(WhyRefused::HostMismatch), "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_connection_becomes_a_websocket_and_nothing_else() {
        let asks = |headers: &[(&str, &str)]| asks_for_websocket(&head("/", headers)).ok();
        assert_eq!(asks(&[]), Some(false));
        assert_eq!(asks(&[("upgrade", "WebSocket")]), Some(true));
        for headers in [
            &[("upgrade", "h2c")][..],
            &[("upgrade", "websocket, h2c")],
            &[("upgrade", "websocket"), ("upgrade", "h2c")],
            &[("upgrade", "websocket"), ("content-length", "3")],
            &[("upgrade", "websocket"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(asks(headers), None, "{headers:?}");
        }
    }

    #[test]
    fn what_is_for_one_step_goes_no_further() {
        let mut headers = head(
            "/",
            &[
                ("connection", "close, X-Mine"),
                ("x-mine", "1"),
                ("keep-alive", "5"),
                ("Proxy-Authorization", "Basic eDp5"),
                ("proxy-anything", "1"),
                ("te", "trailers"),
                ("upgrade", "h2c"),
                ("accept", "*/*"),
            ],
        )
        .headers;
        keep_end_to_end(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host", "te"]);
    }
}
