//! How sealed metadata grows: what a newer program has added to a record is kept, and written back as it was.
//!
//! Metadata is a JSON object. A program that does not know a field of it keeps the field's text and puts it behind its own
//! fields whenever it writes the record. So a new field must be one that an older program may leave unread and unchanged:
//! one that says more, never one that forbids something, and none that another field's change would make wrong. A field
//! for which that does not hold raises a mark in the manifest, and an older program does not open the vault at all
//! ([`manifest`](super::manifest)).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The fields of a record that this program does not know, as they were read. They may be about a secret: they are not
/// printed, and their memory is wiped like any that the process frees.
#[derive(Clone, Default)]
pub(in crate::vault) struct Rest(Option<Arc<Fields>>);

type Fields = BTreeMap<String, Box<RawValue>>;

/// Reads an object, and apart from it what `T` has no fields for; `T` denies unknown fields, so that nothing is overlooked.
/// The parser's message would quote the content.
pub(in crate::vault) fn decode<T: DeserializeOwned>(plaintext: &[u8]) -> Option<(T, Rest)> {
    // Nearly every record has nothing unknown, and is read once.
    if let Ok(known) = serde_json::from_slice(plaintext) {
        return Some((known, Rest::default()));
    }
    let mut fields: Fields = serde_json::from_slice(plaintext).ok()?;
    let names = field_names::<T>();
    let rest: Fields = fields.extract_if(.., |name, _| !names.contains(&name.as_str())).collect();
    if rest.is_empty() {
        return None;
    }
    let known = Zeroizing::new(serde_json::to_vec(&fields).ok()?);
    Some((serde_json::from_slice(&known).ok()?, Rest(Some(Arc::new(rest)))))
}

/// The names of a struct's fields, as the code that serde derives asks for them.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("there is nothing to read"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    // It fails, as there is nothing to read.
    let _ = T::deserialize(Asked(&mut names));
    names
}

/// Writes the object again: what is known, then the rest.
pub(in crate::vault) fn encode<T: Serialize>(known: &T, rest: &Rest) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    struct Whole<'a, T> {
        #[serde(flatten)]
        known: &'a T,
        #[serde(flatten)]
        rest: &'a Rest,
    }
    let written =
        if rest.0.is_none() { serde_json::to_vec(known) } else { serde_json::to_vec(&Whole { known, rest }) };
    written.ok().map(Zeroizing::new)
}

impl Rest {
    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|fields| fields.iter().map(|(name, value)| (name.as_str(), value.get())))
    }
}

impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().flat_map(|fields| fields.iter()))
    }
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.fields().eq(other.fields())
    }
}

impl Eq for Rest {}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} unknown", self.fields().count())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Known {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    fn text(known: &Known, rest: &Rest) -> String {
        String::from_utf8(encode(known, rest).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn what_is_unknown_is_written_back_to_the_letter() {
        let unknown = r#""a":{"note":1,"deep":[null,{"x":"é\u00e9"}]},"b":123456789012345678901234567890,"c":0.10e-7,"d":null"#;
        let (mut known, rest) = decode::<Known>(format!(r#"{{{unknown},"name":"n"}}"#).as_bytes()).unwrap();
        assert_eq!(text(&known, &rest), format!(r#"{{"name":"n",{unknown}}}"#));
        known.note = Some("new".to_owned());
        assert_eq!(text(&known, &rest), format!(r#"{{"name":"n","note":"new",{unknown}}}"#));
        assert_eq!(decode::<Known>(text(&known, &rest).as_bytes()), Some((known, rest)));
    }

    #[test]
    fn a_field_of_our_own_is_never_there_twice() {
        let (mut known, rest) = decode::<Known>(br#"{"name":"n","note":null}"#).unwrap();
        assert_eq!(rest, Rest::default());
        known.note = Some("new".to_owned());
        assert_eq!(text(&known, &rest), r#"{"name":"n","note":"new"}"#);
    }

    #[test]
    fn only_a_whole_object_is_read() {
        for malformed in [
            r#"{"name":"n"} "#.to_owned() + "x",
            r#"{"name":"n","name":"m"}"#.to_owned(),
            r#"{"x":1}"#.to_owned(),
            r#"{"name":"n","x":}"#.to_owned(),
            r#"["n"]"#.to_owned() + "1",
        ] {
            assert_eq!(decode::<Known>(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_printed() {
        let (_, rest) = decode::<Known>(br#"{"name":"n","pin":"hunter2"}"#).unwrap();
        let printed = format!("{rest:?}");
        assert!(!printed.contains("pin") && !printed.contains("hunter2"), "{printed}");
    }
}
