//! Cryptography without secrets, and whom a member of the fleet believes.

use std::collections::{BTreeMap, BTreeSet};

use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::crypt::{Crypt, FORMAT, Fresh, Place};
use crate::fault::{self, Fault};
use crate::ids::MachineId;
use crate::members::{self, Members};

thread_local! {
    static SALT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Cryptography without secrets, as fast as it gets: what is sealed can be read by all, and altered by nobody.
pub(crate) struct Toy(pub(crate) MachineId);

impl Toy {
    /// Begins with the first salt again: a schedule is to do the same each time.
    pub(super) fn begin() {
        SALT.set(0);
    }

    fn tag(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().try_into().unwrap()
    }
}

impl Crypt for Toy {
    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
    }

    fn fresh(&self) -> Option<Fresh> {
        // Salted, as a real one is: two clones that do the same must not write the same object.
        let mut fresh = [0; 28];
        fresh[..8].copy_from_slice(&SALT.replace(SALT.get() + 1).to_be_bytes());
        Some(fresh)
    }

    fn seal(&self, place: &Place, fresh: &Fresh, plaintext: &[u8]) -> Option<Vec<u8>> {
        let tag = Self::tag(b"fleet", &[&place.associated_data(), plaintext]);
        let header = [&[FORMAT][..], &place.epoch.to_be_bytes(), fresh].concat();
        Some([&header, plaintext, &tag[..16]].concat())
    }

    fn open(&self, place: &Place, object: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (rest, tag) = object.split_last_chunk::<16>()?;
        let plaintext = rest.get(33..)?;
        let expected = Self::tag(b"fleet", &[&place.associated_data(), plaintext]);
        // With the rule off, whatever can be read is read.
        (expected.starts_with(tag) || fault::is(Fault::AnyBytes)).then(|| Zeroizing::new(plaintext.to_vec()))
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        let tag = Self::tag(&self.0.0, &[message]);
        [tag, tag].concat().try_into().ok()
    }

    fn verify(&self, by: MachineId, _: u32, message: &[u8], signature: &[u8; 64]) -> bool {
        Toy(by).sign(message).is_some_and(|expected| expected == *signature) || fault::is(Fault::AnyBytes)
    }
}

/// A member of the fleet, which believes those alone that may write.
pub(super) struct Believing<'a> {
    pub(super) toy: Toy,
    pub(super) members: &'a Members<()>,
}

impl Crypt for Believing<'_> {
    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        self.toy.sha256(bytes)
    }

    fn fresh(&self) -> Option<Fresh> {
        self.toy.fresh()
    }

    fn seal(&self, place: &Place, fresh: &Fresh, plaintext: &[u8]) -> Option<Vec<u8>> {
        self.toy.seal(place, fresh, plaintext)
    }

    fn open(&self, place: &Place, object: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.toy.open(place, object)
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.toy.sign(message)
    }

    fn verify(&self, by: MachineId, epoch: u32, message: &[u8], signature: &[u8; 64]) -> bool {
        let may_write = self.members.get(by).is_some_and(members::Member::may_write);
        may_write && self.toy.verify(by, epoch, message, signature)
    }
}

/// A member that may write, or not.
pub(super) fn member(id: MachineId, reader: bool) -> members::Member<()> {
    members::Member {
        id,
        name: id.to_string(),
        named: 0,
        keys: (),
        reader,
        key_alone: false,
        removed_by: BTreeSet::new(),
        kept_over: BTreeMap::new(),
    }
}
