//! The manifest: what the file must hold, to the row. Encryption alone would accept a deleted row and an
//! old row put back; the manifest refuses both.
//!
//! It also says what a program must know to open the vault: `requires`, a list of marks, each the name of something that
//! has changed what is in the file. Here they are authentic, and as new as the rest. A program that meets a mark that it
//! does not know says that the vault was made by a newer one, and leaves every file as it is. A change of the format raises
//! a mark if a program that goes on without knowing would do harm: hand over what is no longer to be handed over, serve
//! what is no longer true, or break what it writes. Anything else needs none, not even a new kind of record: what is not
//! known is kept ([`rest`], [`RecordKind`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crypto::keys::{Keys, Purpose};
use crate::crypto::seal::{self, AadContext};
use crate::crypto::tally::Tally;
use crate::store::{ManifestRow, RecordKind, RecordRow};

use super::rest::{self, Rest};
use crate::vault::Error;

/// The marks that this program knows.
const KNOWN: [&str; 4] = [ARCHIVED, GUARDED, GUARDED_ITEMS, LOCAL];

/// The mark of a vault whose audit log does not begin with the first entry any more.
const ARCHIVED: &str = "audit-archived";

/// The mark of a vault in which a secret is guarded: a program that does not know of it would hand the value to anybody.
const GUARDED: &str = "guarded";

/// The mark of a vault in which an item is guarded: a program that does not know of it would let keys be added without a
/// proof, and take the mark of guards away.
const GUARDED_ITEMS: &str = "guarded-items";

/// The mark of a vault in which a secret stays on this machine: a program that does not know of it would tell the other
/// machines.
const LOCAL: &str = "local";

/// Counts, sums and heads over everything in the file. Its sealed form is
/// `generation ‖ secrets ‖ values ‖ tokens ‖ credentials (u64 each) ‖ tally (32) ‖ header MAC (32) ‖
/// audit entries (u64) ‖ audit head (32) ‖ more`, integers big-endian, sealed with the lineage as row and the generation
/// as version. `more` is nothing, or a JSON object of `requires`, the list of marks, `kinds`, how many records there are
/// of each other kind by its number, and `archived`, how many entries were taken out at the audit log's beginning and the MAC
/// of the last of them, as an array of 32 numbers; what would be empty is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Manifest {
    /// Counts commits.
    pub(in crate::vault) generation: u64,
    /// Of each kind that there is any of.
    counts: BTreeMap<RecordKind, u64>,
    tally: Tally,
    /// The header's MAC, so that header and slots cannot be rolled back by themselves.
    pub(in crate::vault) header_mac: [u8; 32],
    /// The number of audit entries.
    pub(in crate::vault) audit_count: u64,
    /// The MAC of the last audit entry.
    pub(in crate::vault) audit_head: [u8; 32],
    /// What was archived of the audit log, and is not in the file any more.
    pub(in crate::vault) archived: Archived,
    /// Marks that are all known.
    requires: Vec<String>,
    /// What a newer program has added.
    rest: Rest,
}

/// Where the audit log begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct Archived {
    /// How many entries were taken out at its beginning.
    pub(in crate::vault) entries: u64,
    /// The MAC of the last of them, on which the first that is left is chained; a rotation does not compute it again.
    pub(in crate::vault) head: [u8; 32],
}

impl Archived {
    fn is_nothing(&self) -> bool {
        self.entries == 0
    }
}

/// The last part of the sealed form.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kinds: BTreeMap<u32, u64>,
    #[serde(default, skip_serializing_if = "Archived::is_nothing")]
    archived: Archived,
}

impl Manifest {
    /// The manifest of a vault without records.
    pub(in crate::vault) fn empty(header_mac: [u8; 32]) -> Self {
        Self {
            generation: 1,
            counts: BTreeMap::new(),
            tally: Tally::default(),
            header_mac,
            audit_count: 0,
            audit_head: [0; 32],
            archived: Archived::default(),
            requires: Vec::new(),
            rest: Rest::default(),
        }
    }

    /// The manifest without its records, to count them again.
    pub(in crate::vault) fn without_records(&self) -> Self {
        Self { counts: BTreeMap::new(), tally: Tally::default(), ..self.clone() }
    }

    /// Counts a record in.
    pub(in crate::vault) fn add(&mut self, keys: &Keys, row: &RecordRow) -> Result<(), Error> {
        self.count(row.kind, 1)?;
        self.tally.add(&tag(keys, row));
        Ok(())
    }

    /// Counts in all that `other` has counted.
    pub(in crate::vault) fn add_all(&mut self, other: &Self) -> Result<(), Error> {
        other.counts.iter().try_for_each(|(kind, count)| self.count(*kind, *count))?;
        self.tally.add(&other.tally.to_bytes());
        Ok(())
    }

    /// Counts a record out.
    pub(in crate::vault) fn remove(&mut self, keys: &Keys, row: &RecordRow) -> Result<(), Error> {
        let count = self.counts.get(&row.kind).and_then(|count| count.checked_sub(1));
        match count.ok_or(Error::Internal("a count underflows"))? {
            0 => self.counts.remove(&row.kind),
            count => self.counts.insert(row.kind, count),
        };
        self.tally.remove(&tag(keys, row));
        Ok(())
    }

    fn count(&mut self, kind: RecordKind, more: u64) -> Result<(), Error> {
        let count = self.counts.entry(kind).or_default();
        *count = count.checked_add(more).ok_or(Error::Internal("a count overflows"))?;
        Ok(())
    }

    /// Takes the first entry that is left out of the audit log. From then on only a program that knows of it opens the
    /// vault: another would find entries missing.
    pub(in crate::vault) fn archive_entry(&mut self, mac: [u8; 32]) {
        self.archived = Archived { entries: self.archived.entries + 1, head: mac };
        if !self.requires.iter().any(|mark| mark == ARCHIVED) {
            self.requires.push(ARCHIVED.to_owned());
        }
    }

    /// Says whether a secret is guarded, and whether an item is, in the trash or not. While one is, only a program that
    /// knows of such guards opens the vault.
    pub(in crate::vault) fn mark_guarded(&mut self, secrets: bool, items: bool) {
        self.mark(GUARDED, secrets);
        self.mark(GUARDED_ITEMS, items);
    }

    /// Says whether a secret stays on this machine, in the trash or not.
    pub(in crate::vault) fn mark_local(&mut self, secrets: bool) {
        self.mark(LOCAL, secrets);
    }

    fn mark(&mut self, name: &str, is_needed: bool) {
        match self.requires.iter().position(|mark| mark == name) {
            Some(at) if !is_needed => drop(self.requires.remove(at)),
            None if is_needed => self.requires.push(name.to_owned()),
            Some(_) | None => {}
        }
    }

    /// Seals it for the file.
    pub(in crate::vault) fn seal(&self, keys: &Keys, lineage: &[u8; 16]) -> Result<ManifestRow, Error> {
        let sealed = seal::seal(keys, context(lineage, self.generation), &self.encode()?)?;
        Ok(ManifestRow { generation: self.generation, sealed })
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut plaintext = Vec::with_capacity(160);
        plaintext.extend_from_slice(&self.generation.to_be_bytes());
        for kind in RecordKind::FIRST {
            plaintext.extend_from_slice(&self.counts.get(&kind).unwrap_or(&0).to_be_bytes());
        }
        plaintext.extend_from_slice(&self.tally.to_bytes());
        plaintext.extend_from_slice(&self.header_mac);
        plaintext.extend_from_slice(&self.audit_count.to_be_bytes());
        plaintext.extend_from_slice(&self.audit_head);
        let others = self.counts.iter().filter(|(kind, _)| !RecordKind::FIRST.contains(kind));
        let kinds = others.map(|(kind, count)| (kind.number(), *count)).collect();
        let more = rest::encode(
            &More { requires: self.requires.clone(), kinds, archived: self.archived },
            &self.rest,
        )
        .ok_or(Error::Internal("the manifest does not encode"))?;
        if *more != *b"{}" {
            plaintext.extend_from_slice(&more);
        }
        Ok(plaintext)
    }

    /// Opens what the file holds. The error is [`Error::NewerVault`] if it is authentic and says, or shows, that this
    /// program is too old for it.
    pub(in crate::vault) fn open(keys: &Keys, lineage: &[u8; 16], row: &ManifestRow) -> Result<Self, Error> {
        let damaged = || Error::Corrupt("the manifest is not authentic");
        let plaintext =
            seal::open(keys, context(lineage, row.generation), &row.sealed).map_err(|_| damaged())?;
        let mut reader = Reader(&plaintext);
        let manifest = (|| {
            Some(Self {
                generation: reader.number()?,
                counts: reader.counts()?,
                tally: Tally::from_bytes(&reader.take()?),
                header_mac: reader.take()?,
                audit_count: reader.number()?,
                audit_head: reader.take()?,
                archived: Archived::default(),
                requires: Vec::new(),
                rest: Rest::default(),
            })
        })();
        manifest
            .filter(|manifest| manifest.generation == row.generation)
            .ok_or_else(damaged)?
            .with_more(reader.0)
    }

    fn with_more(mut self, more: &[u8]) -> Result<Self, Error> {
        if more.is_empty() {
            return Ok(self);
        }
        let (More { requires, kinds, archived }, rest) = rest::decode(more).ok_or(Error::NewerVault)?;
        if requires.iter().any(|mark| !KNOWN.contains(&mark.as_str())) {
            tracing::error!(?requires, "the vault requires what this program does not know");
            return Err(Error::NewerVault);
        }
        for (number, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.count(RecordKind::from_number(number), count)?;
        }
        Ok(Self { requires, archived, rest, ..self })
    }
}

fn context(lineage: &[u8; 16], generation: u64) -> AadContext<'_> {
    AadContext { table: "manifest".into(), row: lineage, column: "sealed", version: generation }
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

    fn counts(&mut self) -> Option<BTreeMap<RecordKind, u64>> {
        let mut counts = BTreeMap::new();
        for kind in RecordKind::FIRST {
            let count = self.number()?;
            if count > 0 {
                counts.insert(kind, count);
            }
        }
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{array, bytes, keys, list, number, vectors};
    use crate::vault::format::record::record_context;

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
            let kind = RecordKind::from_number(number(&row["kind"]));
            let sealed = bytes(&row["sealed"]);
            let (id, version) = (array(&row["id"]), number(&row["version"]));
            let tagged = RecordRow { kind, id, version, sealed };
            assert_eq!(tag(&keys, &tagged), array(&row["tag"]));
            manifest.add(&keys, &tagged).unwrap();
        }
        assert_eq!(manifest.tally.to_bytes(), array(&known["tally"]));
        for kind in RecordKind::FIRST {
            assert_eq!(known["counts"][&*kind.name()], *manifest.counts.get(&kind).unwrap_or(&0));
        }
        let blob = &known["blob"];
        assert_eq!(manifest.encode().unwrap(), bytes(&blob["plaintext"]));
        let row = ManifestRow { generation: manifest.generation, sealed: bytes(&blob["sealed"]) };
        let lineage = array(&all["identity"]["lineage"]);
        assert_eq!(Manifest::open(&keys, &lineage, &row).unwrap(), manifest);

        let (other, grown) = (&all["grown"]["record"], &all["grown"]["manifest"]["blob"]);
        let kind = RecordKind::from_number(number(&other["kind"]));
        let (id, version, sealed) = (array(&other["id"]), number(&other["version"]), bytes(&other["sealed"]));
        let context = record_context(kind, &id, version);
        assert_eq!(*seal::open(&keys, context, &sealed).unwrap(), bytes(&other["plaintext"]));
        let tagged = RecordRow { kind, id, version, sealed };
        assert_eq!(tag(&keys, &tagged), array(&other["tag"]));
        let row = ManifestRow { generation: manifest.generation + 1, sealed: bytes(&grown["sealed"]) };
        let opened = Manifest::open(&keys, &lineage, &row).unwrap();
        assert_eq!(opened.encode().unwrap(), bytes(&grown["plaintext"]));
        manifest.add(&keys, &tagged).unwrap();
        assert_eq!((&opened.counts, &opened.tally), (&manifest.counts, &manifest.tally));
    }

    #[test]
    fn an_archived_log_is_marked_so_that_an_older_program_calls_it_newer() {
        let mut manifest = Manifest::empty([0; 32]);
        let plain = manifest.encode().unwrap();
        manifest.archive_entry([0; 32]);
        manifest.archive_entry([7; 32]);
        let encoded = manifest.encode().unwrap();
        let more = encoded.strip_prefix(&*plain).unwrap();
        assert!(more.starts_with(br#"{"requires":["audit-archived"],"archived":{"entries":2,"#));
        assert_eq!(Manifest::empty([0; 32]).with_more(more).unwrap(), manifest);
    }

    #[test]
    fn what_an_older_program_would_not_heed_is_marked_as_long_as_there_is_any() {
        let mut manifest = Manifest::empty([0; 32]);
        let plain = manifest.clone();
        manifest.mark_guarded(true, false);
        manifest.mark_guarded(true, false);
        let encoded = manifest.encode().unwrap();
        let more = encoded.strip_prefix(&*plain.encode().unwrap()).unwrap();
        assert_eq!(more, br#"{"requires":["guarded"]}"#);
        assert_eq!(plain.clone().with_more(more).unwrap(), manifest);
        manifest.mark_guarded(false, true);
        let encoded = manifest.encode().unwrap();
        let more = encoded.strip_prefix(&*plain.encode().unwrap()).unwrap();
        assert_eq!(more, br#"{"requires":["guarded-items"]}"#);
        manifest.mark_guarded(false, false);
        manifest.mark_local(true);
        let encoded = manifest.encode().unwrap();
        let more = encoded.strip_prefix(&*plain.encode().unwrap()).unwrap();
        assert_eq!(more, br#"{"requires":["local"]}"#);
        manifest.mark_local(false);
        assert_eq!(manifest, plain);
    }

    #[test]
    fn what_is_authentic_and_not_understood_was_made_by_a_newer_program() {
        let manifest = Manifest::empty([0; 32]);
        for more in [r#"{"requires":["x"]}"#, r#"{"requires":{}}"#, "{", "x", r#"{"kinds":{"5":-1}}"#] {
            let refused = manifest.clone().with_more(more.as_bytes());
            assert!(matches!(refused, Err(Error::NewerVault)), "{more}");
        }
        for more in ["", "{}", r#"{"requires":[],"kinds":{"5":0}}"#] {
            assert_eq!(manifest.clone().with_more(more.as_bytes()).unwrap(), manifest, "{more}");
        }
    }
}
