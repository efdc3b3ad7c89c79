//! No web page gets anywhere, not even through a proxy that somebody put in front of the socket: browsers mark their
//! requests, and a page that rebinds a name to this machine still sends that name as `Host`.

use std::net::Ipv4Addr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};
use secrets_proto::ErrorType;

use crate::router::error::Failure;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a browser sent, or what was sent to a name of the internet.
pub(crate) fn refuse_browsers(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE) {
        return Err(Failure::new(ErrorType::ForbiddenError, "Web pages may not use this API; use a program")
            .closing());
    }
    if headers.get_all(HOST).iter().any(|host| !is_local(host.as_bytes())) {
        return Err(
            Failure::new(ErrorType::ForbiddenError, "This Host is not local; send Host: localhost").closing()
        );
    }
    Ok(())
}

/// A name without a dot, or a loopback address.
fn is_local(host: &[u8]) -> bool {
    if !host.contains(&b'.') {
        return true;
    }
    let Ok(text) = std::str::from_utf8(host) else { return false };
    let address = match text.rsplit_once(':') {
        Some((address, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            address
        }
        Some(_) => return false,
        None => text,
    };
    address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use hyper::header::HeaderValue;

    use super::*;

    fn status(name: HeaderName, value: &'static str) -> StatusCode {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        refuse_browsers(&headers)
            .map_or_else(|failure| failure.into_response("x").status(), |()| StatusCode::OK)
    }

    #[test]
    fn what_a_browser_marks_is_refused() {
        for (name, value) in [(ORIGIN, "null"), (ORIGIN, "http://localhost"), (SEC_FETCH_SITE, "none")] {
            assert_eq!(status(name, value), StatusCode::FORBIDDEN, "{value}");
        }
    }

    #[test]
    fn only_local_hosts_are_served() {
        for good in
            ["localhost", "localhost:80", "", "[::1]", "[::1]:8", "127.0.0.1", "127.9.9.9:80", "2f746d70:0"]
        {
            assert_eq!(status(HOST, good), StatusCode::OK, "{good}");
        }
        for bad in [
            "example.com",
            "localhost.",
            "127.0.0.1.evil.com",
            "128.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:80x",
            "[::ffff:127.0.0.1]",
            "127.0.0.1:80:90",
            "0.0.0.0",
            "127.1",
        ] {
            assert_eq!(status(HOST, bad), StatusCode::FORBIDDEN, "{bad}");
        }
    }
}
