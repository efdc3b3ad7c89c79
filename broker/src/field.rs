//! Fields of a body where rules put values: found by a strict reader, and filled in by changing that one token. All else
//! stays byte for byte as the program has written it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The most bytes of a body in which a field is looked for.
pub(crate) const MOST: usize = 1 << 20;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON object (RFC 8259).
    Json,
    /// `application/x-www-form-urlencoded` (URL Standard, section 5).
    Urlencoded,
}

/// Why no field can be looked for in a body.
pub(crate) type Reason = &'static str;

/// How a body with this head is written, if a field of it can be found.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Reason> {
    const KIND: Reason = "its Content-Type is neither application/json nor application/x-www-form-urlencoded";
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err("it is compressed");
    }
    if headers.contains_key("trailer") {
        return Err("it has trailers");
    }
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next().map(HeaderValue::to_str), kinds.next()) else { return Err(KIND) };
    let mut parts = kind.map_err(|_| KIND)?.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let form = match kind.as_str() {
        "application/x-www-form-urlencoded" => Form::Urlencoded,
        "application/json" => Form::Json,
        other if other.starts_with("application/") && other.ends_with("+json") => Form::Json,
        _ => return Err(KIND),
    };
    let is_other_charset = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    };
    if parts.any(is_other_charset) { Err("its charset is not UTF-8") } else { Ok(form) }
}

/// Where in a body the value of this field stands: the whole of a JSON token, or what is behind `=` in a form. `None`: the
/// body has no such field.
fn span(form: Form, body: &str, name: &str) -> Result<Option<(Range<usize>, String)>, Reason> {
    match form {
        Form::Json => in_json(body, name),
        Form::Urlencoded => in_form(body, name),
    }
}

fn in_json(body: &str, name: &str) -> Result<Option<(Range<usize>, String)>, Reason> {
    const MALFORMED: Reason = "it is no JSON object with each of its fields once";
    let mut reader = serde_json::Deserializer::from_str(body);
    let token = reader.deserialize_map(Field(name)).map_err(|_| MALFORMED)?;
    reader.end().map_err(|_| MALFORMED)?;
    let Some(token) = token else { return Ok(None) };
    // What is no string holds no placeholder as its whole.
    let Ok(text) = serde_json::from_str::<String>(token.get()) else { return Ok(None) };
    // The token is a part of the body: how far behind its beginning it is says where.
    let start = token.get().as_ptr().addr() - body.as_ptr().addr();
    Ok(Some((start..start + token.get().len(), text)))
}

/// Reads an object, for the token of this one field.
struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut names, mut found) = (HashSet::new(), None);
        while let Some(name) = fields.next_key::<String>()? {
            let token: &RawValue = fields.next_value()?;
            if name == self.0 {
                found = Some(token);
            }
            // Of two, one reader takes the first, and another the last.
            if !names.insert(name) {
                return Err(A::Error::custom("a field twice"));
            }
        }
        Ok(found)
    }
}

fn in_form(body: &str, name: &str) -> Result<Option<(Range<usize>, String)>, Reason> {
    let (mut at, mut found) = (0, None);
    for pair in body.split('&') {
        if let Some((key, value)) = pair.split_once('=')
            && unescaped(key) == name
        {
            let start = at + key.len() + 1;
            if found.replace((start..start + value.len(), unescaped(value).into_owned())).is_some() {
                return Err("a field that a rule names is in the form twice");
            }
        }
        at += pair.len() + 1;
    }
    Ok(found)
}

/// A part of a form as it is meant.
fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        return Cow::Owned(crate::placeholders::decoded(&text.replace('+', " ")).into_owned());
    }
    crate::placeholders::decoded(text)
}

/// A body that was read whole, to find fields in it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    form: Form,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

impl Text {
    /// Takes a body that is written like this.
    pub(crate) fn new(form: Form, bytes: Bytes) -> Result<Self, Reason> {
        if str::from_utf8(&bytes).is_err() {
            return Err("it is not UTF-8");
        }
        Ok(Self { form, bytes })
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// Whether this is the whole value of the field.
    pub(crate) fn has(&self, name: &str, placeholder: &str) -> Result<bool, Reason> {
        Ok(span(self.form, self.text(), name)?.is_some_and(|(_, value)| value == placeholder))
    }

    /// The same body with another value of this field, which `encode` writes as a part of a form, or as JSON.
    pub(crate) fn splice(
        &mut self,
        name: &str,
        encode: impl FnOnce(Form, &mut String),
    ) -> Result<(), Reason> {
        let text = self.text();
        let (span, _) = span(self.form, text, name)?.ok_or("the field is gone")?;
        let mut filled = String::with_capacity(2 * text.len() + MOST / 16);
        filled.push_str(text.get(..span.start).unwrap_or_default());
        encode(self.form, &mut filled);
        filled.push_str(text.get(span.end..).unwrap_or_default());
        self.bytes = Bytes::from(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(body: &str) -> Result<Option<(Range<usize>, String)>, Reason> {
        span(Form::Json, body, "token")
    }

    #[test]
    fn a_field_is_found_at_the_top_of_an_object_alone() {
        for (body, found) in [
            (r#"{"token":"ph"}"#, Some(9..13)),
            (r#" { "a" : [1, {"token":"x"}] , "to\u006ben" : "p\u0068" } "#, Some(45..54)),
            (r#"{"a":{"token":"ph"}}"#, None),
            (r#"{"token":["ph"]}"#, None),
            (r#"{"token":1}"#, None),
            (r#"{}"#, None),
        ] {
            let span = json(body).unwrap();
            assert_eq!(span.clone().map(|(span, _)| span), found, "{body}");
            assert!(span.is_none_or(|(_, text)| text == "ph"), "{body}");
        }
        for bad in [
            r#"{"token":"ph","token":"x"}"#,
            r#"{"token":"ph","to\u006ben":"x"}"#,
            r#"{"a":1,"a":2,"token":"ph"}"#,
            r#"["ph"]"#,
            r#""ph""#,
            r#"{"token":"ph"} x"#,
            r#"{"token":"ph",}"#,
            r#"{'token':'ph'}"#,
            "\u{feff}{\"token\":\"ph\"}",
            "",
        ] {
            assert!(json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_of_a_form_is_found_once() {
        let form = |body| span(Form::Urlencoded, body, "token");
        assert_eq!(form("a=b&token=p%68&c").unwrap(), Some((10..14, "ph".to_owned())));
        assert_eq!(form("t%6Fken=ph").unwrap(), Some((8..10, "ph".to_owned())));
        assert_eq!(form("token").unwrap(), None);
        assert_eq!(form("tokens=ph&token[]=ph").unwrap(), None);
        assert!(form("token=ph&token=").is_err() && form("token=ph&tok%65n=x").is_err());
    }

    #[test]
    fn what_is_not_json_or_a_form_in_clear_has_no_fields() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            form(&map)
        };
        for (kind, is) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=\"UTF-8\"", Form::Json),
            ("application/vnd.api+json;v=1", Form::Json),
            ("application/x-www-form-urlencoded;charset=utf-8", Form::Urlencoded),
        ] {
            assert_eq!(of(&[("content-type", kind)]), Ok(is), "{kind}");
        }
        for headers in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[("content-type", "application/json; charset=utf-16")],
            &[("content-type", "application/json; charset=latin1")],
            &[("content-type", "application/json"), ("content-type", "text/plain")],
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            &[("content-type", "application/json"), ("trailer", "x-end")],
        ] {
            assert!(of(headers).is_err(), "{headers:?}");
        }
        assert!(Text::new(Form::Json, Bytes::from_static(b"{\"token\":\"\xff\"}")).is_err());
    }

    proptest! {
        #[test]
        fn all_but_the_token_stays_byte_for_byte(
            fields in proptest::collection::btree_map("[a-zé\"\\\\ ]{0,4}", "[ -~é\n]{0,8}", 0..5),
            value in "[ -~é\n\"\\\\]{1,12}",
            pretty in any::<bool>(),
        ) {
            let mut object = serde_json::Map::new();
            for (name, text) in &fields {
                object.insert(name.clone(), text.clone().into());
            }
            object.insert("token".to_owned(), "ph".into());
            let write = |object: &serde_json::Map<String, serde_json::Value>| {
                if pretty { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) }.unwrap()
            };
            let mut text = Text::new(Form::Json, write(&object).into()).unwrap();
            prop_assert!(text.has("token", "ph").unwrap());
            text.splice("token", |_, out| out.push_str(&serde_json::to_string(&value).unwrap())).unwrap();
            object.insert("token".to_owned(), value.into());
            prop_assert_eq!(text.text(), write(&object));
        }
    }
}
