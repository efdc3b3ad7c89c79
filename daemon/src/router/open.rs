//! What is answered without a token: nothing about the vault or its owner.

use bytes::Bytes;
use hyper::StatusCode;

use super::answer::Answer;

/// `GET /healthz`
pub(super) fn health() -> Answer {
    Answer::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))
}
