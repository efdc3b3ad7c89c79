//! A request that the program sends: whether it can be read in one way only, and where in it placeholders stand. It sees no
//! value, and speaks to nobody.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{Method, Version};
use secrets_proto::ErrorType;
use secrets_proto::rule::Rule;
use secrets_proto::rule::host::HTTPS;
use secrets_proto::session::WhyRefused;

use crate::denial::Denial;
use crate::grants::Target;

/// What some hosts take for the method or the path in place of the request's own: headers, and parameters of the query.
const OVERRIDES: [&str; 10] = [
    "-method",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// The port of `http://`.
const HTTP: u16 = 80;

/// Refuses what two programs could read in two ways: what goes on is written again from what was read here, and yet a rule
/// must not be asked about one thing and another be sent.
pub(crate) fn check(head: &Parts, target: &Target, scheme: &Scheme) -> Result<(), Denial> {
    let port = if *scheme == Scheme::HTTPS { HTTPS } else { HTTP };
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
    if head.uri.scheme().is_some_and(|named| named != scheme) {
        return Err(mismatch());
    }
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let is_number = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some_and(|length| !is_number(length)) || lengths.next().is_some() {
        return Err(Denial::refusal(WhyRefused::Smuggling, "a body has one length"));
    }
    let mut named = 0;
    for host in head.headers.get_all(HOST) {
        let host = host.to_str().ok().and_then(|host| Target::parse(host, Some(port)));
        if host.as_ref() != Some(target) {
            return Err(mismatch());
        }
        named += 1;
    }
    if let Some(authority) = head.uri.authority() {
        if Target::parse(authority.as_str(), Some(port)).as_ref() != Some(target) {
            return Err(mismatch());
        }
    } else if named != 1 {
        return Err(mismatch());
    }
    if named > 1 { Err(mismatch()) } else { Ok(()) }
}

/// Refuses a request that asks the host to take it for one by another method or to another path, where the rule says which
/// it may be.
pub(crate) fn check_overrides(head: &Parts, rule: &Rule) -> Result<(), Denial> {
    if rule.methods.is_empty() && rule.paths.is_empty() && rule.except.is_empty() {
        return Ok(());
    }
    // Some servers take both for the same.
    let overrides = |name: &str| OVERRIDES.contains(&name.to_ascii_lowercase().replace('_', "-").as_str());
    let query = head.uri.query().unwrap_or_default();
    let mut parameters = query.split('&').filter_map(|part| part.split('=').next());
    if head.headers.keys().any(|name| overrides(name.as_str())) || parameters.any(overrides) {
        return Err(Denial::refusal(
            WhyRefused::Smuggling,
            "the rule is for some methods or paths, and the request asks the host to take it for another; send it as what it is",
        ));
    }
    Ok(())
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
        let checked =
            |uri: &str, headers: &[(&str, &str)]| check(&head(uri, headers), &target(), &Scheme::HTTPS);
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
    fn a_body_has_one_length() {
        for lengths in [&["5", "5"][..], &["5", "6"], &["5, 5"], &["+5"]] {
            let headers: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let mut head = head("https://api.example.com/", &headers);
            head.headers.remove(HOST);
            let denial = check(&head, &target(), &Scheme::HTTPS).unwrap_err();
            assert_eq!(denial.why(), Some(WhyRefused::Smuggling), "{lengths:?}");
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
}
