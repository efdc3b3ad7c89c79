//! The checked types of an item's fields.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::SensitiveString;
use crate::invalid::{FieldErrorType, Invalid};

/// What an item is shown as: 0–1,000 bytes without NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[^\u0000]*$", "maxLength" = 1000)))]
#[serde(try_from = "String", into = "String")]
pub struct ItemLabel(String);

impl ItemLabel {
    /// The most bytes of a label.
    pub const MAX: usize = 1_000;

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ItemLabel {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        check(&text, Self::MAX, "a label has at most 1000 bytes")?;
        Ok(Self(text))
    }
}

impl From<ItemLabel> for String {
    fn from(label: ItemLabel) -> Self {
        label.0
    }
}

/// What a value is, in its client's words: 0–255 bytes without NUL. It is kept, and means nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[^\u0000]*$", "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct ContentType(String);

impl ContentType {
    /// The most bytes of a content type.
    pub const MAX: usize = 255;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContentType {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        check(&text, Self::MAX, "a content type has at most 255 bytes")?;
        Ok(Self(text))
    }
}

impl From<ContentType> for String {
    fn from(content_type: ContentType) -> Self {
        content_type.0
    }
}

/// What an item is found by: at most 64 pairs of strings, a name and its value of at most 1,024 bytes each, without NUL.
/// There may be none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// The most pairs.
    pub const MAX: usize = 64;

    /// The most bytes of a name, and of a value.
    pub const MAX_TEXT: usize = 1_024;

    /// The pairs.
    pub const fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether all of these are among them.
    pub fn has_all(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }

    /// How many bytes they have together.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = Invalid;
    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if pairs.len() > Self::MAX {
            return Err(Invalid::new(FieldErrorType::LimitExceeded, "an item has at most 64 attributes"));
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            check(text, Self::MAX_TEXT, "an attribute's name and value have at most 1024 bytes each")?;
        }
        Ok(Self(pairs))
    }
}

impl From<Attributes> for BTreeMap<String, String> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}

/// Checks a text that may be empty.
fn check(text: &str, most: usize, too_long: &'static str) -> Result<(), Invalid> {
    if text.len() > most {
        return Err(Invalid::new(FieldErrorType::LimitExceeded, too_long));
    }
    if text.contains('\0') {
        return Err(Invalid::new(FieldErrorType::StringPatternMismatch, "this text has no NUL"));
    }
    Ok(())
}

/// An item's value: 0–65,536 bytes of any kind. On the wire it is base64 (RFC 4648, section 4, with padding). It is wiped
/// when dropped and prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemValue(Zeroizing<Vec<u8>>);

impl ItemValue {
    /// The most bytes of a value.
    pub const MAX: usize = 65_536;

    /// Takes bytes over; no copy is left behind, and what is too large is wiped.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > Self::MAX {
            return Err(Invalid::new(FieldErrorType::LimitExceeded, "a value has at most 65536 bytes"));
        }
        Ok(Self(bytes))
    }

    /// Reads base64, which is wiped.
    pub fn from_base64(text: String) -> Result<Self, Invalid> {
        let malformed = Invalid::new(FieldErrorType::StringPatternMismatch, "a value is base64 with padding");
        let text = SensitiveString::new(text);
        let text = text.expose().as_bytes();
        let length = BASE64.decode_len(text.len()).map_err(|_| malformed)?;
        let mut bytes = Zeroizing::new(vec![0; length]);
        let length = BASE64.decode_mut(text, &mut bytes).map_err(|_| malformed)?;
        bytes.truncate(length);
        Self::new(std::mem::take(&mut *bytes))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for ItemValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for ItemValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for ItemValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_base64(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_the_limit_is_kept_and_one_more_is_refused_as_too_large() {
        let too_large = |refused: Invalid| assert_eq!(refused.kind, FieldErrorType::LimitExceeded);
        let text = |length: usize| "é".repeat(length / 2);
        assert_eq!(ItemLabel::try_from(text(1_000)).unwrap().as_str().len(), 1_000);
        too_large(ItemLabel::try_from("x".repeat(1_001)).unwrap_err());
        assert!(ContentType::try_from("x".repeat(255)).is_ok());
        too_large(ContentType::try_from("x".repeat(256)).unwrap_err());
        let pairs = |count: usize| {
            let pair = |at: usize| (format!("{at:01024}"), text(1_024));
            Attributes::try_from((0..count).map(pair).collect::<BTreeMap<_, _>>())
        };
        assert_eq!(pairs(64).unwrap().bytes(), 64 * 2 * 1_024);
        too_large(pairs(65).unwrap_err());
        for (name, value) in [("x".repeat(1_025), String::new()), (String::new(), "x".repeat(1_025))] {
            too_large(Attributes::try_from(BTreeMap::from([(name, value)])).unwrap_err());
        }
        assert!(ItemValue::new(vec![0; 65_536]).is_ok());
        too_large(ItemValue::new(vec![0; 65_537]).unwrap_err());
        too_large(ItemValue::from_base64(BASE64.encode(&[0; 65_537])).unwrap_err());
    }

    #[test]
    fn nul_is_in_values_alone() {
        let refused = |outcome: Result<(), Invalid>| {
            assert_eq!(outcome.unwrap_err().kind, FieldErrorType::StringPatternMismatch);
        };
        refused(ItemLabel::try_from("a\0".to_owned()).map(drop));
        refused(ContentType::try_from("\0".to_owned()).map(drop));
        for (name, value) in [("a\0", ""), ("", "\0")] {
            let pairs = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            refused(Attributes::try_from(pairs).map(drop));
        }
        for (name, value) in [("", ""), ("a\nb", "\n"), ("xdg:schema", "é🦀")] {
            assert!(Attributes::try_from(BTreeMap::from([(name.to_owned(), value.to_owned())])).is_ok());
        }
    }

    #[test]
    fn a_value_is_any_bytes_in_strict_base64_and_is_not_printed() {
        let all: Vec<u8> = (0..=255).collect();
        let value = ItemValue::new(all.clone()).unwrap();
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<ItemValue>(&text).unwrap().expose(), all);
        assert_eq!(format!("{value:?}"), "[redacted]");
        assert_eq!(ItemValue::from_base64(String::new()).unwrap().expose(), b"");
        for malformed in ["YQ", "YQ=", "YR==", "Y-==", "YQ==\n", " YQ==", "é"] {
            let refused = ItemValue::from_base64(malformed.to_owned()).unwrap_err();
            assert_eq!(refused.kind, FieldErrorType::StringPatternMismatch, "{malformed}");
        }
    }

    #[test]
    fn an_item_is_found_by_some_of_its_attributes_and_by_none() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Attributes::try_from(pairs.collect::<BTreeMap<_, _>>()).unwrap()
        };
        let item = of(&[("service", "x"), ("user", "a")]);
        for (wanted, found) in [
            (&[][..], true),
            (&[("service", "x")], true),
            (&[("service", "x"), ("user", "a")], true),
            (&[("service", "y")], false),
            (&[("service", "x"), ("user", "a"), ("more", "")], false),
        ] {
            assert_eq!(item.has_all(&of(wanted)), found, "{wanted:?}");
        }
    }
}
