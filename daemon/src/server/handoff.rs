//! Responses that the daemon's next image sends: their bytes, and the way from the request to the connection that must
//! let go of its stream.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use tokio::sync::Notify;

use crate::relaunch::KeptReply;

/// Between the requests of a connection and the connection itself.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    kept: Mutex<Option<KeptReply>>,
    handed_off: Notify,
}

impl Handoff {
    /// Keeps the answer for the next image, and does not come back: the connection ends without it. Comes back with the
    /// answer if it cannot be kept.
    pub(super) async fn hand_off(&self, response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        let Ok(kept) = KeptReply::new(&write(response.clone()).await) else { return response };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        self.handed_off.notify_one();
        std::future::pending().await
    }

    /// Ready with the answer that the next image is to send.
    pub(super) async fn handed_off(&self) -> Option<KeptReply> {
        self.handed_off.notified().await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The response as it goes over the wire, the last on its connection.
async fn write(response: Response<Full<Bytes>>) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
        .extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}
