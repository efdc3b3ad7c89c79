//! How requests and replies are made and written, as far as they are no noun's own.

use bytes::{Bytes, BytesMut};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::handler::secrets::{ById, Done};
use crate::http::conditional;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::{Response, sensitive};
use crate::vault::{Form, Held, Rendered};

/// A type that a request can become.
pub(super) trait FromRequest: Sized {
    /// Whether it has a body. One that is sent where none is wanted is received and ignored.
    const BODY: bool = false;

    /// Whether it may come without the body that it may have.
    const MAY_LACK_BODY: bool = false;

    /// Takes what it needs; `None` when a fault was noted. Everything is tried before giving up, so that one answer
    /// tells all the faults.
    fn take(parts: &mut RequestParts<'_>) -> Option<Self>;
}

impl FromRequest for () {
    fn take(_input: &mut RequestParts<'_>) -> Option<Self> {
        Some(())
    }
}

impl FromRequest for ById {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        parts.id().map(Self)
    }
}

/// A type that becomes an answer.
pub(super) trait IntoResponse {
    /// Writes it; `asked` are the request's headers.
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure>;
}

/// Writes a list or a secret, which the vault keeps written.
pub(super) fn render<T: Serialize>(reply: &T) -> Bytes {
    // They have no maps and no foreign types, so that writing cannot fail. It is kept without room to grow.
    serde_json::to_vec(reply).unwrap_or_default().into_boxed_slice().into()
}

/// Writes a list as its JSON, a [`SecretList`](secrets_proto::secret::SecretList), of pages that the vault keeps written.
pub(super) fn form<T: Serialize>() -> Form<T> {
    fn page<T: Serialize>(secrets: &[T]) -> Bytes {
        let array = render(&secrets);
        // Without the brackets, which are the list's.
        array.slice(1..array.len().saturating_sub(1).max(1))
    }
    fn list(pages: &[Bytes], total: usize, earlier: Bytes) -> Bytes {
        let (begin, end) = (br#"{"secrets":["#, format!(r#"],"total":{total}}}"#));
        let commas = pages.len().saturating_sub(1);
        let length = begin.len() + pages.iter().map(Bytes::len).sum::<usize>() + commas + end.len();
        let fits = |text: &BytesMut| (length..=2 * length).contains(&text.capacity());
        let earlier = earlier.try_into_mut().ok().filter(fits);
        // With room for some secrets more.
        let mut text = earlier.unwrap_or_else(|| BytesMut::with_capacity(length + length / 64));
        text.clear();
        text.extend_from_slice(begin);
        for page in pages {
            if text.len() > begin.len() {
                text.extend_from_slice(b",");
            }
            text.extend_from_slice(page);
        }
        text.extend_from_slice(end.as_bytes());
        text.freeze()
    }
    Form { page, list }
}

/// Writes values, into one buffer of the right size, which is wiped when it was sent.
pub(super) fn render_sensitive<T: Serialize>(reply: &T) -> Bytes {
    // As with `render`.
    sensitive(reply).unwrap_or_default()
}

/// Writes what the vault keeps written, with its tag.
pub(super) fn rendered(reply: Rendered, asked: &HeaderMap) -> Result<Response, Failure> {
    tagged(conditional::etag(reply.tag), asked, || Ok(Response::json(StatusCode::OK, reply.body)))
}

impl IntoResponse for Rendered {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        rendered(self, asked)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::json(StatusCode::OK, self))
    }
}

impl<T: IntoResponse> IntoResponse for Held<T> {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        let Self { reply, permit } = self;
        reply.into_response(asked).map(|answer| match permit {
            Some(permit) => answer.holding(permit),
            None => answer,
        })
    }
}

impl IntoResponse for Done {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::empty(StatusCode::NO_CONTENT))
    }
}

/// The answer with its tag, or 304 if the caller has it.
pub(super) fn tagged(
    tag: Option<HeaderValue>,
    asked: &HeaderMap,
    write: impl FnOnce() -> Result<Response, Failure>,
) -> Result<Response, Failure> {
    let Some(tag) = tag else { return write() };
    if conditional::has_already(asked, &tag) {
        return Ok(Response::empty(StatusCode::NOT_MODIFIED).tagged(tag));
    }
    write().map(|answer| answer.tagged(tag))
}

/// A reply that is written as its JSON, with this status.
macro_rules! json {
    ($($reply:ty => $write:ident($status:ident)),+ $(,)?) => {$(
        impl IntoResponse for $reply {
            fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
                Ok(Response::$write(StatusCode::$status, &self)?)
            }
        }
    )+};
}

pub(super) use json;
