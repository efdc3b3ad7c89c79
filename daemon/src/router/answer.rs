//! Answers on their way out. They become HTTP's at the very end, in the header map that the request came with: a map
//! less to make for each request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::Failure;
use crate::permits::Permit;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    tag: Option<HeaderValue>,
    /// Headers that few answers have.
    others: Vec<(HeaderName, HeaderValue)>,
    after_relaunch: bool,
}

/// Secrets as JSON, in one buffer of the right size, which is wiped when it is dropped.
pub(super) fn sensitive<T: Serialize>(body: &T) -> serde_json::Result<Bytes> {
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, body)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body)?;
    Ok(Bytes::from_owner(bytes))
}

/// Marks an answer that the daemon's next image is to send: when it arrives, this one's memory is gone.
#[derive(Debug, Clone)]
pub(crate) struct AfterRelaunch;

impl Answer {
    /// A body that is JSON already.
    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let (content_type, body) = ("application/json", body.into());
        Self { status, content_type, body, tag: None, others: Vec::new(), after_relaunch: false }
    }

    /// A body of bytes.
    pub(super) fn binary(body: Bytes) -> Self {
        Self { content_type: "application/octet-stream", ..Self::json(StatusCode::OK, body) }
    }

    /// The same, to be sent by the daemon's next image.
    pub(super) fn after_relaunch(self) -> Self {
        Self { after_relaunch: true, ..self }
    }

    /// No body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self::json(status, Bytes::new())
    }

    /// Metadata.
    pub(super) fn metadata<T: Serialize>(status: StatusCode, body: &T) -> Result<Self, Failure> {
        serde_json::to_vec(body).map(|body| Self::json(status, body)).map_err(unwritable)
    }

    /// Secrets: written into one buffer of the right size, which is wiped when it was sent.
    pub(super) fn sensitive<T: Serialize>(status: StatusCode, body: &T) -> Result<Self, Failure> {
        sensitive(body).map(|body| Self::json(status, body)).map_err(unwritable)
    }

    /// The same, with a permit that is free again when the body was sent or given up.
    pub(super) fn holding(self, permit: Permit) -> Self {
        struct Body(Bytes, #[expect(dead_code, reason = "it is dropped with the body")] Permit);
        impl AsRef<[u8]> for Body {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Self { body: Bytes::from_owner(Body(self.body, permit)), ..self }
    }

    /// The same, with an `ETag`.
    pub(super) fn tagged(self, tag: HeaderValue) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// The same, with one more header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.others.push((name, value));
        self
    }

    /// Its status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Makes it HTTP's, with this request id; what `headers` held is thrown away.
    pub(crate) fn into_response(self, request_id: Bytes, mut headers: HeaderMap) -> Response<Full<Bytes>> {
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
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        if self.after_relaunch {
            response.extensions_mut().insert(AfterRelaunch);
        }
        response
    }
}

fn unwritable(_: serde_json::Error) -> Failure {
    Failure::internal("a reply cannot be written as JSON")
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
