//! What is answered without a token: nothing about the vault or its owner.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::answer;

/// `GET /healthz`
pub(super) fn health() -> Response<Full<Bytes>> {
    answer::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))
}
