//! Key slots between their rows and the keys they wrap.

use secrets_local::headroom::{Headroom, headroom};
use secrets_proto::vault::{KeyInfo, KeyKind};
use secrets_proto::{Timestamp, Uuid};
use serde::{Deserialize, Serialize};

use crate::crypto::keys::{DataKey, Identity, Keys, Purpose};
use crate::crypto::seal::{self, AadContext};
use crate::crypto::slot::{KdfCost, SlotKey, SlotKind, SlotParams};
use crate::store::{HeaderRow, SlotRow};
use crate::vault::Error;

use super::rest::{self, Rest};

/// A slot whose key was derived, ready to wrap a data key.
pub(in crate::vault) struct NewSlot {
    params: SlotParams,
    key: SlotKey,
    provider: Option<String>,
    unconfirmed: bool,
}

/// What is kept about a slot for its owner: JSON, sealed with the slot's id as row and 0 as version. What a newer program
/// has put there stays for as long as the slot does. A new kind of slot raises a mark in the manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    created_at: Timestamp,
    /// The key provider that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_provider: Option<String>,
    /// Its key was made here, and nobody has confirmed yet that it was shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
}

impl NewSlot {
    /// Derives the key of a new slot. Takes as long as `cost` says.
    pub(in crate::vault) fn derive(kind: SlotKind, cost: KdfCost, secret: &[u8]) -> Result<Self, Error> {
        let cost = if kind == SlotKind::Passphrase { cost } else { KdfCost::NONE };
        let params = SlotParams::generate(kind, cost)?;
        let key = derive(&params, secret)?;
        Ok(Self { params, key, provider: None, unconfirmed: false })
    }

    /// The new slot, to be confirmed once its key was shown.
    pub(in crate::vault) fn with_confirmation(self, unconfirmed: bool) -> Self {
        Self { unconfirmed, ..self }
    }

    /// The id that the slot will have.
    pub(in crate::vault) const fn id(&self) -> Uuid {
        Uuid::from_bytes(self.params.id)
    }

    /// The new slot with the name of the key provider, if one has printed the key.
    pub(in crate::vault) fn of_provider(self, provider: Option<String>) -> Self {
        Self { provider, ..self }
    }

    /// The slot's row, with the data key of `keys` wrapped.
    pub(in crate::vault) fn to_row(&self, keys: &Keys) -> Result<SlotRow, Error> {
        let SlotParams { id, kind, cost, salt } = &self.params;
        let description = Description {
            created_at: Timestamp::now_precise(),
            key_provider: self.provider.clone(),
            unconfirmed: self.unconfirmed,
        };
        Ok(SlotRow {
            id: *id,
            kind: kind.number(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: cost.lanes,
            salt: *salt,
            wrapped: self.key.wrap(&self.params, keys.identity(), keys.data())?,
            sealed: seal_description(keys, id, &description, &Rest::default())?,
        })
    }
}

/// The slot with its key confirmed; `None` if it is not to be confirmed.
pub(in crate::vault) fn confirmed(keys: &Keys, slot: &SlotRow) -> Result<Option<SlotRow>, Error> {
    let (description, rest) = open_description(keys, slot)?;
    if !description.unconfirmed {
        return Ok(None);
    }
    let description = Description { unconfirmed: false, ..description };
    let sealed = seal_description(keys, &slot.id, &description, &rest)?;
    Ok(Some(SlotRow { sealed, wrapped: slot.wrapped.clone(), ..*slot }))
}

/// What the owner may know about a slot.
pub(in crate::vault) fn describe(keys: &Keys, slot: &SlotRow) -> Result<KeyInfo, Error> {
    let kind = match SlotKind::from_number(slot.kind).ok_or(MALFORMED)? {
        SlotKind::Passphrase => KeyKind::Passphrase,
        SlotKind::KeyFile => KeyKind::KeyFile,
        SlotKind::Credential => KeyKind::Credential,
        SlotKind::Recovery => KeyKind::Recovery,
        SlotKind::Provider => KeyKind::KeyProvider,
    };
    let (Description { created_at, key_provider, unconfirmed }, _) = open_description(keys, slot)?;
    Ok(KeyInfo { id: Uuid::from_bytes(slot.id), kind, created_at, key_provider, unconfirmed })
}

const MALFORMED: Error = Error::Corrupt("a key slot is not of its form");

fn open_description(keys: &Keys, slot: &SlotRow) -> Result<(Description, Rest), Error> {
    let description = seal::open(keys, context(&slot.id), &slot.sealed).map_err(|_| MALFORMED)?;
    rest::decode(&description).ok_or(MALFORMED)
}

fn seal_description(
    keys: &Keys,
    id: &[u8; 16],
    description: &Description,
    rest: &Rest,
) -> Result<Vec<u8>, Error> {
    let text =
        rest::encode(description, rest).ok_or(Error::Internal("a slot's description does not encode"))?;
    Ok(seal::seal(keys, context(id), &text)?)
}

/// The data key, if one of the slots of this kind opens with this secret. Takes one derivation a slot tried, which
/// nothing can end, and none once `still_wanted` refuses.
pub(in crate::vault) fn open_one(
    slots: &[SlotRow],
    identity: Identity,
    kind: SlotKind,
    secret: &[u8],
    still_wanted: impl Fn() -> Result<(), Error>,
) -> Result<DataKey, Error> {
    for slot in slots.iter().filter(|slot| slot.kind == kind.number()) {
        still_wanted()?;
        let params = SlotParams {
            id: slot.id,
            kind,
            cost: KdfCost { memory_kib: slot.memory_kib, passes: slot.passes, lanes: slot.lanes },
            salt: slot.salt,
        };
        if let Ok(data) = derive(&params, secret)?.unwrap(&params, identity, &slot.wrapped) {
            return Ok(data);
        }
    }
    Err(Error::WrongKey)
}

/// What a derivation needs beside its blocks: the thread's stack, and what goes on meanwhile.
const BESIDE: u64 = 2 << 20;

/// Derives a slot's key if there is memory for it: beyond a limit the kernel would end the daemon, or an allocation abort it.
fn derive(params: &SlotParams, secret: &[u8]) -> Result<SlotKey, Error> {
    let needed = u64::from(params.cost.memory_kib) << 10;
    if params.cost.is_acceptable()
        && let Some(Headroom { bytes, limit }) = headroom()
        && bytes < needed.saturating_add(BESIDE)
    {
        return Err(Error::MemoryLimit {
            needed: needed.saturating_add(BESIDE) >> 20,
            left: bytes >> 20,
            limit,
        });
    }
    Ok(SlotKey::derive(params, secret)?)
}

/// The MAC over the header and all slots: (vault, lineage, epoch u32), then for each slot by id (id, kind u32, memory
/// u32, passes u32, lanes u32, salt, wrapped, sealed), each part with its length before it.
pub(in crate::vault) fn header_mac(keys: &Keys, header: &HeaderRow, slots: &[SlotRow]) -> [u8; 32] {
    let mut parts = vec![header.vault.to_vec(), header.lineage.to_vec(), header.epoch.to_be_bytes().to_vec()];
    let mut slots: Vec<&SlotRow> = slots.iter().collect();
    slots.sort_by_key(|slot| slot.id);
    for slot in slots {
        parts.push(slot.id.to_vec());
        for number in [slot.kind, slot.memory_kib, slot.passes, slot.lanes] {
            parts.push(number.to_be_bytes().to_vec());
        }
        parts.push(slot.salt.to_vec());
        parts.push(slot.wrapped.clone());
        parts.push(slot.sealed.clone());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    keys.mac(Purpose::Header, &parts)
}

fn context(id: &[u8; 16]) -> AadContext<'_> {
    AadContext { table: "slot".into(), row: id, column: "sealed", version: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{array, bytes, identity, keys, list, number, vectors};

    #[test]
    fn a_confirmed_slot_keeps_what_a_newer_program_has_put_there() {
        let keys = keys();
        let slot =
            NewSlot::derive(SlotKind::Recovery, KdfCost::NONE, &[7; 32]).unwrap().with_confirmation(true);
        let row = slot.to_row(&keys).unwrap();
        assert!(describe(&keys, &row).unwrap().unconfirmed);
        let text = br#"{"created_at":"2026-04-15T12:00:00Z","unconfirmed":true,"newer":1.50}"#;
        let row = SlotRow { sealed: seal::seal(&keys, context(&row.id), text).unwrap(), ..row };
        let confirmed = confirmed(&keys, &row).unwrap().unwrap();
        assert!(!describe(&keys, &confirmed).unwrap().unconfirmed);
        let text = seal::open(&keys, context(&row.id), &confirmed.sealed).unwrap();
        assert_eq!(&*text, br#"{"created_at":"2026-04-15T12:00:00Z","newer":1.50}"#);
        assert!(super::confirmed(&keys, &confirmed).unwrap().is_none());
        assert_eq!((confirmed.id, &confirmed.wrapped), (row.id, &row.wrapped));
    }

    #[test]
    fn header_and_slots_are_the_known_ones() {
        let (keys, all) = (keys(), vectors());
        let Identity { vault, epoch } = identity();
        let row = |known: &serde_json::Value| SlotRow {
            id: array(&known["id"]),
            kind: number(&known["kind"]),
            memory_kib: number(&known["memory_kib"]),
            passes: number(&known["passes"]),
            lanes: number(&known["lanes"]),
            salt: array(&known["salt"]),
            wrapped: bytes(&known["wrapped"]),
            sealed: bytes(&known["sealed"]),
        };
        let slots: Vec<SlotRow> = list(&all["slots"]).iter().map(row).collect();
        let mac = array(&all["header_mac"]);
        let header = HeaderRow { vault, lineage: array(&all["identity"]["lineage"]), epoch, mac };
        assert_eq!(header_mac(&keys, &header, &slots), mac);
        for (slot, known) in slots.iter().zip(list(&all["slots"])) {
            let info = describe(&keys, slot).unwrap();
            assert_eq!(
                (*info.id.as_bytes(), info.created_at.to_string().as_str()),
                (slot.id, "2026-04-15T12:00:00Z")
            );
            let kind = SlotKind::from_number(slot.kind).unwrap();
            open_one(&slots, identity(), kind, &bytes(&known["secret"]), || Ok(())).unwrap();
        }
    }
}
