//! What rows are, and reading them.

use std::borrow::Cow;

use rusqlite::{OptionalExtension, Row, params};

use super::{Error, Store};

/// The one row about the vault itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderRow {
    /// The vault's random id.
    pub(crate) vault: [u8; 16],
    /// Random; renewed when a backup is restored, so that its history is told from the old one's.
    pub(crate) lineage: [u8; 16],
    /// Counts rotations, from 1.
    pub(crate) epoch: u32,
    /// Over this row and all slots.
    pub(crate) mac: [u8; 32],
}

/// The most key slots that a vault has. Trying a key takes as long as all of them together, which a forged file must
/// not be able to choose.
pub(crate) const MOST_SLOTS: usize = 64;

/// The records of a kind and id, oldest version first.
pub(super) const RECORDS_OF: &str =
    "SELECT kind, id, version, sealed FROM record WHERE kind = ?1 AND id = ?2 ORDER BY version";

/// One key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotRow {
    /// Random.
    pub(crate) id: [u8; 16],
    /// The kind's number.
    pub(crate) kind: u32,
    /// Argon2id memory in KiB, or 0.
    pub(crate) memory_kib: u32,
    /// Argon2id passes, or 0.
    pub(crate) passes: u32,
    /// Argon2id lanes, or 0.
    pub(crate) lanes: u32,
    /// The derivation's salt.
    pub(crate) salt: [u8; 16],
    /// The wrapped data key.
    pub(crate) wrapped: Vec<u8>,
    /// The slot's description, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// The one row that accounts for all records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestRow {
    /// Counts commits.
    pub(crate) generation: u64,
    /// The manifest, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// What a record is about. New kinds need no new format: a program keeps the records of a kind that it does not know as
/// they are, counted and sealed like any other, and does nothing else with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordKind {
    /// A secret's metadata.
    Secret,
    /// One version of a secret's value.
    Value,
    /// An access token.
    Token,
    /// A grant of a credential to a unit.
    Credential,
    /// A rule that says who may have or change a guarded secret.
    ApprovalRule,
    /// What is known of an item but its value.
    Item,
    /// One version of an item's value.
    ItemValue,
    /// What holds all items.
    Collection,
    /// The fleet that the vault belongs to: one row.
    Fleet,
    /// An object of the fleet that is not in the exchange yet.
    Object,
    /// What all machines of the fleet know of one secret; its id is the secret's.
    Origin,
    /// Something that a newer program keeps, by its number.
    Unknown(u32),
}

impl RecordKind {
    /// The kinds that the manifest has a place for, in the order of their numbers.
    pub(crate) const FIRST: [Self; 4] = [Self::Secret, Self::Value, Self::Token, Self::Credential];

    /// The kind's number in the file.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Secret => 1,
            Self::Value => 2,
            Self::Token => 3,
            Self::Credential => 4,
            // The vaults of the tests that a newer program has written to have records of kind 5.
            Self::ApprovalRule => 7,
            Self::Item => 8,
            Self::ItemValue => 9,
            Self::Collection => 10,
            Self::Fleet => 16,
            Self::Object => 17,
            Self::Origin => 18,
            Self::Unknown(number) => number,
        }
    }

    /// The kind's name, as it is authenticated with the content: of any but the first four, `record-` and its number, so
    /// that every program can open and seal it.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Secret => "secret".into(),
            Self::Value => "value".into(),
            Self::Token => "token".into(),
            Self::Credential => "credential".into(),
            Self::ApprovalRule => "record-7".into(),
            Self::Item => "record-8".into(),
            Self::ItemValue => "record-9".into(),
            Self::Collection => "record-10".into(),
            Self::Fleet => "record-16".into(),
            Self::Object => "record-17".into(),
            Self::Origin => "record-18".into(),
            Self::Unknown(number) => format!("record-{number}").into(),
        }
    }

    /// The kind with this number.
    pub(crate) fn from_number(number: u32) -> Self {
        let others = [
            Self::ApprovalRule,
            Self::Item,
            Self::ItemValue,
            Self::Collection,
            Self::Fleet,
            Self::Object,
            Self::Origin,
        ];
        let known = Self::FIRST.into_iter().chain(others);
        known.into_iter().find(|kind| kind.number() == number).unwrap_or(Self::Unknown(number))
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordRow {
    /// What it is about.
    pub(crate) kind: RecordKind,
    /// Random; a value has its secret's.
    pub(crate) id: [u8; 16],
    /// Counts changes.
    pub(crate) version: u64,
    /// The entry's content, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// Where a record is: its kind, id and version.
pub(crate) type RecordKey = (RecordKind, [u8; 16], u64);

impl RecordRow {
    /// Where it is.
    pub(crate) const fn key(&self) -> RecordKey {
        (self.kind, self.id, self.version)
    }
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// Counts from 1.
    pub(crate) sequence: u64,
    /// The entry, sealed.
    pub(crate) sealed: Vec<u8>,
    /// Over this entry and the MAC before.
    pub(crate) mac: [u8; 32],
}

impl Store {
    /// The header.
    pub(crate) fn header(&self) -> Result<HeaderRow, Error> {
        self.connection
            .query_row("SELECT vault, lineage, epoch, mac FROM header", [], |row| {
                Ok(HeaderRow {
                    vault: row.get(0)?,
                    lineage: row.get(1)?,
                    epoch: row.get(2)?,
                    mac: row.get(3)?,
                })
            })
            .map_err(Error::from)
    }

    /// All key slots, by id. More than a vault can have are damage, and not read.
    pub(crate) fn slots(&self) -> Result<Vec<SlotRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, kind, memory_kib, passes, lanes, salt, wrapped, sealed FROM slot ORDER BY id",
        )?;
        let slots: Vec<_> = statement
            .query_map([], |row| {
                Ok(SlotRow {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    memory_kib: row.get(2)?,
                    passes: row.get(3)?,
                    lanes: row.get(4)?,
                    salt: row.get(5)?,
                    wrapped: row.get(6)?,
                    sealed: row.get(7)?,
                })
            })?
            .take(MOST_SLOTS + 1)
            .collect::<Result<_, _>>()?;
        if slots.len() > MOST_SLOTS {
            return Err(Error::Damaged("it has more key slots than a vault can have"));
        }
        Ok(slots)
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> Result<ManifestRow, Error> {
        self.connection
            .query_row("SELECT generation, sealed FROM manifest", [], |row| {
                Ok(ManifestRow { generation: unsigned(row, 0)?, sealed: row.get(1)? })
            })
            .map_err(Error::from)
    }

    /// Hands over every record, by kind, id and version. Stops at the first error of `visit`.
    pub(crate) fn for_each_record<E: From<Error>>(
        &self,
        mut visit: impl FnMut(RecordRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT kind, id, version, sealed FROM record ORDER BY kind, id, version")
            .map_err(Error::from)?;
        let mut rows = statement.query([]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            visit(record(row)?)?;
        }
        Ok(())
    }

    /// One record, if it is there.
    pub(crate) fn record(
        &self,
        kind: RecordKind,
        id: &[u8; 16],
        version: u64,
    ) -> Result<Option<RecordRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT kind, id, version, sealed FROM record WHERE kind = ?1 AND id = ?2 AND version = ?3",
            )?
            .query_row(params![kind.number(), id, signed(version)?], |row| Ok(record(row)))
            .optional()?
            .transpose()
    }

    /// All records of this kind and id, oldest version first.
    pub(crate) fn records_of(&self, kind: RecordKind, id: &[u8; 16]) -> Result<Vec<RecordRow>, Error> {
        let mut statement = self.connection.prepare_cached(RECORDS_OF)?;
        let mut rows = statement.query(params![kind.number(), id])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(record(row)?);
        }
        Ok(found)
    }

    /// The audit entry with this number, if it is there.
    pub(crate) fn audit_entry(&self, sequence: u64) -> Result<Option<AuditRow>, Error> {
        self.connection
            .prepare_cached("SELECT sequence, sealed, mac FROM audit WHERE sequence = ?1")?
            .query_row([signed(sequence)?], audit)
            .optional()
            .map_err(Error::from)
    }

    /// Hands over the audit entries before this one, or all, newest first, until `visit` says false.
    pub(crate) fn for_each_audit_entry_back<E: From<Error>>(
        &self,
        before: Option<u64>,
        visit: impl FnMut(AuditRow) -> Result<bool, E>,
    ) -> Result<(), E> {
        let before = before.map_or(Ok(i64::MAX), signed)?;
        // No honest number is the largest of all.
        self.for_each_audit_entry(
            "SELECT sequence, sealed, mac FROM audit WHERE sequence < ?1 ORDER BY sequence DESC",
            before,
            visit,
        )
    }

    /// Hands over the audit entries after this one, or all, oldest first, until `visit` says false.
    pub(crate) fn for_each_audit_entry_after<E: From<Error>>(
        &self,
        after: Option<u64>,
        visit: impl FnMut(AuditRow) -> Result<bool, E>,
    ) -> Result<(), E> {
        let after = after.map_or(Ok(i64::MIN), signed)?;
        self.for_each_audit_entry(
            "SELECT sequence, sealed, mac FROM audit WHERE sequence > ?1 ORDER BY sequence",
            after,
            visit,
        )
    }

    fn for_each_audit_entry<E: From<Error>>(
        &self,
        sql: &str,
        bound: i64,
        mut visit: impl FnMut(AuditRow) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(Error::from)?;
        let mut rows = statement.query([bound]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            if !visit(audit(row).map_err(Error::from)?)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The number of audit entries.
    pub(crate) fn audit_count(&self) -> Result<u64, Error> {
        self.connection
            .query_row("SELECT count(*) FROM audit", [], |row| unsigned(row, 0))
            .map_err(Error::from)
    }
}

fn record(row: &Row<'_>) -> Result<RecordRow, Error> {
    Ok(RecordRow {
        kind: RecordKind::from_number(row.get(0)?),
        id: row.get(1)?,
        version: unsigned(row, 2)?,
        sealed: row.get(3)?,
    })
}

fn audit(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow { sequence: unsigned(row, 0)?, sealed: row.get(1)?, mac: row.get(2)? })
}

/// SQLite's integers are signed; ours never are.
pub(super) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Damaged("a counter is out of range"))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
