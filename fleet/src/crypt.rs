//! What a fleet needs of cryptography, behind a trait: this crate has no cipher of its own.

use zeroize::Zeroizing;

use crate::ids::{FleetId, MachineId, Writer};
use crate::name::Kind;

/// The number of the format of objects; the first byte of each, and part of what is authenticated.
pub const FORMAT: u8 = 1;

/// The salt and the nonce of an object: random, and no two objects have the same.
pub type Fresh = [u8; 16 + 12];

/// The bytes before an object's ciphertext: format, epoch, salt, nonce.
pub const HEADER: usize = 1 + 4 + size_of::<Fresh>();

/// The bytes that sealing adds, before and behind.
pub const OVERHEAD: usize = HEADER + 16;

/// Where an object belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The fleet.
    pub fleet: FleetId,
    /// Under which of the fleet's keys.
    pub epoch: u32,
    /// What it is.
    pub kind: Kind,
    /// In whose log.
    pub writer: Writer,
    /// The how-manieth there.
    pub number: u32,
}

impl Place {
    /// What is authenticated beside the content: format, fleet, epoch, kind, writer and number; numbers big-endian.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        let mut data = vec![FORMAT];
        data.extend_from_slice(&self.fleet.0);
        data.extend_from_slice(&self.epoch.to_be_bytes());
        data.extend(u8::try_from(self.kind.letter()));
        data.extend_from_slice(&self.writer.0);
        data.extend_from_slice(&self.number.to_be_bytes());
        data
    }
}

/// The cryptography of a fleet, with the keys that one machine has of it.
pub trait Crypt {
    /// SHA-256.
    fn sha256(&self, bytes: &[u8]) -> [u8; 32];

    /// The salt and the nonce of a new object. `None` if there is no random number.
    fn fresh(&self) -> Option<Fresh>;

    /// The object of this plaintext: `0x01 ‖ epoch u32 ‖ salt16 ‖ nonce12 ‖ ciphertext ‖ tag16`. `None` if there is no such
    /// key.
    fn seal(&self, place: &Place, fresh: &Fresh, plaintext: &[u8]) -> Option<Vec<u8>>;

    /// The plaintext of an object, if it was sealed for this place.
    fn open(&self, place: &Place, object: &[u8]) -> Option<Zeroizing<Vec<u8>>>;

    /// This machine's signature. `None` if it has no key for that.
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]>;

    /// Whether this machine, which may write in this epoch, has signed that.
    fn verify(&self, by: MachineId, epoch: u32, message: &[u8], signature: &[u8; 64]) -> bool;
}
