//! Text that must not be seen: secret values, passphrases, recovery keys, tokens.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::invalid::{FieldErrorType, Invalid};

/// A string that is wiped when dropped and prints as `[redacted]`. Reading it is spelled
/// [`expose`](Self::expose), so that every place that does can be found.
#[derive(Clone, PartialEq, Eq)]
pub struct SensitiveString(Zeroizing<String>);

impl SensitiveString {
    /// Takes the string over; no copy is left behind.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The string itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SensitiveString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SensitiveString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SensitiveString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A secret's value: 1–65,536 bytes of UTF-8 without NUL, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretValue(SensitiveString);

impl SecretValue {
    /// The most bytes a value may have.
    pub const MAX: usize = 65_536;

    /// Checks a value and takes it over. A refused value is wiped.
    pub fn new(text: String) -> Result<Self, Invalid> {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort};
        let text = SensitiveString::new(text);
        if text.expose().is_empty() {
            return Err(Invalid::new(StringTooShort, "the value is empty"));
        }
        if text.expose().len() > Self::MAX {
            return Err(Invalid::new(StringTooLong, "a value has at most 65536 bytes"));
        }
        if text.expose().contains('\0') {
            return Err(Invalid::new(StringPatternMismatch, "a value has no NUL byte"));
        }
        Ok(Self(text))
    }

    /// Checks bytes from a file or a pipe; what is not UTF-8 is refused and wiped.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Invalid> {
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(Invalid::new(FieldErrorType::StringType, "a value is UTF-8 text"))
            }
        }
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_what_is_inside() {
        let value = SecretValue::new("hunter2-hunter2".into()).unwrap();
        assert!(!format!("{value:?} {value:#?}").contains("hunter2"));
        assert!(format!("{value:?}").contains("[redacted]"));
    }

    #[test]
    fn keeps_every_byte_and_refuses_by_kind() {
        use FieldErrorType::{StringPatternMismatch, StringTooLong, StringTooShort, StringType};
        for kept in [" a\n", "$2a$10$x", "\u{feff}é🦀", "\r\n\t"] {
            assert_eq!(SecretValue::new(kept.into()).unwrap().expose(), kept);
        }
        assert!(SecretValue::new("x".repeat(SecretValue::MAX)).is_ok());
        assert_eq!(SecretValue::new(String::new()).unwrap_err().kind, StringTooShort);
        assert_eq!(SecretValue::new("x".repeat(SecretValue::MAX + 1)).unwrap_err().kind, StringTooLong);
        assert_eq!(SecretValue::new("a\0b".into()).unwrap_err().kind, StringPatternMismatch);
        assert_eq!(SecretValue::from_bytes(vec![0xff, 0xfe]).unwrap_err().kind, StringType);
    }
}
