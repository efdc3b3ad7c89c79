//! What writers, machines, objects and changes are called. All of these are written as lower-case hex.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not the name of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| BadId)?;
                bytes.try_into().map(Self).map_err(|_| BadId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// Whose log an object is in: random. A machine takes another one when it finds that somebody else writes under it.
    Writer,
    8
);
id!(
    /// A machine of the fleet: random, and never changed.
    MachineId,
    8
);
id!(
    /// The fleet: random, chosen when it was made.
    FleetId,
    16
);
id!(
    /// The first 128 bits of the SHA-256 of an object's bytes.
    ShortHash,
    16
);
id!(
    /// A SHA-256.
    Hash,
    32
);

impl Hash {
    /// What an object's name says of it.
    #[must_use]
    pub fn short(&self) -> ShortHash {
        let mut short = [0; 16];
        short.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        ShortHash(short)
    }
}

/// One object of a log. Two may have one number, if a machine's disk was put back or copied; their hashes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// In whose log.
    pub writer: Writer,
    /// The how-manieth there, from 1.
    pub number: u32,
    /// Which one.
    pub hash: ShortHash,
}

/// One change: the object that it is in, and its place there. Written as `writer.number.index.hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The object.
    pub object: ObjectId,
    /// Which of its changes, from 0.
    pub index: u32,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectId { writer, number, hash } = self.object;
        write!(f, "{writer}.{number}.{}.{hash}", self.index)
    }
}

impl FromStr for Dot {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(BadId);
        let writer = next()?.parse()?;
        let number = next()?.parse().map_err(|_| BadId)?;
        let index = next()?.parse().map_err(|_| BadId)?;
        let hash = next()?.parse()?;
        if parts.next().is_some() {
            return Err(BadId);
        }
        Ok(Self { object: ObjectId { writer, number, hash }, index })
    }
}

impl Serialize for Dot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
