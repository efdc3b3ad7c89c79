//! A body as one JSON object, its fields taken one by one. The text that was sent is wiped, and no message of the JSON
//! library is passed on, because those quote values.

use std::collections::BTreeMap;
use std::fmt;

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use secrets_proto::{FieldError, FieldErrorType, Invalid, Loc};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize;

use super::failure::Failure;

/// The fields of a JSON object that nobody has asked for yet.
#[derive(Default)]
pub(crate) struct Fields {
    members: BTreeMap<String, Value>,
}

impl Fields {
    /// Reads a body as a JSON object.
    pub(crate) fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Failure> {
        if !says_json(headers) {
            return Err(Failure::invalid_request("Send this body with Content-Type: application/json"));
        }
        let is_encoded = |line: &HeaderValue| !line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
        if headers.get_all(CONTENT_ENCODING).iter().any(is_encoded) {
            return Err(Failure::invalid_request("Send this body as it is, without Content-Encoding"));
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
                Invalid::new(FieldErrorType::ModelType, "expected a JSON object"),
            )])),
        }
    }

    /// Takes the value of a field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// The fields of an object inside another.
    pub(crate) fn of(object: serde_json::Map<String, Value>) -> Self {
        Self { members: object.into_iter().collect() }
    }

    /// Whether anything is left that nobody has asked for.
    pub(crate) fn has_more(&self) -> bool {
        !self.members.is_empty()
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.members.values_mut().for_each(wipe);
    }
}

/// A caller that errs in the name of a field has still sent a secret. Nesting is bounded by the JSON reader.
pub(crate) fn wipe(value: &mut Value) {
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

/// Reads what is inside a field, and notes whether an object in it has a field twice: of two, readers take either.
struct Nested<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Nested(self.0))?;
            if let Some(mut first) = object.insert(name, value) {
                wipe(&mut first);
                *self.0 = true;
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Nested(self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
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
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Nested(&mut twice))?;
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
