//! What an HTTP library lets through and a front that guards secrets must not: requests that two programs could read
//! in two ways. All of it is refused before anybody asks who is there.

use hyper::Version;
use hyper::header::{AUTHORIZATION, HOST, HeaderName};
use hyper::http::request::Parts;
use secrets_proto::API_VERSION;

use super::error::Failure;

/// The header that carries a token in the API's own client.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

const X_SECRETSD_API: HeaderName = HeaderName::from_static("x-secretsd-api");

/// Checks a request's head.
pub(crate) fn check(head: &Parts) -> Result<(), Failure> {
    if head.version != Version::HTTP_11 {
        return Err(Failure::upgrade("HTTP/1.1", "This needs HTTP/1.1").closing());
    }
    check_target(head)?;
    if head.headers.get_all(HOST).iter().count() != 1 {
        return refuse("Exactly one Host header is expected");
    }
    for name in [AUTHORIZATION, X_API_KEY] {
        if head.headers.get_all(name).iter().nth(1).is_some() {
            return refuse("A header that carries the token is given twice; send it once");
        }
    }
    if head.headers.get_all(X_SECRETSD_API).iter().any(|version| version != API_VERSION) {
        let detail = "This daemon speaks version 1 of the API; upgrade one of the two";
        return Err(Failure::upgrade("secretsd-api/1", detail));
    }
    Ok(())
}

/// A path from the root, without anything that could be read as another path.
fn check_target(head: &Parts) -> Result<(), Failure> {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return refuse("A path is expected as the request's target, not a whole URL");
    }
    let path = head.uri.path();
    if !path.starts_with('/') {
        return refuse("A path is expected as the request's target");
    }
    if path.contains("//") || path.split('/').any(|step| step == "." || step == "..") {
        return refuse("A path without empty and dot segments is expected");
    }
    // Nothing in our paths needs encoding, so whatever is encoded is an attempt at a second reading.
    if path.bytes().any(|byte| byte == b'%' || byte == b'\\' || !byte.is_ascii_graphic()) {
        return refuse("A path without encoded characters is expected");
    }
    Ok(())
}

fn refuse(detail: &'static str) -> Result<(), Failure> {
    Err(Failure::invalid_request(detail).closing())
}
