//! Bodies: received within limits, read as one JSON object, its fields taken one by one. The text that was sent is
//! wiped, and no message of the JSON library is passed on, because those quote values.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;
use secrets_proto::{FieldError, FieldErrorType, Invalid, Loc};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokio::sync::Semaphore;
use zeroize::{Zeroize, Zeroizing};

use super::error::Failure;
use crate::caller::Asker;
use crate::config::Limits;
use crate::permits::{Permit, Permits};

/// How many times the limit is read and thrown away, so that an honest caller gets to read why it was refused.
const PATIENCE: usize = 4;

/// Bodies that may be larger than this need a permit.
const SMALL: usize = 16 * 1024;

/// Permits for large bodies, 24 of which 8 may be one asker's: whoever keeps some half sent holds no more memory than these.
static LARGE: LazyLock<Permits> = LazyLock::new(|| Permits::new(24, 8));

/// Receives a whole body.
pub(super) async fn receive<B>(body: B, limits: &Limits, asker: Asker) -> Result<Zeroizing<Vec<u8>>, Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    // Never grown, so that no copy is left behind unwiped; without an announced length it is as large as is allowed.
    let capacity = announced.unwrap_or(limits.body_bytes).min(limits.body_bytes);
    let _permit = if capacity > SMALL { Some(permit(limits, asker).await?) } else { None };
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    read(body, limits, |data| bytes.extend_from_slice(data)).await?;
    Ok(bytes)
}

/// A permit for a large body, as soon as there is one.
async fn permit(limits: &Limits, asker: Asker) -> Result<Permit, Failure> {
    match tokio::time::timeout(limits.body, LARGE.take(asker)).await {
        Ok(Some(permit)) => Ok(permit),
        Ok(None) | Err(_) => {
            let detail = "Too many large bodies are on their way; wait until they are there";
            Err(Failure::rate_limit(1, detail).closing())
        }
    }
}

/// One large body is read at a time, and others are served before the next: together they would take as long as nobody
/// should wait.
static READING: Semaphore = Semaphore::const_new(1);

/// Reads a body of so many bytes by `read`, in its turn.
pub(super) async fn in_turn<T>(length: usize, read: impl FnOnce() -> T) -> T {
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

/// Receives a whole body that nobody wants, and keeps none of it: who has no token costs no memory.
pub(super) async fn discard<B>(body: B, limits: &Limits) -> Result<(), Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    read(body, limits, |_| ()).await
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
            return Err(Failure::invalid_request("The body was cut off or is malformed"));
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

/// The fields of a JSON object that nobody has asked for yet.
#[derive(Default)]
pub(super) struct Fields {
    members: BTreeMap<String, Value>,
}

impl Fields {
    /// Reads a body as a JSON object.
    pub(super) fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Failure> {
        if !says_json(headers) {
            return Err(Failure::invalid_request(
                "Content-Type: application/json is expected with this body",
            ));
        }
        let malformed = |_| Failure::invalid_request("The body is not well-formed JSON in UTF-8");
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let document = json.deserialize_any(DocumentVisitor).map_err(malformed)?;
        json.end().map_err(malformed)?;
        match document {
            Document::Object(fields) => Ok(fields),
            Document::Twice => {
                Err(Failure::invalid_request("The body has a field twice; send each field once"))
            }
            Document::Other => Err(Failure::validation(vec![FieldError::new(
                vec![Loc::field("body")],
                Invalid::new(FieldErrorType::ModelType, "a JSON object is expected"),
            )])),
        }
    }

    /// Takes the value of a field.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// Whether anything is left that nobody has asked for.
    pub(super) fn has_more(&self) -> bool {
        !self.members.is_empty()
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.members.values_mut().for_each(wipe);
    }
}

/// A caller that errs in the name of a field has still sent a secret. Nesting is bounded by the JSON reader.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether the body is announced as JSON: `application/json`, with `charset=utf-8` or nothing after it.
fn says_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Ok(text) = line.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        parameter.eq_ignore_ascii_case("charset=utf-8") || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
    })
}

enum Document {
    Object(Fields),
    /// An object with a field twice. It was read to its end, so that malformed JSON is still told.
    Twice,
    Other,
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut fields = Fields::default();
        let mut twice = false;
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if let Some(mut first) = fields.members.insert(name, value) {
                wipe(&mut first);
                twice = true;
            }
        }
        Ok(if twice { Document::Twice } else { Document::Object(fields) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Other)
    }
}
