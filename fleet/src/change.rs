//! What a machine says that it did. The changes of one object belong together, in this order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Dot, ObjectId};

/// One change. `V` is a value: its text on the way, and whatever stands for it where it is kept.
///
/// `covers` names the values of the secret that the author had before it, as far as none had taken their place: what is not
/// named was not known, and stays. What comes earlier in the same object is covered as well, and need not be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Change<V> {
    /// A value takes the place of those that it covers.
    Value {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// When.
        clock: u64,
        /// When the machine's own clock said that it was stored, in seconds since 1970, if that is not the second of `clock`:
        /// it is shown and decides nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<i64>,
        /// The values in whose place it comes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        covers: Vec<Dot>,
        /// The value.
        value: V,
    },
    /// Fields of a secret get these texts, or none.
    Fields {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// When.
        clock: u64,
        /// Field by field.
        fields: BTreeMap<String, Option<String>>,
    },
    /// A secret with these values goes to the trash.
    Trash {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// When.
        clock: u64,
        /// By the machine's own clock, in seconds since 1970.
        at: i64,
        /// With which values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        covers: Vec<Dot>,
        /// Its name was another secret's, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        name_taken: bool,
    },
    /// A secret with these values comes out of the trash.
    Restore {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// When.
        clock: u64,
        /// With which values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        covers: Vec<Dot>,
    },
    /// These values, and all in whose place they had come, are destroyed.
    Purge {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// When; 0 if it is said again, and takes no text away.
        clock: u64,
        /// Which values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        covers: Vec<Dot>,
    },
    /// Earlier values are destroyed.
    Drop {
        /// The secret.
        #[serde(serialize_with = "uuid::serde::simple::serialize")]
        id: Uuid,
        /// Which values.
        dots: Vec<Dot>,
    },
    /// These objects could not be had from the store: a machine that has their content is to write a snapshot.
    Want {
        /// Which.
        objects: Vec<ObjectId>,
    },
}

impl<V> Change<V> {
    /// The secret that it is about.
    #[must_use]
    pub const fn secret(&self) -> Option<Uuid> {
        match self {
            Self::Value { id, .. }
            | Self::Fields { id, .. }
            | Self::Trash { id, .. }
            | Self::Restore { id, .. }
            | Self::Purge { id, .. }
            | Self::Drop { id, .. } => Some(*id),
            Self::Want { .. } => None,
        }
    }

    /// Covers these values as well, if it is a change that covers any.
    pub fn cover(&mut self, more: impl IntoIterator<Item = Dot>) {
        if let Self::Value { covers, .. }
        | Self::Trash { covers, .. }
        | Self::Restore { covers, .. }
        | Self::Purge { covers, .. } = self
        {
            covers.extend(more);
        }
    }

    /// The same with another form of the value.
    ///
    /// # Errors
    ///
    /// That of `form`.
    pub fn try_map<W, E>(self, form: impl FnOnce(V) -> Result<W, E>) -> Result<Change<W>, E> {
        Ok(match self {
            Self::Value { id, clock, at, covers, value } => {
                Change::Value { id, clock, at, covers, value: form(value)? }
            }
            Self::Fields { id, clock, fields } => Change::Fields { id, clock, fields },
            Self::Trash { id, clock, at, covers, name_taken } => {
                Change::Trash { id, clock, at, covers, name_taken }
            }
            Self::Restore { id, clock, covers } => Change::Restore { id, clock, covers },
            Self::Purge { id, clock, covers } => Change::Purge { id, clock, covers },
            Self::Drop { id, dots } => Change::Drop { id, dots },
            Self::Want { objects } => Change::Want { objects },
        })
    }
}
