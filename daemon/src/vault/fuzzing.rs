//! Doors for the fuzz targets that hand over a forged file. Compiled for them alone.

use std::path::Path;

use crate::crypto::keys::Identity;
use crate::crypto::slot::SlotKind;
use crate::store::{SlotRow, Store};

use super::Error;
use super::format::record::StoredValue;
use super::format::slots;
use super::writer::interrupts::Interrupts;
use super::writer::unlocked::Unlocked;

/// Opens the file at `path` with this key file's content, verifies all of it, and gives each secret (whatever is known
/// of it, then its value, as text), or why that was refused.
pub fn vault_image(path: &Path, key: &[u8]) -> Result<Vec<(String, String)>, String> {
    open(path, key).map_err(|error| error.to_string())
}

fn open(path: &Path, key: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let store = Store::open(path)?;
    let header = store.header()?;
    let identity = Identity { vault: header.vault, epoch: header.epoch };
    let data = slots::open_one(&store.slots()?, identity, SlotKind::KeyFile, key, || Ok(()))?;
    let mut vault = Unlocked::open(path.to_owned(), store, data, &path.with_extension("left"))?;
    vault.verify(&Interrupts::default())?;
    let reading = vault.reading()?;
    reading.key_slots()?;
    let mut secrets = Vec::new();
    for record in reading.catalog.all().with_trash() {
        let row = reading.store.record(
            crate::store::RecordKind::Value,
            record.id.as_bytes(),
            record.meta.value_version,
        )?;
        let row = row.ok_or(Error::Internal("a verified value is missing"))?;
        let (_, value) = StoredValue::open(reading.keys, &row)?;
        secrets.push((format!("{record:?}"), value.expose().to_owned()));
    }
    secrets.sort();
    vault.close(&path.with_extension("left"))?;
    Ok(secrets)
}

/// A forged slot opens nothing, and one whose cost is out of bounds takes neither time nor memory.
pub fn slot_params(data: &[u8]) {
    let mut reader = Reader(data);
    let Some((row, secret)) = reader.slot() else { return };
    let Some(kind) = SlotKind::from_number(row.kind) else { return };
    let in_bounds = (19_456..=2_097_152).contains(&row.memory_kib)
        && (2..=16).contains(&row.passes)
        && (1..=8).contains(&row.lanes);
    // What may be dear is not tried out, and the cheapest only now and then: the fuzzer would do nothing else.
    let cheapest = (row.memory_kib, row.passes, row.lanes) == (19_456, 2, 1) && row.salt == [0; 16];
    if kind == SlotKind::Passphrase && in_bounds && !cheapest {
        return;
    }
    let outcome = slots::open_one(&[row], Identity { vault: [9; 16], epoch: 1 }, kind, secret, || Ok(()));
    assert!(outcome.is_err(), "a forged slot opens");
    match outcome.err() {
        Some(Error::WrongKey) => assert!(kind != SlotKind::Passphrase || in_bounds, "a cost out of bounds"),
        _ => assert!(kind == SlotKind::Passphrase && !in_bounds, "a cost within the bounds is refused"),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// A slot, and the secret that it is tried with.
    fn slot(&mut self) -> Option<(SlotRow, &'a [u8])> {
        let kind = u32::from(self.take::<1>()?[0] % 7);
        let [memory_kib, passes, lanes] = [self.number()?, self.number()?, self.number()?];
        let (id, salt) = (self.take()?, self.take()?);
        let length = usize::from(self.take::<1>()?[0]).min(self.0.len());
        let (wrapped, secret) = self.0.split_at(length);
        let row =
            SlotRow { id, kind, memory_kib, passes, lanes, salt, wrapped: wrapped.to_vec(), sealed: vec![] };
        Some((row, secret))
    }
}
