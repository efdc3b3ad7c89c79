//! Key slots: the data key, wrapped under a key that a person or machine can bring.
//!
//! A wrapped key is `nonce (12) ‖ ciphertext (32) ‖ tag (16)`, AES-256-GCM under the slot key; everything
//! else about the slot is authenticated with it. Each wrap has a fresh salt and so a fresh slot key.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::{Zeroize, Zeroizing};

use super::keys::{DataKey, FORMAT, Identity, Length32};
use super::{Error, push_framed, random};

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// A passphrase, through Argon2id.
    Passphrase,
    /// A file of 32 or more random bytes.
    KeyFile,
    /// A credential that systemd hands to the daemon.
    Credential,
    /// The recovery key.
    Recovery,
    /// The output of a program named in the settings.
    Provider,
}

impl SlotKind {
    /// The kind's number in the file.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Passphrase => 1,
            Self::KeyFile => 2,
            Self::Credential => 3,
            Self::Recovery => 4,
            Self::Provider => 5,
        }
    }

    /// The kind with this number.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Passphrase),
            2 => Some(Self::KeyFile),
            3 => Some(Self::Credential),
            4 => Some(Self::Recovery),
            5 => Some(Self::Provider),
            _ => None,
        }
    }
}

/// Argon2id's cost. Slots of other kinds, whose keys are random, have all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KdfCost {
    /// Memory in KiB: 19,456 to 2,097,152.
    pub(crate) memory_kib: u32,
    /// Passes over it: 2 to 16.
    pub(crate) passes: u32,
    /// Lanes: 1 to 8.
    pub(crate) lanes: u32,
}

impl KdfCost {
    /// For keys that need no stretching.
    pub(crate) const NONE: Self = Self { memory_kib: 0, passes: 0, lanes: 0 };

    /// Whether the cost is within the bounds. The floor is OWASP's minimum for Argon2id; the ceiling keeps a
    /// forged file from exhausting the machine.
    pub(crate) const fn is_acceptable(self) -> bool {
        self.memory_kib >= 19_456
            && self.memory_kib <= 2_097_152
            && self.passes >= 2
            && self.passes <= 16
            && self.lanes >= 1
            && self.lanes <= 8
    }
}

/// Everything about a slot but its wrapped key; verified: all data is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotParams {
    /// The slot's random id.
    pub(crate) id: [u8; 16],
    /// What opens it.
    pub(crate) kind: SlotKind,
    /// The cost of derivation.
    pub(crate) cost: KdfCost,
    /// The salt of derivation.
    pub(crate) salt: [u8; 16],
}

impl SlotParams {
    /// Parameters for a new slot, with a fresh id and salt.
    pub(crate) fn generate(kind: SlotKind, cost: KdfCost) -> Result<Self, Error> {
        Ok(Self { id: random()?, kind, cost, salt: random()? })
    }
}

/// The key that wraps the data key in one slot.
pub(crate) struct SlotKey(Zeroizing<[u8; 32]>);

impl SlotKey {
    /// Derives the slot's key from what the caller brought: Argon2id (RFC 9106, version 0x13) for a passphrase,
    /// `HKDF-SHA256(ikm = secret, salt = the slot's, info = "secretsd/1/slot")` for material that is random already;
    /// of a recovery key, its 32 bytes. Bounds are checked before memory is taken.
    pub(crate) fn derive(params: &SlotParams, secret: &[u8]) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        if params.kind != SlotKind::Passphrase {
            hkdf::Salt::new(hkdf::HKDF_SHA256, &params.salt)
                .extract(secret)
                .expand(&[b"secretsd/1/slot"], Length32)
                .and_then(|okm| okm.fill(&mut *key))
                .map_err(|_| Error::Derivation)?;
            return Ok(Self(key));
        }
        if !params.cost.is_acceptable() {
            return Err(Error::CostOutOfBounds);
        }
        let KdfCost { memory_kib, passes, lanes } = params.cost;
        let argon = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| Error::CostOutOfBounds)?;
        let blocks = argon.block_count();
        // Taken here, fallibly: `hash_password_into` would abort the process when memory is short.
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks).map_err(|_| Error::NoMemory)?;
        memory.resize(blocks, argon2::Block::new());
        let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, argon)
            .hash_password_into_with_memory(secret, &params.salt, &mut *key, &mut memory)
            .map_err(|_| Error::Derivation);
        memory.iter_mut().for_each(Zeroize::zeroize);
        outcome.map(|()| Self(key))
    }

    /// Wraps the data key of this vault and epoch.
    pub(crate) fn wrap(
        &self,
        params: &SlotParams,
        identity: Identity,
        data: &DataKey,
    ) -> Result<Vec<u8>, Error> {
        self.wrap_with(params, identity, data, random()?)
    }

    fn wrap_with(
        &self,
        params: &SlotParams,
        identity: Identity,
        data: &DataKey,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Vec<u8>, Error> {
        let mut key = Zeroizing::new(*data.0);
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(params, identity)),
                &mut *key,
            )
            .map_err(|_| Error::Malformed)?;
        Ok([&nonce[..], &key[..], tag.as_ref()].concat())
    }

    /// Unwraps the data key; fails alike for a wrong key and for changed bytes.
    pub(crate) fn unwrap(
        &self,
        params: &SlotParams,
        identity: Identity,
        wrapped: &[u8],
    ) -> Result<DataKey, Error> {
        let (nonce, body) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Error::Malformed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self
            .cipher()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated_data(params, identity)),
                &mut body,
            )
            .map_err(|_| Error::NotAuthentic)?;
        let mut key = Zeroizing::new([0; 32]);
        if opened.len() != key.len() {
            return Err(Error::Malformed);
        }
        key.copy_from_slice(opened);
        Ok(DataKey(key))
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        UnboundKey::new(&AES_256_GCM, &*self.0).map(LessSafeKey::new).map_err(|_| Error::Malformed)
    }
}

/// (format, vault id, "slot", slot id, kind u32, memory u32, passes u32, lanes u32, salt, epoch u32), each with its
/// length before it.
fn associated_data(params: &SlotParams, identity: Identity) -> Vec<u8> {
    let mut aad = Vec::with_capacity(128);
    push_framed(&mut aad, &FORMAT.to_be_bytes());
    push_framed(&mut aad, &identity.vault);
    push_framed(&mut aad, b"slot");
    push_framed(&mut aad, &params.id);
    push_framed(&mut aad, &params.kind.number().to_be_bytes());
    push_framed(&mut aad, &params.cost.memory_kib.to_be_bytes());
    push_framed(&mut aad, &params.cost.passes.to_be_bytes());
    push_framed(&mut aad, &params.cost.lanes.to_be_bytes());
    push_framed(&mut aad, &params.salt);
    push_framed(&mut aad, &identity.epoch.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{array, bytes, identity, list, number, vectors};

    const IDENTITY: Identity = Identity { vault: [9; 16], epoch: 1 };
    const CHEAP: KdfCost = KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 };

    #[test]
    fn only_the_right_secret_unwraps() {
        for (kind, cost) in [(SlotKind::Passphrase, CHEAP), (SlotKind::KeyFile, KdfCost::NONE)] {
            let params = SlotParams::generate(kind, cost).unwrap();
            let data = DataKey::generate().unwrap();
            let key = SlotKey::derive(&params, b"correct horse battery staple").unwrap();
            let wrapped = key.wrap(&params, IDENTITY, &data).unwrap();
            assert_eq!(wrapped.len(), 60);
            assert_eq!(*key.unwrap(&params, IDENTITY, &wrapped).unwrap().0, *data.0);

            let wrong = SlotKey::derive(&params, b"correct horse battery stapl").unwrap();
            assert_eq!(wrong.unwrap(&params, IDENTITY, &wrapped).err(), Some(Error::NotAuthentic));
            let elsewhere = Identity { epoch: 2, ..IDENTITY };
            assert!(key.unwrap(&params, elsewhere, &wrapped).is_err());
            let moved = SlotParams { id: [0; 16], ..params.clone() };
            assert!(key.unwrap(&moved, IDENTITY, &wrapped).is_err());
            for at in 0..wrapped.len() {
                let mut changed = wrapped.clone();
                changed[at] ^= 1;
                assert!(key.unwrap(&params, IDENTITY, &changed).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn slots_are_the_known_ones() {
        let known = vectors();
        let data = DataKey(Zeroizing::new(array(&known["data_key"])));
        for known in list(&known["slots"]) {
            let params = SlotParams {
                id: array(&known["id"]),
                kind: SlotKind::from_number(number(&known["kind"])).unwrap(),
                cost: KdfCost {
                    memory_kib: number(&known["memory_kib"]),
                    passes: number(&known["passes"]),
                    lanes: number(&known["lanes"]),
                },
                salt: array(&known["salt"]),
            };
            let key = SlotKey::derive(&params, &bytes(&known["secret"])).unwrap();
            let wrapped = bytes(&known["wrapped"]);
            assert_eq!(*key.unwrap(&params, identity(), &wrapped).unwrap().0, *data.0);
            let nonce = array(&known["nonce"]);
            assert_eq!(key.wrap_with(&params, identity(), &data, nonce).unwrap(), wrapped);
        }
    }

    #[test]
    fn costs_outside_the_bounds_are_refused_before_memory_is_taken() {
        for cost in [
            KdfCost { memory_kib: 8, ..CHEAP },
            KdfCost { memory_kib: u32::MAX, ..CHEAP },
            KdfCost { passes: 1, ..CHEAP },
            KdfCost { passes: 17, ..CHEAP },
            KdfCost { lanes: 0, ..CHEAP },
            KdfCost { lanes: 9, ..CHEAP },
        ] {
            let params = SlotParams::generate(SlotKind::Passphrase, cost).unwrap();
            assert_eq!(SlotKey::derive(&params, b"x").err(), Some(Error::CostOutOfBounds));
        }
    }
}
