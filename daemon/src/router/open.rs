//! What is answered without a token: nothing about the vault or its owner.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode};

use super::route::{Route, open};
use crate::http::conditional;
use crate::http::response::Response;

/// The API's description. The tests write it from the wire types and the table of routes, and keep it true.
static CONTRACT: &[u8] = include_bytes!("../../openapi.json");

/// The routes.
pub(super) static ROUTES: &[Route] =
    &[open("/healthz", "health", health), open("/api/v1/openapi.json", "get_openapi", contract)];

/// `GET /healthz`
fn health(_asked: &HeaderMap) -> Response {
    Response::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))
}

/// `GET /api/v1/openapi.json`
fn contract(asked: &HeaderMap) -> Response {
    static TAG: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
        let mut hasher = DefaultHasher::new();
        CONTRACT.hash(&mut hasher);
        conditional::etag(format!("\"{:016x}\"", hasher.finish()).into())
    });
    let whole = || Response::json(StatusCode::OK, Bytes::from_static(CONTRACT));
    match &*TAG {
        Some(tag) if conditional::has_already(asked, tag) => {
            Response::empty(StatusCode::NOT_MODIFIED).tagged(tag.clone())
        }
        Some(tag) => whole().tagged(tag.clone()),
        None => whole(),
    }
}
