//! What objects are called: `<kind>-<writer>-<number>-<hash>`, in lower case. The store sees this and no more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::{BadId, ObjectId, ShortHash, Writer};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `l`: a piece of a machine's log.
    Log,
    /// `s`: a part of a snapshot.
    Snapshot,
    /// `m`: a list of the fleet's machines.
    Members,
    /// `i`: a step of an invitation; its writer and number are random.
    Invitation,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Log, Self::Snapshot, Self::Members, Self::Invitation];

    /// The letter in the name.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Log => 'l',
            Self::Snapshot => 's',
            Self::Members => 'm',
            Self::Invitation => 'i',
        }
    }
}

/// The name of an object. `parse` takes exactly what `Display` writes: the kind's letter, 16 hex digits of the writer, ten
/// digits of the number and 32 hex digits, the first 128 bits of the SHA-256 of the bytes. Every other name is not an
/// object's, and readers leave it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub id: ObjectId,
}

/// How long a name is.
pub const NAME_LENGTH: usize = 1 + 1 + 16 + 1 + 10 + 1 + 32;

impl ObjectName {
    /// Whether bytes with this SHA-256 are those of the name.
    #[must_use]
    pub fn is_of(&self, sha256: &[u8; 32]) -> bool {
        sha256.starts_with(&self.id.hash.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectId { writer, number, hash } = self.id;
        write!(f, "{}-{writer}-{number:010}-{hash}", self.kind.letter())
    }
}

impl Serialize for ObjectName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl FromStr for ObjectName {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        if text.len() != NAME_LENGTH {
            return Err(BadId);
        }
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(BadId);
        let letter = next()?;
        let kind = Kind::ALL.into_iter().find(|kind| letter.chars().eq([kind.letter()])).ok_or(BadId)?;
        let writer: Writer = next()?.parse()?;
        let digits = next()?;
        if digits.len() != 10 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(BadId);
        }
        let number = digits.parse().map_err(|_| BadId)?;
        let hash: ShortHash = next()?.parse()?;
        if parts.next().is_some() {
            return Err(BadId);
        }
        Ok(Self { kind, id: ObjectId { writer, number, hash } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "l-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff";

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name: ObjectName = NAME.parse().unwrap();
        assert_eq!((name.kind, name.id.number), (Kind::Log, 412));
        assert_eq!(name.to_string(), NAME);
        assert_eq!(NAME.len(), NAME_LENGTH);
    }

    #[test]
    fn what_other_programs_leave_is_not_an_object() {
        for other in [
            "",
            ".tmp-l-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff",
            "l-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff.sync-conflict-20260101-000000-ABC",
            ".syncthing.l-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff.tmp",
            "x-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff",
            "L-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff",
            "l-0123456789ABCDEF-0000000412-00112233445566778899aabbccddeeff",
            "l-0123456789abcdef-+000000412-00112233445566778899aabbccddeeff",
            "l-0123456789abcdef-9999999999-00112233445566778899aabbccddeeff",
            "l-0123456789abcdef-0000000412-00112233445566778899aabbccddeef",
            "l-0123456789abcde-00000000412-00112233445566778899aabbccddeeff",
        ] {
            assert_eq!(other.parse::<ObjectName>(), Err(BadId), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_is_the_name_itself(text in "[lsmi]-[0-9a-f]{15,17}-[0-9]{9,11}-[0-9a-f]{31,33}") {
            if let Ok(name) = text.parse::<ObjectName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
