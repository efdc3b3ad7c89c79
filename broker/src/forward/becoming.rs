//! A connection that becomes a WebSocket, as the program has asked and the host has agreed.

use std::sync::Arc;

use hyper::Response;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use secrets_proto::ErrorType;

use crate::body::{Body, scrub_headers};
use crate::denial::Denial;
use crate::sought::Sought;
use crate::{answer, websocket};

/// That a host agreed to what it was not asked for.
pub(super) fn not_agreed() -> Denial {
    Denial::failure(
        ErrorType::BadGatewayError,
        "upstream_protocol",
        "the host agreed to another protocol than a WebSocket without extensions, which was asked for",
    )
}

/// The host's answer that it is a WebSocket from now on, and what passes then.
pub(super) fn become_websocket(
    program: OnUpgrade,
    mut response: Response<Incoming>,
    sought: Option<Arc<Sought>>,
) -> Result<Response<Body>, Denial> {
    let host = hyper::upgrade::on(&mut response);
    let mut head = response.into_parts().0;
    let agreed = head.headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !agreed || head.headers.contains_key(websocket::EXTENSIONS) {
        return Err(not_agreed());
    }
    answer::keep_what_is_meant(&mut head);
    websocket::agree(&mut head.headers);
    if let Some(sought) = &sought {
        scrub_headers(&mut head.headers, sought);
    }
    tokio::spawn(async move {
        let Ok((program, host)) = tokio::try_join!(program, host) else { return };
        if let Err(error) = websocket::pass(TokioIo::new(program), TokioIo::new(host), sought).await {
            tracing::debug!(%error, "a WebSocket ended");
        }
    });
    Ok(Response::from_parts(head, Body::none()))
}
