//! The rollback guard: a small file outside the vault that remembers how far the vault had come. An old copy
//! of the vault is authentic in itself; only something beside it can tell that it is old.
//!
//! `"SDA1" ‖ vault id (16) ‖ lineage (16) ‖ epoch (u32) ‖ generation (u64) ‖ MAC (32)`, integers big-endian.
//! The MAC, under the anchor key of that epoch, is over all before it as one part. The file is renewed within a second
//! after a commit, not before each answer, which would double the cost of a write: until then an old copy
//! may pass for the present one by less than that second.

use std::path::Path;

use secrets_local::files;

use crate::crypto::keys::{Keys, Purpose};
use crate::vault::Error;

const MAGIC: &[u8; 4] = b"SDA1";
const MAC: usize = 32;
const LENGTH: usize = 4 + 16 + 16 + 4 + 8 + MAC;

/// How far a vault has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct Progress {
    /// Renewed when a backup is restored.
    pub(in crate::vault) lineage: [u8; 16],
    /// Counts commits.
    pub(in crate::vault) generation: u64,
}

/// What comparing a vault with its anchor shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) enum Verdict {
    /// No anchor is there yet, or the vault is as new as the anchor or newer.
    Current,
    /// The vault is older than the anchor, or of another history.
    RolledBack,
}

/// Compares the vault with the anchor at `path`. An anchor that is there and cannot be trusted is an error: it may
/// have been changed to hide a rollback.
pub(in crate::vault) fn check(path: &Path, keys: &Keys, vault: Progress) -> Result<Verdict, Error> {
    if !files::check_private_file(path)? {
        return Ok(Verdict::Current);
    }
    let content = files::read_private(path, 4_096)?;
    let identity = keys.identity();
    let fields = parse(&content).ok_or(Error::AnchorDamaged)?;
    if fields.vault != identity.vault {
        return Ok(Verdict::RolledBack);
    }
    // The epoch is part of what the header's MAC covers, so an old vault cannot claim a later one. An anchor of an
    // earlier epoch was left by a rotation that was cut off before it renewed the anchor.
    if fields.epoch != identity.epoch {
        return Ok(if fields.epoch < identity.epoch { Verdict::Current } else { Verdict::RolledBack });
    }
    let (signed, mac) = content.split_last_chunk::<MAC>().ok_or(Error::AnchorDamaged)?;
    keys.verify(Purpose::Anchor, &[signed], mac).map_err(|_| Error::AnchorDamaged)?;
    let behind = fields.progress.generation > vault.generation || fields.progress.lineage != vault.lineage;
    Ok(if behind { Verdict::RolledBack } else { Verdict::Current })
}

/// Makes the anchor say that the vault has come this far; durable when this returns.
pub(in crate::vault) fn renew(path: &Path, keys: &Keys, vault: Progress) -> Result<(), Error> {
    let identity = keys.identity();
    let mut content = Vec::with_capacity(LENGTH);
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&identity.vault);
    content.extend_from_slice(&vault.lineage);
    content.extend_from_slice(&identity.epoch.to_be_bytes());
    content.extend_from_slice(&vault.generation.to_be_bytes());
    let mac = keys.mac(Purpose::Anchor, &[&content]);
    content.extend_from_slice(&mac);
    Ok(files::replace_private(path, &content)?)
}

struct Fields {
    vault: [u8; 16],
    epoch: u32,
    progress: Progress,
}

fn parse(content: &[u8]) -> Option<Fields> {
    let rest = content.strip_prefix(MAGIC)?;
    let (vault, rest) = rest.split_first_chunk()?;
    let (lineage, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (generation, mac) = rest.split_first_chunk()?;
    let progress = Progress { lineage: *lineage, generation: u64::from_be_bytes(*generation) };
    (mac.len() == MAC).then_some(Fields { vault: *vault, epoch: u32::from_be_bytes(*epoch), progress })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::{DataKey, Identity};
    use crate::crypto::vectors::{self, array, bytes, number, vectors};

    fn keys(data: DataKey, epoch: u32) -> Keys {
        Keys::derive(data, Identity { vault: [3; 16], epoch }).unwrap()
    }

    #[test]
    fn tells_an_old_copy_from_the_present_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        let first = keys(DataKey::generate().unwrap(), 2);
        let at = |generation| Progress { lineage: [1; 16], generation };
        assert_eq!(check(&path, &first, at(1)).unwrap(), Verdict::Current);
        renew(&path, &first, at(7)).unwrap();
        for (generation, verdict) in [(6, Verdict::RolledBack), (7, Verdict::Current), (8, Verdict::Current)]
        {
            assert_eq!(check(&path, &first, at(generation)).unwrap(), verdict);
        }
        let other_history = Progress { lineage: [2; 16], generation: 9 };
        assert_eq!(check(&path, &first, other_history).unwrap(), Verdict::RolledBack);
        let rotated = keys(DataKey::generate().unwrap(), 3);
        assert_eq!(check(&path, &rotated, at(8)).unwrap(), Verdict::Current);
        let rolled_back = keys(DataKey::generate().unwrap(), 1);
        assert_eq!(check(&path, &rolled_back, at(8)).unwrap(), Verdict::RolledBack);
    }

    #[test]
    fn the_anchor_is_the_known_one() {
        let (keys, all) = (vectors::keys(), vectors());
        let known = &all["anchor"];
        let lineage = array(&all["identity"]["lineage"]);
        let progress = Progress { lineage, generation: number(&known["generation"]) };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        renew(&path, &keys, progress).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes(&known["content"]));
        assert_eq!(check(&path, &keys, progress).unwrap(), Verdict::Current);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        let keys = keys(DataKey::generate().unwrap(), 2);
        let progress = Progress { lineage: [1; 16], generation: 7 };
        renew(&path, &keys, progress).unwrap();
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len(), LENGTH);
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 4;
            files::replace_private(&path, &changed).unwrap();
            let outcome = check(&path, &keys, progress);
            // Of another vault or a later epoch: the vault is not what the anchor guards.
            let foreign = (4..20).contains(&at) || (36..40).contains(&at);
            assert!(
                if foreign { outcome.unwrap() == Verdict::RolledBack } else { outcome.is_err() },
                "byte {at}"
            );
        }
        for length in 0..content.len() {
            files::replace_private(&path, &content[..length]).unwrap();
            assert!(check(&path, &keys, progress).is_err(), "cut at {length}");
        }
    }
}
