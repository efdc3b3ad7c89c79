//! A rule that says who may have or change one guarded secret, or may not, in memory and in its sealed form. The sealed
//! form is a type of its own, so that the wire can change without the file.

use secrets_proto::approval::{Effect, GuardedRight};
use secrets_proto::{Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;

use super::record::record_context;
use super::rest::{self, Rest};

/// Every rule has this version: a rule is made and removed, and never changed.
const VERSION: u64 = 1;

/// An approval rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct ApprovalRule {
    /// The row's id.
    pub(in crate::vault) id: Uuid,
    /// What it says.
    pub(in crate::vault) meta: Meta,
    /// What a newer program has added to that.
    rest: Rest,
}

/// The sealed part of a rule, stored as JSON. It may get more fields that have a default, and [`rest`] says which; a rule
/// with such a field allows nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Meta {
    /// The secret, by its id: the rule goes with it under whatever name.
    pub(in crate::vault) secret: Uuid,
    pub(in crate::vault) effect: Effect,
    pub(in crate::vault) rights: Vec<GuardedRight>,
    pub(in crate::vault) clients: Pattern,
    pub(in crate::vault) created_at: Timestamp,
}

/// Which clients are meant: those that are equal to it in all that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Pattern {
    /// The access token; none is the owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) token: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) program: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) script: Option<String>,
    /// The directory, or one above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) directory: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) command: Option<String>,
}

impl Pattern {
    /// Whether this client is one of those that are meant.
    pub(in crate::vault) fn fits(&self, client: &Client) -> bool {
        let equal = |named: &Option<String>, found: &Option<String>| {
            named.as_ref().is_none_or(|named| found.as_ref() == Some(named))
        };
        self.token == client.token
            && equal(&self.unit, &client.unit)
            && equal(&self.program, &client.program)
            && equal(&self.script, &client.script)
            && equal(&self.command, &client.command)
            && self.directory.as_deref().is_none_or(|named| {
                client.directory.as_deref().is_some_and(|directory| is_within(directory, named))
            })
    }

    /// Whether it names anything but the token.
    pub(in crate::vault) const fn is_narrow(&self) -> bool {
        self.unit.is_some()
            || self.program.is_some()
            || self.script.is_some()
            || self.directory.is_some()
            || self.command.is_some()
    }
}

/// Whether a directory is this one or below it, both absolute.
pub(in crate::vault) fn is_within(directory: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    directory.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl ApprovalRule {
    /// A new rule.
    pub(in crate::vault) fn new(id: Uuid, meta: Meta) -> Self {
        Self { id, meta, rest: Rest::default() }
    }

    /// Whether it allows this right to this client. One that says more than is known here allows nothing.
    pub(in crate::vault) fn allows(&self, client: &Client, right: GuardedRight) -> bool {
        self.meta.effect == Effect::Allow && self.rest == Rest::default() && self.is_about(client, right)
    }

    /// Whether it denies this right to this client.
    pub(in crate::vault) fn denies(&self, client: &Client, right: GuardedRight) -> bool {
        self.meta.effect == Effect::Deny && self.is_about(client, right)
    }

    fn is_about(&self, client: &Client, right: GuardedRight) -> bool {
        self.meta.rights.contains(&right) && self.meta.clients.fits(client)
    }

    /// The row's id and version.
    pub(in crate::vault) const fn row_key(&self) -> ([u8; 16], u64) {
        (*self.id.as_bytes(), VERSION)
    }

    /// Its row.
    pub(in crate::vault) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let (id, version) = self.row_key();
        let plaintext: Zeroizing<Vec<u8>> = rest::encode(&self.meta, &self.rest)
            .ok_or(Error::Internal("an approval rule does not encode"))?;
        let sealed = seal::seal(keys, record_context(RecordKind::ApprovalRule, &id, version), &plaintext)?;
        Ok(RecordRow { kind: RecordKind::ApprovalRule, id, version, sealed })
    }

    /// Reads its row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
            .map_err(|_| Error::Corrupt("an approval rule is not authentic"))?;
        let malformed = Error::Corrupt("an approval rule is not of its form");
        let (meta, rest) = rest::decode(&plaintext).ok_or(malformed)?;
        Ok(Self { id: Uuid::from_bytes(row.id), meta, rest })
    }
}
