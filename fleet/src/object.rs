//! Objects: how what a machine says is signed, padded, sealed and named, and how it is read.
//!
//! Plaintext: `machine (8) ‖ length of the JSON (u32, big-endian) ‖ JSON ‖ signature (64) ‖ zeros`, as long as the first of the
//! [steps](crate::padding::STEPS) that holds it. The signature is the machine's, Ed25519 over `associated data ‖ salt ‖ nonce ‖
//! JSON`: nobody else can seal what it has said once more, as another object, and nothing is parsed that nobody has signed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::crypt::{Crypt, FORMAT, Fresh, OVERHEAD, Place};
use crate::fault::{self, Fault};
use crate::ids::{FleetId, Hash, MachineId, ObjectId, Writer};
use crate::name::{Kind, ObjectName};
use crate::padding::{self, LARGEST};

/// The largest object.
pub const LARGEST_OBJECT: usize = LARGEST + OVERHEAD;

const SIGNATURE: usize = 64;

/// What is in a plaintext beside the JSON, without the padding.
const BESIDE: usize = 8 + 4 + SIGNATURE;

/// How much JSON goes into an object that many small things share: as much as the step of 1 MiB holds.
pub const FULL: usize = (1 << 20) - BESIDE;

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

/// How long something is as JSON, in bytes. Nothing is kept of it.
#[must_use]
pub fn length<T: Serialize>(what: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What does not fit a JSON text does not fit an object either, which says so when it is sealed.
    let _ = serde_json::to_writer(&mut count, what);
    count.0
}

/// Makes an object.
///
/// # Errors
///
/// It is too large, or a key is missing.
pub fn seal<T: Serialize + Signed>(
    crypt: &impl Crypt,
    place: &Place,
    body: &T,
) -> Result<Sealed, CannotSeal> {
    let mut json = Zeroizing::new(Vec::with_capacity(LARGEST / 64));
    serde_json::to_writer(&mut *json, body).map_err(|_| CannotSeal::TooLarge)?;
    let fresh = crypt.fresh().ok_or(CannotSeal::NoKey)?;
    let signature = crypt.sign(&message(place, &fresh, &json)).ok_or(CannotSeal::NoKey)?;
    let length = u32::try_from(json.len()).map_err(|_| CannotSeal::TooLarge)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(json.len() + BESIDE));
    plaintext.extend_from_slice(&body.by().0);
    plaintext.extend_from_slice(&length.to_be_bytes());
    plaintext.extend_from_slice(&json);
    plaintext.extend_from_slice(&signature);
    let padded = padding::pad(plaintext).ok_or(CannotSeal::TooLarge)?;
    let bytes = crypt.seal(place, &fresh, &padded).ok_or(CannotSeal::NoKey)?;
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
    let (place, fresh) =
        place_of(fleet, name.kind, name.id.writer, name.id.number, object).ok_or(Refused::Malformed)?;
    let plaintext = crypt.open(&place, object).ok_or(Refused::Sealed)?;
    let (by, rest) = plaintext.split_first_chunk::<8>().ok_or(Refused::Malformed)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Refused::Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Refused::Malformed)?;
    let (json, rest) = rest.split_at_checked(length).ok_or(Refused::Malformed)?;
    let (signature, zeros) = rest.split_first_chunk::<SIGNATURE>().ok_or(Refused::Malformed)?;
    let is_padded = padding::padded(json.len() + BESIDE) == Some(plaintext.len());
    if !is_padded || zeros.iter().any(|byte| *byte != 0) {
        return Err(Refused::Malformed);
    }
    let by = MachineId(*by);
    if !crypt.verify(by, place.epoch, &message(&place, fresh, json), signature) {
        return Err(Refused::Unsigned);
    }
    let body: T = serde_json::from_slice(json).map_err(|_| Refused::Malformed)?;
    if body.by() == by { Ok((body, hash)) } else { Err(Refused::Malformed) }
}

/// Under which of the fleet's keys an object says that it is sealed.
#[must_use]
pub fn epoch(object: &[u8]) -> Option<u32> {
    let (_, rest) = object.split_first()?;
    rest.first_chunk().map(|epoch| u32::from_be_bytes(*epoch))
}

/// Where an object belongs, by its name and its header, and its salt and nonce.
fn place_of(
    fleet: FleetId,
    kind: Kind,
    writer: Writer,
    number: u32,
    object: &[u8],
) -> Option<(Place, &Fresh)> {
    let (format, rest) = object.split_first()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let place = Place { fleet, epoch: u32::from_be_bytes(*epoch), kind, writer, number };
    (*format == FORMAT).then_some((place, rest.first_chunk()?))
}

fn message(place: &Place, fresh: &Fresh, json: &[u8]) -> Zeroizing<Vec<u8>> {
    let associated = place.associated_data();
    let mut message = Zeroizing::new(Vec::with_capacity(associated.len() + fresh.len() + json.len()));
    message.extend_from_slice(&associated);
    message.extend_from_slice(fresh);
    message.extend_from_slice(json);
    message
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::model::Toy;

    const FLEET: FleetId = FleetId([7; 16]);
    const A: MachineId = MachineId([1; 8]);
    const PLACE: Place = Place { fleet: FLEET, epoch: 1, kind: Kind::Log, writer: Writer([1; 8]), number: 1 };

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        by: MachineId,
        text: String,
    }

    impl Signed for Body {
        fn by(&self) -> MachineId {
            self.by
        }
    }

    fn body() -> Body {
        Body { by: A, text: "said".to_owned() }
    }

    /// What becomes of an object of the same place with these bytes.
    fn read(bytes: &[u8]) -> Result<(Body, Hash), Refused> {
        let hash = Hash(Toy(A).sha256(bytes));
        let id = ObjectId { writer: PLACE.writer, number: PLACE.number, hash: hash.short() };
        open(&Toy(A), FLEET, &ObjectName { kind: Kind::Log, id }, bytes)
    }

    #[test]
    fn nobody_seals_once_more_what_another_machine_has_said() {
        let sealed = seal(&Toy(A), &PLACE, &body()).unwrap();
        assert_eq!(read(&sealed.bytes).unwrap().0, body());
        // By a machine that has the key, and so can read it.
        let other = Toy(MachineId([2; 8]));
        let plaintext = other.open(&PLACE, &sealed.bytes).unwrap();
        let again = other.seal(&PLACE, &other.fresh().unwrap(), &plaintext).unwrap();
        assert_eq!(read(&again).unwrap_err(), Refused::Unsigned);
        // With the same salt and nonce, and more padding.
        let fresh = sealed.bytes[5..33].try_into().unwrap();
        let longer = [&plaintext[..], &[0; 6 << 10]].concat();
        assert_eq!(longer.len(), padding::STEPS[1]);
        assert_eq!(read(&other.seal(&PLACE, fresh, &longer).unwrap()).unwrap_err(), Refused::Malformed);
    }

    #[test]
    fn what_nobody_has_signed_is_not_parsed() {
        /// What notices that it is parsed.
        #[derive(Debug)]
        struct Parsed;
        impl<'de> Deserialize<'de> for Parsed {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("it is parsed");
            }
        }
        impl Signed for Parsed {
            fn by(&self) -> MachineId {
                A
            }
        }
        let mut plaintext = [&A.0[..], &2_u32.to_be_bytes(), b"[]", &[9; 64]].concat();
        plaintext.resize(padding::STEPS[0], 0);
        let bytes = Toy(A).seal(&PLACE, &[0; 28], &plaintext).unwrap();
        let id = ObjectId { writer: PLACE.writer, number: 1, hash: Hash(Toy(A).sha256(&bytes)).short() };
        let outcome = open::<Parsed>(&Toy(A), FLEET, &ObjectName { kind: Kind::Log, id }, &bytes);
        assert_eq!(outcome.unwrap_err(), Refused::Unsigned);
    }
}
