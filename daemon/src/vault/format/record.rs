//! A secret's metadata in memory, and its sealed form. The sealed form is a type of its own, so that the
//! wire can change without the file.

use secrets_proto::reveal::Remark;
use secrets_proto::rule::Rule;
use secrets_proto::secret::{Secret, SecretDetail, SecretVersion, SizeClass, TrashedSecret};
use secrets_proto::{Provider, SecretName, SecretValue, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::keys::Keys;
use crate::crypto::seal::{self, AadContext};
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;

use super::mask::mask;
use super::rest::{self, Rest};

/// How long a deleted secret stays in the trash: 30 days.
const TRASH_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Everything about a secret but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Record {
    /// The id, which is also the row's.
    pub(in crate::vault) id: Uuid,
    /// Counts every change; the row's version.
    pub(in crate::vault) version: u64,
    /// What changes with the secret.
    pub(in crate::vault) meta: Meta,
    /// What a newer program has added to that.
    pub(in crate::vault) rest: Rest,
}

/// The sealed part of a record, stored as JSON. It may get more fields that have a default, and [`rest`] says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Meta {
    pub(in crate::vault) name: SecretName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) provider: Option<Provider>,
    pub(in crate::vault) mask: String,
    pub(in crate::vault) size: u64,
    pub(in crate::vault) created_at: Timestamp,
    pub(in crate::vault) updated_at: Timestamp,
    /// The version in which the present value was stored; the value's row has this version.
    pub(in crate::vault) value_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) note: Option<Remark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) expires_at: Option<Timestamp>,
    /// When a value was last handed over, to the minute: exact times are in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) last_used_at: Option<Timestamp>,
    /// When it was moved to the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) deleted_at: Option<Timestamp>,
    /// When the value of this version was stored, if the record says that of no other field of its own. It names the version,
    /// so that it is not taken for the time of another value, which a program has stored that does not know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) value_changed: Option<(u64, Timestamp)>,
    /// Where its value may be used without being seen. A program that does not know of rules has no use, and keeps them.
    /// Anything new inside a rule raises a mark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::vault) rules: Vec<Rule>,
    /// Whether a person decides who may have or change it. While this is true of any secret, the manifest has a mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::vault) guarded: bool,
    /// The version of the present value, while another machine's stands beside it that was stored at the same time. It names
    /// the version, so that it is not taken for a word on another value, which a program has stored that does not know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) conflict: Option<u64>,
    /// Whether it stays on this machine. While this is true of any secret, the manifest has a mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::vault) local: bool,
}

impl Record {
    /// A new secret's first version.
    pub(in crate::vault) fn new(
        id: Uuid,
        name: SecretName,
        provider: Option<Provider>,
        value: &SecretValue,
    ) -> Self {
        let now = Timestamp::now();
        let meta = Meta {
            name,
            provider,
            mask: mask(value),
            size: value.expose().len() as u64,
            created_at: now,
            updated_at: now,
            value_version: 1,
            note: None,
            expires_at: None,
            last_used_at: None,
            deleted_at: None,
            value_changed: None,
            rules: Vec::new(),
            guarded: false,
            conflict: None,
            local: false,
        };
        Self { id, version: 1, meta, rest: Rest::default() }
    }

    /// The next version, changed by `change`.
    pub(in crate::vault) fn next(&self, change: impl FnOnce(&mut Meta)) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.meta.updated_at = Timestamp::now();
        next.meta.value_changed = self.value_changed_at().map(|time| (self.meta.value_version, time));
        change(&mut next.meta);
        next
    }

    /// The next version, with this value.
    pub(in crate::vault) fn next_with_value(&self, value: &SecretValue) -> Self {
        let version = self.version + 1;
        self.next(|meta| {
            meta.mask = mask(value);
            meta.size = value.expose().len() as u64;
            meta.value_version = version;
            meta.value_changed = None;
        })
    }

    /// When it got its present value. Unknown where a program changed its metadata that did not keep that; the value's row
    /// has it.
    pub(in crate::vault) fn value_changed_at(&self) -> Option<Timestamp> {
        let Meta { value_version, value_changed, created_at, updated_at, .. } = &self.meta;
        // First: a value that another machine has stored came here later.
        if let Some((_, time)) = value_changed.filter(|(version, _)| version == value_version) {
            return Some(time);
        }
        if *value_version == self.version {
            return Some(*updated_at);
        }
        (*value_version == 1).then_some(*created_at)
    }

    /// Whether it is in the trash.
    pub(in crate::vault) const fn is_deleted(&self) -> bool {
        self.meta.deleted_at.is_some()
    }

    /// Whether another machine's value stands beside the present one.
    pub(in crate::vault) fn has_conflict(&self) -> bool {
        self.meta.conflict == Some(self.meta.value_version)
    }

    /// When it leaves the trash for good, if it is there.
    pub(in crate::vault) fn purged_at(&self) -> Option<Timestamp> {
        self.meta.deleted_at.map(purged_at)
    }

    /// The plaintext of the sealed form.
    pub(in crate::vault) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("a record does not encode"))
    }

    /// Reads the plaintext of the sealed form of this row.
    pub(in crate::vault) fn decode(id: Uuid, version: u64, plaintext: &[u8]) -> Result<Self, Error> {
        let (meta, rest) =
            rest::decode(plaintext).ok_or(Error::Corrupt("a secret's metadata is not of its form"))?;
        Ok(Self { id, version, meta, rest })
    }

    /// The six fields of the wire.
    pub(in crate::vault) fn to_secret(&self) -> Secret {
        Secret {
            id: self.id,
            name: self.meta.name.clone(),
            provider: self.meta.provider.clone(),
            masked_value: self.meta.mask.clone(),
            created_at: self.meta.created_at,
            updated_at: self.meta.updated_at,
        }
    }

    /// What the wire shows of it in the trash.
    pub(in crate::vault) fn to_trashed(&self) -> Option<TrashedSecret> {
        let (deleted_at, purged_at) = (self.meta.deleted_at?, self.purged_at()?);
        Some(TrashedSecret { secret: self.to_secret(), deleted_at, purged_at })
    }

    /// All that the wire may show.
    pub(in crate::vault) fn to_detail(&self) -> SecretDetail {
        SecretDetail {
            secret: self.to_secret(),
            version: self.version,
            last_used_at: self.meta.last_used_at,
            expires_at: self.meta.expires_at,
            note: self.meta.note.clone(),
            size_class: SizeClass::of(self.meta.size),
            value_changed_at: self.value_changed_at(),
            guarded: self.meta.guarded,
            conflict: self.has_conflict(),
            local: self.meta.local,
        }
    }
}

/// One version of a value in its row. The plaintext is the time it was stored (seconds since 1970, i64, big-endian) and then
/// the value's bytes.
pub(in crate::vault) struct StoredValue;

impl StoredValue {
    /// The row of this version.
    pub(in crate::vault) fn seal(
        keys: &Keys,
        id: Uuid,
        version: u64,
        stored_at: Timestamp,
        value: &SecretValue,
    ) -> Result<RecordRow, Error> {
        let context = record_context(RecordKind::Value, id.as_bytes(), version);
        let sealed = seal::seal(keys, context, &Self::encode(stored_at, value))?;
        Ok(RecordRow { kind: RecordKind::Value, id: *id.as_bytes(), version, sealed })
    }

    fn encode(stored_at: Timestamp, value: &SecretValue) -> Zeroizing<Vec<u8>> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(8 + value.expose().len()));
        plaintext.extend_from_slice(&stored_at.as_second().to_be_bytes());
        plaintext.extend_from_slice(value.expose().as_bytes());
        plaintext
    }

    /// When it was stored, and the value.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<(Timestamp, SecretValue), Error> {
        let mut plaintext =
            seal::open(keys, record_context(RecordKind::Value, &row.id, row.version), &row.sealed)
                .map_err(|_| Error::Corrupt("a secret's value is not authentic"))?;
        let malformed = || Error::Corrupt("a secret's value is not of its form");
        let (seconds, _) = plaintext.split_first_chunk::<8>().ok_or_else(malformed)?;
        let stored_at = Timestamp::from_second(i64::from_be_bytes(*seconds)).ok_or_else(malformed)?;
        plaintext.drain(..8);
        let value = SecretValue::from_bytes(std::mem::take(&mut *plaintext)).map_err(|_| malformed())?;
        Ok((stored_at, value))
    }

    /// What the wire shows of a version.
    pub(in crate::vault) fn describe(
        keys: &Keys,
        row: &RecordRow,
        current: u64,
    ) -> Result<SecretVersion, Error> {
        let (created_at, value) = Self::open(keys, row)?;
        Ok(SecretVersion {
            version: row.version,
            masked_value: mask(&value),
            created_at,
            current: row.version == current,
            from: None,
            beside: false,
        })
    }
}

/// When something leaves the trash for good that was deleted then.
pub(in crate::vault) fn purged_at(deleted_at: Timestamp) -> Timestamp {
    deleted_at.saturating_add_seconds(TRASH_SECONDS)
}

/// Where a record's sealed content belongs.
pub(in crate::vault) fn record_context(kind: RecordKind, id: &[u8; 16], version: u64) -> AadContext<'_> {
    AadContext { table: kind.name(), row: id, column: "sealed", version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{array, bytes, keys, list, number, vectors};

    #[test]
    fn the_age_of_a_value_is_its_own_and_never_that_of_another() {
        let value = SecretValue::new("x".to_owned()).unwrap();
        let time = |second| Timestamp::from_second(second).unwrap();
        let mut first = Record::new(Uuid::nil(), SecretName::parse("A").unwrap(), None, &value);
        (first.meta.created_at, first.meta.updated_at) = (time(1), time(1));
        assert_eq!(first.next(|_| ()).next(|_| ()).value_changed_at(), Some(time(1)));
        let mut second = first.next(|_| ()).next_with_value(&value);
        second.meta.updated_at = time(5);
        let edited = second.next(|_| ()).next(|_| ());
        assert_eq!(edited.value_changed_at(), Some(time(5)));
        let read = Record::decode(edited.id, edited.version, &edited.encode().unwrap()).unwrap();
        assert_eq!(read, edited);
        // It came from another machine, which had stored it before.
        let mut arrived = Record::new(first.id, first.meta.name.clone(), None, &value);
        (arrived.version, arrived.meta.value_version) = (3, 3);
        (arrived.meta.updated_at, arrived.meta.value_changed) = (time(9), Some((3, time(2))));
        assert_eq!(arrived.value_changed_at(), Some(time(2)));
        // A program that does not know the field has stored another value, and changed a note after that.
        let mut foreign = edited;
        (foreign.version, foreign.meta.value_version) = (foreign.version + 2, foreign.version + 1);
        assert_eq!(foreign.value_changed_at(), None);
        assert_eq!(foreign.next(|_| ()).value_changed_at(), None);
    }

    #[test]
    fn records_and_values_are_the_known_ones() {
        let (keys, all) = (keys(), vectors());
        for known in list(&all["records"]) {
            let kind = if known["kind"] == 1 { RecordKind::Secret } else { RecordKind::Value };
            let (id, version, sealed) =
                (array(&known["id"]), number(&known["version"]), bytes(&known["sealed"]));
            let expected = bytes(&known["plaintext"]);
            let plaintext = seal::open(&keys, record_context(kind, &id, version), &sealed).unwrap();
            assert_eq!(*plaintext, expected);
            if kind == RecordKind::Secret {
                let record = Record::decode(Uuid::from_bytes(id), version, &plaintext).unwrap();
                assert_eq!(*record.encode().unwrap(), expected);
            } else {
                let row = RecordRow { kind, id, version, sealed };
                let (stored_at, value) = StoredValue::open(&keys, &row).unwrap();
                assert_eq!(*StoredValue::encode(stored_at, &value), expected);
            }
        }
    }
}
