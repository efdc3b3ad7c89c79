//! Objects: how what a machine says is signed, padded, sealed and named, and how it is read.
//!
//! Plaintext: `length of the JSON (u32, big-endian) ‖ JSON ‖ signature (64) ‖ zeros`, as long as one of the
//! [steps](crate::padding::STEPS). The signature is Ed25519 over `associated data ‖ JSON`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::crypt::{Crypt, FORMAT, OVERHEAD, Place};
use crate::fault::{self, Fault};
use crate::ids::{FleetId, Hash, MachineId, ObjectId, Writer};
use crate::name::{Kind, ObjectName};
use crate::padding::{self, LARGEST};

/// The largest object.
pub const LARGEST_OBJECT: usize = LARGEST + OVERHEAD;

const SIGNATURE: usize = 64;

/// What says who wrote it.
pub trait Signed {
    /// The machine.
    fn by(&self) -> MachineId;
}

/// Why no object could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSeal {
    /// It is larger than an object may be.
    #[error("this is larger than an object may be")]
    TooLarge,
    /// The keys for it are missing.
    #[error("there is no key for this")]
    NoKey,
}

/// Why an object is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its bytes are not those of its name: it was cut, altered, or another one put in its place.
    #[error("its bytes are not those of its name")]
    Altered,
    /// It is larger than an object may be.
    #[error("it is larger than an object may be")]
    TooLarge,
    /// It does not open: it is another fleet's, or sealed with a key that this machine does not have.
    #[error("it does not open with a key of this fleet")]
    Sealed,
    /// Nobody who may write has signed it.
    #[error("no machine that may write has signed it")]
    Unsigned,
    /// What is in it is not of its form.
    #[error("it is not of its form")]
    Malformed,
}

/// An object that was made.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Its name.
    pub name: ObjectName,
    /// The whole hash.
    pub hash: Hash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Makes an object.
///
/// # Errors
///
/// It is too large, or a key is missing.
pub fn seal<T: Serialize>(crypt: &impl Crypt, place: &Place, body: &T) -> Result<Sealed, CannotSeal> {
    let mut json = Zeroizing::new(Vec::with_capacity(LARGEST / 64));
    serde_json::to_writer(&mut *json, body).map_err(|_| CannotSeal::TooLarge)?;
    let signature = crypt.sign(&message(place, &json)).ok_or(CannotSeal::NoKey)?;
    let length = u32::try_from(json.len()).map_err(|_| CannotSeal::TooLarge)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(json.len() + 4 + SIGNATURE));
    plaintext.extend_from_slice(&length.to_be_bytes());
    plaintext.extend_from_slice(&json);
    plaintext.extend_from_slice(&signature);
    let padded = padding::pad(plaintext).ok_or(CannotSeal::TooLarge)?;
    let bytes = crypt.seal(place, &padded).ok_or(CannotSeal::NoKey)?;
    let hash = Hash(crypt.sha256(&bytes));
    let Place { kind, writer, number, .. } = *place;
    Ok(Sealed { name: ObjectName { kind, id: ObjectId { writer, number, hash: hash.short() } }, hash, bytes })
}

/// Reads an object: the content, and the whole hash of its bytes.
///
/// # Errors
///
/// It is not what a machine of this fleet has written under this name.
pub fn open<T: DeserializeOwned + Signed>(
    crypt: &impl Crypt,
    fleet: FleetId,
    name: &ObjectName,
    object: &[u8],
) -> Result<(T, Hash), Refused> {
    if object.len() > LARGEST_OBJECT {
        return Err(Refused::TooLarge);
    }
    let hash = Hash(crypt.sha256(object));
    if !name.is_of(&hash.0) && !fault::is(Fault::AnyBytes) {
        return Err(Refused::Altered);
    }
    let place =
        place_of(fleet, name.kind, name.id.writer, name.id.number, object).ok_or(Refused::Malformed)?;
    let plaintext = crypt.open(&place, object).ok_or(Refused::Sealed)?;
    let (length, rest) = plaintext.split_first_chunk::<4>().ok_or(Refused::Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Refused::Malformed)?;
    let (json, rest) = rest.split_at_checked(length).ok_or(Refused::Malformed)?;
    let (signature, zeros) = rest.split_first_chunk::<SIGNATURE>().ok_or(Refused::Malformed)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(Refused::Malformed);
    }
    let body: T = serde_json::from_slice(json).map_err(|_| Refused::Malformed)?;
    if !crypt.verify(body.by(), place.epoch, &message(&place, json), signature) {
        return Err(Refused::Unsigned);
    }
    Ok((body, hash))
}

/// Where an object belongs, by its name and its header.
fn place_of(fleet: FleetId, kind: Kind, writer: Writer, number: u32, object: &[u8]) -> Option<Place> {
    let (format, rest) = object.split_first()?;
    let (epoch, _) = rest.split_first_chunk::<4>()?;
    (*format == FORMAT).then_some(Place { fleet, epoch: u32::from_be_bytes(*epoch), kind, writer, number })
}

fn message(place: &Place, json: &[u8]) -> Zeroizing<Vec<u8>> {
    let associated = place.associated_data();
    let mut message = Zeroizing::new(Vec::with_capacity(associated.len() + json.len()));
    message.extend_from_slice(&associated);
    message.extend_from_slice(json);
    message
}
