//! Peers that get no service: another user's, and those over the limits. They are told why, with bounded effort: the
//! answer is written before anything is read, and the peer gets a moment to send what it has begun and to read it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a peer may take.
const MOMENT: Duration = Duration::from_secs(1);
/// How much it may still send.
const MOST: u64 = 64 * 1024;

/// Tells a peer why it is not served, and closes.
pub(super) async fn reject(mut stream: UnixStream, response: Response<Full<Bytes>>) {
    let bytes = written(response).await;
    // Whether the peer reads it is the peer's affair.
    let _ = tokio::time::timeout(MOMENT, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(MOST), &mut tokio::io::sink()).await
    })
    .await;
}

async fn written(response: Response<Full<Bytes>>) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
