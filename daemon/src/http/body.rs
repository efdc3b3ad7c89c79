//! Bodies: received within limits, and wiped.

use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::caller::QuotaKey;
use crate::config::Limits;
use crate::permits::{Permit, Permits};

/// How many times the limit is read and thrown away, so that an honest caller gets to read why it was refused.
const PATIENCE: usize = 4;

/// Bodies that may be larger than this need a permit.
const SMALL: usize = 16 * 1024;

/// Permits for large bodies, 24 of which 8 may be one caller's: a caller that leaves some half sent holds no more memory than these.
static LARGE: LazyLock<Permits> = LazyLock::new(|| Permits::new(24, 8));

/// Receives a whole body, if there is one.
pub(crate) async fn receive(
    body: Option<Incoming>,
    limits: &Limits,
    key: QuotaKey,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(body) = body else { return Ok(Zeroizing::default()) };
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    // Never grown, so that no copy is left behind unwiped; without an announced length it is as large as is allowed.
    let capacity = announced.unwrap_or(limits.body_bytes).min(limits.body_bytes);
    let _permit = if capacity > SMALL { Some(permit(limits, key).await?) } else { None };
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    read(body, limits, |data| bytes.extend_from_slice(data)).await?;
    Ok(bytes)
}

/// A permit for a large body, as soon as there is one.
async fn permit(limits: &Limits, key: QuotaKey) -> Result<Permit, Failure> {
    match tokio::time::timeout(limits.body, LARGE.take(key)).await {
        Ok(Some(permit)) => Ok(permit),
        Ok(None) | Err(_) => {
            let detail = "Too many large requests at once; wait, then repeat";
            Err(Failure::rate_limit(1, detail).closing())
        }
    }
}

/// One large body is read at a time, and others are served before the next: together they would take as long as nobody
/// should wait.
static READING: Semaphore = Semaphore::const_new(1);

/// Reads a body of so many bytes by `read`, in its turn.
pub(crate) async fn in_turn<T>(length: usize, read: impl FnOnce() -> T) -> T {
    if length <= SMALL {
        return read();
    }
    let turn = READING.acquire().await;
    let read = read();
    // Before the turn is over.
    tokio::task::yield_now().await;
    drop(turn);
    read
}

/// Receives a body that nobody wants, if there is one, within the limits, so that the connection can go on. It keeps none
/// of it: who has no token costs no memory.
pub(crate) async fn ignore(body: Option<Incoming>, limits: &Limits) -> Result<(), Failure> {
    match body {
        Some(body) => read(body, limits, |_| ()).await,
        None => Ok(()),
    }
}

/// Reads a body within the limits.
async fn read<B>(body: B, limits: &Limits, keep: impl FnMut(&[u8])) -> Result<(), Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    match tokio::time::timeout(limits.body, frames(body, limits.body_bytes, keep)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(failure.closing()),
        Err(_) => {
            Err(Failure::invalid_request("The body was not finished in time; send it at once").closing())
        }
    }
}

async fn frames<B>(mut body: B, limit: usize, mut keep: impl FnMut(&[u8])) -> Result<(), Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    let patience = limit.saturating_mul(PATIENCE);
    let too_large = || Failure::invalid_request("The body is too large; at most 1 MiB is allowed");
    // Not even begun, so that who waits for a 100 before sending does not send.
    if body.size_hint().lower() > patience as u64 {
        return Err(too_large());
    }
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Failure::invalid_request("The body is incomplete or malformed"));
        };
        let Ok(mut data) = frame.into_data() else { continue };
        total = total.saturating_add(data.remaining());
        if total <= limit {
            keep(&data);
        }
        data.advance(data.remaining());
        if total > patience {
            break;
        }
    }
    if total > limit {
        return Err(too_large());
    }
    Ok(())
}
