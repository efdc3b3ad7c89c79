//! The manifest: what the file must hold, to the row. Encryption alone would accept a deleted row and an
//! old row put back; the manifest refuses both.

use crate::crypto::keys::{Keys, Purpose};
use crate::crypto::seal::{self, AadContext};
use crate::crypto::tally::Tally;
use crate::store::{ManifestRow, RecordKind, RecordRow};
use crate::vault::Error;

/// Counts, sums and heads over everything in the file. Its sealed form is
/// `generation ‖ secrets ‖ values ‖ tokens ‖ credentials (u64 each) ‖ tally (32) ‖ header MAC (32) ‖
/// audit entries (u64) ‖ audit head (32)`, integers big-endian, sealed with the lineage as row and the generation as
/// version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Manifest {
    /// Counts commits.
    pub(in crate::vault) generation: u64,
    counts: [u64; RecordKind::ALL.len()],
    tally: Tally,
    /// The header's MAC, so that header and slots cannot be rolled back by themselves.
    pub(in crate::vault) header_mac: [u8; 32],
    /// The number of audit entries.
    pub(in crate::vault) audit_count: u64,
    /// The MAC of the last audit entry.
    pub(in crate::vault) audit_head: [u8; 32],
}

impl Manifest {
    /// The manifest of a vault without records.
    pub(in crate::vault) fn empty(header_mac: [u8; 32]) -> Self {
        Self {
            generation: 1,
            counts: [0; RecordKind::ALL.len()],
            tally: Tally::default(),
            header_mac,
            audit_count: 0,
            audit_head: [0; 32],
        }
    }

    /// This manifest without its records, to count them again.
    pub(in crate::vault) fn without_records(&self) -> Self {
        Self { counts: [0; RecordKind::ALL.len()], tally: Tally::default(), ..self.clone() }
    }

    /// Counts a record in.
    pub(in crate::vault) fn add(&mut self, keys: &Keys, row: &RecordRow) -> Result<(), Error> {
        let count = self.count_mut(row.kind)?;
        *count = count.checked_add(1).ok_or(Error::Internal("a count overflows"))?;
        self.tally.add(&tag(keys, row));
        Ok(())
    }

    /// Counts in all that `other` has counted.
    pub(in crate::vault) fn add_all(&mut self, other: &Self) -> Result<(), Error> {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.checked_add(more).ok_or(Error::Internal("a count overflows"))?;
        }
        self.tally.add(&other.tally.to_bytes());
        Ok(())
    }

    /// Counts a record out.
    pub(in crate::vault) fn remove(&mut self, keys: &Keys, row: &RecordRow) -> Result<(), Error> {
        let count = self.count_mut(row.kind)?;
        *count = count.checked_sub(1).ok_or(Error::Internal("a count underflows"))?;
        self.tally.remove(&tag(keys, row));
        Ok(())
    }

    fn count_mut(&mut self, kind: RecordKind) -> Result<&mut u64, Error> {
        let at = RecordKind::ALL.iter().position(|known| *known == kind);
        at.and_then(|at| self.counts.get_mut(at)).ok_or(Error::Internal("a kind is not counted"))
    }

    /// Seals it for the file.
    pub(in crate::vault) fn seal(&self, keys: &Keys, lineage: &[u8; 16]) -> Result<ManifestRow, Error> {
        let sealed = seal::seal(keys, context(lineage, self.generation), &self.encode())?;
        Ok(ManifestRow { generation: self.generation, sealed })
    }

    fn encode(&self) -> Vec<u8> {
        let mut plaintext = Vec::with_capacity(160);
        plaintext.extend_from_slice(&self.generation.to_be_bytes());
        for count in self.counts {
            plaintext.extend_from_slice(&count.to_be_bytes());
        }
        plaintext.extend_from_slice(&self.tally.to_bytes());
        plaintext.extend_from_slice(&self.header_mac);
        plaintext.extend_from_slice(&self.audit_count.to_be_bytes());
        plaintext.extend_from_slice(&self.audit_head);
        plaintext
    }

    /// Opens what the file holds.
    pub(in crate::vault) fn open(keys: &Keys, lineage: &[u8; 16], row: &ManifestRow) -> Result<Self, Error> {
        let damaged = || Error::Corrupt("the manifest is not authentic");
        let plaintext =
            seal::open(keys, context(lineage, row.generation), &row.sealed).map_err(|_| damaged())?;
        let mut reader = Reader(&plaintext);
        let manifest = (|| {
            Some(Self {
                generation: reader.number()?,
                counts: [reader.number()?, reader.number()?, reader.number()?, reader.number()?],
                tally: Tally::from_bytes(&reader.take()?),
                header_mac: reader.take()?,
                audit_count: reader.number()?,
                audit_head: reader.take()?,
            })
        })();
        manifest
            .filter(|manifest| reader.0.is_empty() && manifest.generation == row.generation)
            .ok_or_else(damaged)
    }
}

fn context(lineage: &[u8; 16], generation: u64) -> AadContext<'_> {
    AadContext { table: "manifest", row: lineage, column: "sealed", version: generation }
}

/// The row's pseudo-random tag: HMAC over (kind u32, id, version u64, sealed), each with its length before it.
fn tag(keys: &Keys, row: &RecordRow) -> [u8; 32] {
    keys.mac(
        Purpose::Row,
        &[&row.kind.number().to_be_bytes(), &row.id, &row.version.to_be_bytes(), &row.sealed],
    )
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{array, bytes, keys, list, number, vectors};

    #[test]
    fn the_manifest_and_its_tally_are_the_known_ones() {
        let (keys, all) = (keys(), vectors());
        let known = &all["manifest"];
        let mut manifest = Manifest {
            generation: number(&known["generation"]),
            audit_count: number(&known["audit_count"]),
            audit_head: array(&known["audit_head"]),
            ..Manifest::empty(array(&known["header_mac"]))
        };
        for row in list(&all["records"]) {
            let kind =
                RecordKind::ALL.into_iter().find(|kind| u64::from(kind.number()) == row["kind"]).unwrap();
            let sealed = bytes(&row["sealed"]);
            let (id, version) = (array(&row["id"]), number(&row["version"]));
            let tagged = RecordRow { kind, id, version, sealed };
            assert_eq!(tag(&keys, &tagged), array(&row["tag"]));
            manifest.add(&keys, &tagged).unwrap();
        }
        assert_eq!(manifest.tally.to_bytes(), array(&known["tally"]));
        for (kind, count) in RecordKind::ALL.into_iter().zip(manifest.counts) {
            assert_eq!(known["counts"][kind.name()], count);
        }
        let blob = &known["blob"];
        assert_eq!(manifest.encode(), bytes(&blob["plaintext"]));
        let row = ManifestRow { generation: manifest.generation, sealed: bytes(&blob["sealed"]) };
        let lineage = array(&all["identity"]["lineage"]);
        assert_eq!(Manifest::open(&keys, &lineage, &row).unwrap(), manifest);
    }
}
