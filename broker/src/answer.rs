//! A host's answer on its way to the program: what it says for one step is taken out, and the values that its request carried.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, TRANSFER_ENCODING,
};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode, Version};
use secrets_proto::ErrorType;

use crate::body::{Body, DENIED, Scrubbed, scrub_headers};
use crate::coding::Coding;
use crate::denial::Denial;
use crate::sought::Sought;
use crate::step;

/// The answer to a request that carried no value.
pub(crate) fn passed(answer: Response<Incoming>) -> Response<Body> {
    let (mut head, incoming) = answer.into_parts();
    keep_what_is_meant(&mut head);
    Response::from_parts(head, Body::passed(incoming))
}

/// The answer without the values that its request carried.
pub(crate) fn scrubbed(answer: Response<Incoming>, sought: Arc<Sought>) -> Result<Response<Body>, Denial> {
    let (mut head, incoming) = answer.into_parts();
    // The library reads to the connection's end what is chunked and then something else: chunks would cut a value in two.
    let framing = listed(&head.headers, &TRANSFER_ENCODING);
    if !(framing.is_empty() || framing == ["chunked"]) {
        return Err(not_looked_into());
    }
    let mut codings = listed(&head.headers, &CONTENT_ENCODING);
    codings.retain(|name| name != "identity");
    let coding = match codings.as_slice() {
        [] => None,
        // There is nothing that could be compressed.
        _ if incoming.is_end_stream() => None,
        [name] if name == "gzip" || name == "x-gzip" => Some(Coding::Gzip),
        [name] if name == "deflate" => Some(Coding::Deflate),
        _ => return Err(not_looked_into()),
    };
    keep_what_is_meant(&mut head);
    scrub_headers(&mut head.headers, &sought);
    if coding.is_some() {
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
    }
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let by_event =
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
    let body = Body::Scrubbed(Box::new(Scrubbed::new(incoming, sought, coding, by_event)));
    Ok(Response::from_parts(head, body))
}

fn not_looked_into() -> Denial {
    Denial::failure(
        ErrorType::BadGatewayError,
        "content_coding",
        "the host compressed its answer in a way that cannot be looked into, though it was asked not to",
    )
}

/// Takes out what is for one step alone, what only the broker says, and what the library would write out unseen: with the
/// head it keeps the host's own words behind the status (the reason phrase of HTTP/1.1).
pub(crate) fn keep_what_is_meant(head: &mut Parts) {
    head.version = Version::HTTP_11;
    head.extensions.clear();
    keep_true_length(head);
    step::keep_end_to_end(&mut head.headers);
    head.headers.remove(DENIED);
}

/// Leaves one length or none. Beside chunks, by which the body is read then (RFC 9112, section 6.3), a length may not be true,
/// and one that is said twice is more than a program has to take. Without a body the library sends none.
fn keep_true_length(head: &mut Parts) {
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let is_number = lengths.next().is_some_and(|length| length.as_bytes().iter().all(u8::is_ascii_digit));
    let has_none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_number || lengths.next().is_some() || has_none || head.headers.contains_key(TRANSFER_ENCODING) {
        head.headers.remove(CONTENT_LENGTH);
    }
}

/// What the fields of this name list, in lower case.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    if !headers.contains_key(name) {
        return Vec::new();
    }
    let fields = headers.get_all(name).iter().map(|field| String::from_utf8_lossy(field.as_bytes()));
    let joined = fields.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let names = joined.split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
