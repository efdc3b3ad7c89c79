//! Answers on their way out. They become HTTP's at the very end, in the header map that the request came with: a map
//! less to make for each request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::permits::Permit;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is answered.
#[derive(Debug)]
pub(crate) struct Response {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    tag: Option<HeaderValue>,
    /// Headers that few answers have.
    others: Vec<(HeaderName, HeaderValue)>,
    after_relaunch: bool,
}

/// Secrets as JSON, in one buffer of the right size, which is wiped when it is dropped.
pub(crate) fn sensitive<T: Serialize>(body: &T) -> serde_json::Result<Bytes> {
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, body)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body)?;
    Ok(Bytes::from_owner(bytes))
}

/// Marks an answer that the daemon's next image is to send: when it arrives, this one's memory is gone.
#[derive(Debug, Clone)]
pub(crate) struct AfterRelaunch;

impl Response {
    /// A body that is JSON already.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let (content_type, body) = ("application/json", body.into());
        Self { status, content_type, body, tag: None, others: Vec::new(), after_relaunch: false }
    }

    /// A body of bytes.
    pub(crate) fn binary(body: Bytes) -> Self {
        Self { content_type: "application/octet-stream", ..Self::json(StatusCode::OK, body) }
    }

    /// Leaves sending the response to the daemon's next image.
    pub(crate) fn after_relaunch(self) -> Self {
        Self { after_relaunch: true, ..self }
    }

    /// No body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::json(status, Bytes::new())
    }

    /// Metadata.
    pub(crate) fn metadata<T: Serialize>(status: StatusCode, body: &T) -> Result<Self, Unwritable> {
        serde_json::to_vec(body).map(|body| Self::json(status, body)).map_err(unwritable)
    }

    /// Secrets: written into one buffer of the right size, which is wiped when it was sent.
    pub(crate) fn sensitive<T: Serialize>(status: StatusCode, body: &T) -> Result<Self, Unwritable> {
        sensitive(body).map(|body| Self::json(status, body)).map_err(unwritable)
    }

    /// Holds a permit with the response, which is free again when the body was sent or given up.
    pub(crate) fn holding(self, permit: Permit) -> Self {
        struct Body(Bytes, #[expect(dead_code, reason = "it is dropped with the body")] Permit);
        impl AsRef<[u8]> for Body {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Self { body: Bytes::from_owner(Body(self.body, permit)), ..self }
    }

    /// Adds an `ETag`.
    pub(crate) fn tagged(self, tag: HeaderValue) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.others.push((name, value));
        self
    }

    /// The response's status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Makes it HTTP's, with this request id; what `headers` held is thrown away.
    pub(crate) fn into_http(self, request_id: Bytes, mut headers: HeaderMap) -> hyper::Response<Full<Bytes>> {
        headers.clear();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_maybe_shared(request_id) {
            headers.insert(X_REQUEST_ID, id);
        }
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if let Some(tag) = self.tag {
            headers.insert(ETAG, tag);
        }
        if !self.others.is_empty() {
            headers.extend(self.others);
        }
        let mut response = hyper::Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        if self.after_relaunch {
            response.extensions_mut().insert(AfterRelaunch);
        }
        response
    }
}

/// A reply that cannot be written as JSON.
#[derive(Debug)]
pub(crate) struct Unwritable;

fn unwritable(_: serde_json::Error) -> Unwritable {
    Unwritable
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
