//! Answers as bytes: the headers that every one has, and bodies in JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::Failure;

/// An answer with a body that is JSON already.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = plain(status, body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    plain(status, Bytes::new())
}

/// An answer of metadata.
pub(super) fn metadata<T: Serialize>(status: StatusCode, body: &T) -> Result<Response<Full<Bytes>>, Failure> {
    let body =
        serde_json::to_vec(body).map_err(|_| Failure::internal("a reply cannot be written as JSON"))?;
    Ok(json(status, body))
}

/// An answer that holds secrets: written into one buffer of the right size, which is wiped when it was sent.
pub(super) fn sensitive<T: Serialize>(
    status: StatusCode,
    body: &T,
) -> Result<Response<Full<Bytes>>, Failure> {
    let unwritable = |_| Failure::internal("a reply cannot be written as JSON");
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, body).map_err(unwritable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body).map_err(unwritable)?;
    Ok(json(status, Bytes::from_owner(bytes)))
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
