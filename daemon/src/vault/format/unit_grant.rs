//! What a unit may load, in memory and in its sealed form. The sealed form is a type of its own, so that the wire can
//! change without the file.

use secrets_proto::credential::{CredentialGrant, UnitName};
use secrets_proto::{SecretName, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::vault::Error;

use super::rest::{self, Rest};

/// The secrets that a unit, or every instance of a template, may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct UnitGrant {
    /// The row's id.
    pub(in crate::vault) id: Uuid,
    /// Counts every change; the row's version.
    pub(in crate::vault) version: u64,
    /// What changes.
    pub(in crate::vault) meta: Meta,
    /// What a newer program has added to that.
    rest: Rest,
}

/// The sealed part of a grant, stored as JSON. It may get more fields that have a default, and [`rest`] says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Meta {
    pub(in crate::vault) unit: UnitName,
    /// Sorted, each once.
    pub(in crate::vault) secrets: Vec<SecretName>,
    pub(in crate::vault) created_at: Timestamp,
    pub(in crate::vault) updated_at: Timestamp,
}

impl UnitGrant {
    /// A unit's first grant: nothing yet.
    pub(in crate::vault) fn new(id: Uuid, unit: UnitName) -> Self {
        let now = Timestamp::now();
        let meta = Meta { unit, secrets: Vec::new(), created_at: now, updated_at: now };
        Self { id, version: 0, meta, rest: Rest::default() }
    }

    /// The next version, with these secrets too.
    pub(in crate::vault) fn with(&self, names: impl IntoIterator<Item = SecretName>) -> Self {
        self.next(|secrets| {
            secrets.extend(names);
            secrets.sort_unstable();
            secrets.dedup();
        })
    }

    /// The next version, without this secret.
    pub(in crate::vault) fn without(&self, name: &SecretName) -> Self {
        self.next(|secrets| secrets.retain(|kept| kept != name))
    }

    /// Whether it is for this secret.
    pub(in crate::vault) fn covers(&self, name: &SecretName) -> bool {
        self.meta.secrets.binary_search(name).is_ok()
    }

    fn next(&self, change: impl FnOnce(&mut Vec<SecretName>)) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.meta.updated_at = Timestamp::now();
        change(&mut next.meta.secrets);
        next
    }

    /// The plaintext of the sealed form.
    pub(in crate::vault) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("a grant does not encode"))
    }

    /// Reads the plaintext of the sealed form of this row.
    pub(in crate::vault) fn decode(id: Uuid, version: u64, plaintext: &[u8]) -> Result<Self, Error> {
        let malformed = Error::Corrupt("a grant to a unit is not of its form");
        let Some((meta, rest)) = rest::decode::<Meta>(plaintext) else { return Err(malformed) };
        if !meta.secrets.is_sorted_by(|a, b| a < b) {
            return Err(malformed);
        }
        Ok(Self { id, version, meta, rest })
    }

    /// What the wire shows of it.
    pub(in crate::vault) fn to_wire(&self) -> CredentialGrant {
        let Meta { unit, secrets, created_at, updated_at } = self.meta.clone();
        CredentialGrant { unit, secrets, created_at, updated_at }
    }
}
