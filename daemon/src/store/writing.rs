//! Writing rows, in transactions. A statement that changes another number of rows than it must is an error.

use std::ops::Deref;

use rusqlite::{Params, params};

use super::laid_out::First;
use super::rows::{AuditRow, HeaderRow, ManifestRow, RecordRow, SlotRow, signed};
use super::{Error, Store};

impl Store {
    /// Starts a transaction.
    pub(crate) fn begin(&self) -> Result<Writing<'_>, Error> {
        self.in_place.look();
        let first = First::of(self)?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Writing { store: self, open: true, first })
    }
}

/// A transaction, rolled back when dropped. Reads through it see what it wrote.
pub(crate) struct Writing<'a> {
    store: &'a Store,
    open: bool,
    /// The log, if this is the first transaction in it. Dropped after the transaction.
    first: Option<First<'a>>,
}

impl Deref for Writing<'_> {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store
    }
}

impl Writing<'_> {
    /// Makes the transaction durable: when this returns, it survives a power cut.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.store.connection.prepare_cached("COMMIT")?.execute([])?;
        self.open = false;
        self.store.commits.update(|commits| commits + 1);
        self.first.take().map_or(Ok(()), First::commit)?;
        // A long log was moved into the file.
        self.store.in_place.measure_grown();
        Ok(())
    }

    /// Replaces the header.
    pub(crate) fn update_header(&self, header: &HeaderRow) -> Result<(), Error> {
        self.change_one(
            "UPDATE header SET vault = ?1, lineage = ?2, epoch = ?3, mac = ?4 WHERE one = 1",
            params![header.vault, header.lineage, header.epoch, header.mac],
        )
    }

    /// Removes a key slot.
    pub(crate) fn delete_slot(&self, id: &[u8; 16]) -> Result<(), Error> {
        self.change_one("DELETE FROM slot WHERE id = ?1", params![id])
    }

    /// Adds the header of a new vault.
    pub(crate) fn insert_header(&self, header: &HeaderRow) -> Result<(), Error> {
        self.change_one(
            "INSERT INTO header (one, vault, lineage, epoch, mac) VALUES (1, ?1, ?2, ?3, ?4)",
            params![header.vault, header.lineage, header.epoch, header.mac],
        )
    }

    /// Adds a key slot.
    pub(crate) fn insert_slot(&self, slot: &SlotRow) -> Result<(), Error> {
        self.change_one(
            "INSERT INTO slot (id, kind, memory_kib, passes, lanes, salt, wrapped, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                slot.id,
                slot.kind,
                slot.memory_kib,
                slot.passes,
                slot.lanes,
                slot.salt,
                slot.wrapped,
                slot.sealed
            ],
        )
    }

    /// Adds the manifest of a new vault.
    pub(crate) fn insert_manifest(&self, manifest: &ManifestRow) -> Result<(), Error> {
        self.change_one(
            "INSERT INTO manifest (one, generation, sealed) VALUES (1, ?1, ?2)",
            params![signed(manifest.generation)?, manifest.sealed],
        )
    }

    /// Replaces the manifest.
    pub(crate) fn update_manifest(&self, manifest: &ManifestRow) -> Result<(), Error> {
        self.change_one(
            "UPDATE manifest SET generation = ?1, sealed = ?2 WHERE one = 1",
            params![signed(manifest.generation)?, manifest.sealed],
        )
    }

    /// Adds a record.
    pub(crate) fn insert_record(&self, record: &RecordRow) -> Result<(), Error> {
        self.change_one(
            "INSERT INTO record (kind, id, version, sealed) VALUES (?1, ?2, ?3, ?4)",
            params![record.kind.number(), record.id, signed(record.version)?, record.sealed],
        )
    }

    /// Removes a record.
    pub(crate) fn delete_record(&self, record: &RecordRow) -> Result<(), Error> {
        self.change_one(
            "DELETE FROM record WHERE kind = ?1 AND id = ?2 AND version = ?3",
            params![record.kind.number(), record.id, signed(record.version)?],
        )
    }

    /// Adds an audit entry.
    pub(crate) fn append_audit(&self, entry: &AuditRow) -> Result<(), Error> {
        self.change_one(
            "INSERT INTO audit (sequence, sealed, mac) VALUES (?1, ?2, ?3)",
            params![signed(entry.sequence)?, entry.sealed, entry.mac],
        )
    }

    /// Removes an audit entry.
    pub(crate) fn delete_audit(&self, sequence: u64) -> Result<(), Error> {
        self.change_one("DELETE FROM audit WHERE sequence = ?1", params![signed(sequence)?])
    }

    fn change_one(&self, sql: &str, params: impl Params) -> Result<(), Error> {
        match self.store.connection.prepare_cached(sql)?.execute(params)? {
            1 => Ok(()),
            _ => Err(Error::Damaged("a statement did not change exactly one row")),
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.open {
            // If even this fails, the connection is unusable, and the next use of it says so.
            let _ = self.store.connection.execute_batch("ROLLBACK");
        }
    }
}
