//! What several machines of one vault exchange: objects, sealed with the fleet's key and signed by the machine that wrote
//! them (Ed25519); the fleet's key, sealed to a machine (X25519); and what lets a new machine in.

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{digest, hkdf};
use secrets_fleet::MachineId;
use secrets_fleet::crypt::{Crypt, FORMAT, Fresh, HEADER, Place};
use secrets_proto::SensitiveString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use super::keys::Length32;
use super::recovery::RecoveryKey;
use super::{Error, random};

/// 32 bytes of a private key, as hex in JSON, wiped when dropped and never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Private(Zeroizing<[u8; 32]>);

/// 32 bytes of a public key, as hex in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Public(secrets_fleet::ids::Hash);

impl Public {
    /// Whether something can be sealed to this key, to X25519: it is none of those that make all secrets zero.
    pub(crate) fn is_recipient(&self) -> bool {
        StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(self.0.0)).was_contributory()
    }
}

impl Private {
    /// A fresh one.
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// The public key to sign with this one.
    pub(crate) fn signer(&self) -> Result<Public, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.0).map_err(|_| Error::Malformed)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| Error::Malformed)?;
        Ok(Public(secrets_fleet::ids::Hash(key)))
    }

    /// The public key to which others seal what this one opens.
    pub(crate) fn recipient(&self) -> Public {
        let secret = StaticSecret::from(*self.0);
        Public(secrets_fleet::ids::Hash(*PublicKey::from(&secret).as_bytes()))
    }

    /// What two machines have in common, by the secret of the one and the public key of the other, for one purpose.
    pub(crate) fn agree(&self, other: &Public, context: &[&[u8]]) -> Result<Self, Error> {
        let shared = StaticSecret::from(*self.0).diffie_hellman(&PublicKey::from(other.0.0));
        // Zero if the other key was made to give zero.
        if !shared.was_contributory() {
            return Err(Error::NotAuthentic);
        }
        derive(shared.as_bytes(), &[], context).map(Self)
    }

    /// Seals a text under this key: `nonce ‖ ciphertext ‖ tag`. No key seals two texts with the same `aad`.
    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = plaintext.to_vec();
        self.aead(aad)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
            .map_err(|_| Error::Malformed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed under this key.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Error::Malformed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .aead(aad)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
            .map_err(|_| Error::NotAuthentic)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// Seals this key to a machine: `ephemeral public key ‖ nonce ‖ ciphertext ‖ tag`, as hex.
    pub(crate) fn wrap_to(&self, recipient: &Public, aad: &[u8]) -> Result<String, Error> {
        let ephemeral = Self::generate()?;
        let public = ephemeral.recipient();
        let key = ephemeral.agree(recipient, &[b"secretsd/fleet/wrap", &public.0.0, &recipient.0.0])?;
        Ok(HEXLOWER.encode(&[&public.0.0[..], &key.seal(aad, &*self.0)?].concat()))
    }

    /// The key that was sealed to this one.
    pub(crate) fn unwrap(&self, text: &str, aad: &[u8]) -> Result<Self, Error> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| Error::Malformed)?;
        let (public, sealed) = bytes.split_first_chunk::<32>().ok_or(Error::Malformed)?;
        let ephemeral = Public(secrets_fleet::ids::Hash(*public));
        let key = self.agree(&ephemeral, &[b"secretsd/fleet/wrap", public, &self.recipient().0.0])?;
        let key = key.open(aad, sealed)?;
        key.as_slice().try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| Error::Malformed)
    }

    /// One of the keys that follow from a key that a person or a CI keeps.
    pub(crate) fn of_key(key: &RecoveryKey, purpose: &[u8]) -> Result<Self, Error> {
        derive(key.expose(), &[], &[b"secretsd/fleet/key", purpose]).map(Self)
    }

    /// 16 bytes that tell which key it is, and not the key.
    pub(crate) fn name(&self) -> Result<[u8; 16], Error> {
        let named = derive(&*self.0, &[], &[b"secretsd/fleet/name"])?;
        named.first_chunk().copied().ok_or(Error::Malformed)
    }

    fn aead(&self, aad: &[u8]) -> Result<LessSafeKey, Error> {
        let key = derive(&*self.0, &[], &[b"secretsd/fleet/seal", aad])?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| Error::Malformed)?;
        Ok(LessSafeKey::new(key))
    }
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Private {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(HEXLOWER.encode(&*self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut key = Zeroizing::new([0; 32]);
        let is_key = HEXLOWER.decode_len(text.len()) == Ok(32)
            && HEXLOWER.decode_mut(text.as_bytes(), &mut *key).is_ok();
        if is_key { Ok(Self(key)) } else { Err(de::Error::custom("not a key")) }
    }
}

/// HKDF-SHA256: 32 bytes from a key, a salt and what they are for, each part with its length before it.
fn derive(key: &[u8], salt: &[u8], context: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut info = Vec::new();
    context.iter().for_each(|part| super::push_framed(&mut info, part));
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    let mut out = Zeroizing::new([0; 32]);
    prk.expand(&[&info], Length32).and_then(|okm| okm.fill(&mut *out)).map_err(|_| Error::Malformed)?;
    Ok(out)
}

/// SHA-256, by which an object is named.
pub(crate) fn hash_of(bytes: &[u8]) -> secrets_fleet::ids::Hash {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    secrets_fleet::ids::Hash(out)
}

/// What a machine can do with the keys of its fleet.
pub(crate) struct FleetCrypt<'a> {
    /// The fleet's keys, by epoch.
    pub(crate) keys: &'a BTreeMap<u32, Private>,
    /// This machine's key to sign with.
    pub(crate) signing: &'a Private,
    /// Who may write, and by which key one tells.
    pub(crate) writers: &'a BTreeMap<MachineId, Public>,
}

impl FleetCrypt<'_> {
    fn object_key(&self, epoch: u32, salt: &[u8], aad: &[u8]) -> Option<LessSafeKey> {
        let key = derive(&*self.keys.get(&epoch)?.0, salt, &[b"secretsd/fleet/object", aad]).ok()?;
        UnboundKey::new(&AES_256_GCM, &*key).ok().map(LessSafeKey::new)
    }
}

impl Crypt for FleetCrypt<'_> {
    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        hash_of(bytes).0
    }

    fn fresh(&self) -> Option<Fresh> {
        random().ok()
    }

    fn seal(&self, place: &Place, fresh: &Fresh, plaintext: &[u8]) -> Option<Vec<u8>> {
        let (salt, nonce) = fresh.split_first_chunk::<16>()?;
        let aad = place.associated_data();
        let mut object = Vec::with_capacity(HEADER + plaintext.len() + 16);
        object.push(FORMAT);
        object.extend_from_slice(&place.epoch.to_be_bytes());
        object.extend_from_slice(fresh);
        object.extend_from_slice(plaintext);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let key = self.object_key(place.epoch, salt, &aad)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&aad), object.get_mut(HEADER..)?).ok()?;
        object.extend_from_slice(tag.as_ref());
        Some(object)
    }

    fn open(&self, place: &Place, object: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (_, rest) = object.split_first_chunk::<5>()?;
        let (salt, rest) = rest.split_first_chunk::<16>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let aad = place.associated_data();
        let mut plaintext = Zeroizing::new(body.to_vec());
        let key = self.object_key(place.epoch, salt, &aad)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(&aad), &mut plaintext).ok()?.len();
        plaintext.truncate(length);
        Some(plaintext)
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.signing.0).ok()?;
        pair.sign(message).as_ref().try_into().ok()
    }

    fn verify(&self, by: MachineId, _: u32, message: &[u8], signature: &[u8; 64]) -> bool {
        let key = self.writers.get(&by);
        key.is_some_and(|key| UnparsedPublicKey::new(&ED25519, key.0.0).verify(message, signature).is_ok())
    }
}

/// The characters of a code: Crockford's base32.
const CODE_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code to let a machine in: 50 random bits and 10 of checksum, `4T9K-Q2ZM-71AB`.
pub(crate) fn new_code() -> Result<SensitiveString, Error> {
    let bytes: [u8; 10] = random()?;
    let mut code: Zeroizing<Vec<u8>> = Zeroizing::new(bytes.iter().map(|byte| symbol(*byte)).collect());
    let sum = code_sum(&code);
    code.extend(sum);
    let text: Vec<String> = code.chunks(4).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    Ok(SensitiveString::new(text.join("-")))
}

fn symbol(byte: u8) -> u8 {
    CODE_ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0')
}

fn code_sum(code: &[u8]) -> [u8; 2] {
    let digest = digest::digest(&digest::SHA256, code);
    let mut bytes = digest.as_ref().iter().copied();
    [symbol(bytes.next().unwrap_or(0)), symbol(bytes.next().unwrap_or(0))]
}

/// The key of a code, as a person has typed it: Argon2id with 64 MiB and three passes. None if it was mistyped.
pub(crate) fn code_key(typed: &str) -> Result<Option<Private>, Error> {
    // Crockford's spelling: O is 0, I and L are 1.
    let mut code = Zeroizing::new(Vec::with_capacity(12));
    for byte in typed.bytes().filter(|byte| !matches!(byte, b'-' | b' ' | b'\t' | b'\n')) {
        let upper = match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        if !CODE_ALPHABET.contains(&upper) || code.len() >= 12 {
            return Ok(None);
        }
        code.push(upper);
    }
    let Some((body, sum)) = code.split_at_checked(10) else { return Ok(None) };
    if sum != code_sum(body) {
        return Ok(None);
    }
    let params = Params::new(64 << 10, 3, 1, Some(32)).map_err(|_| Error::CostOutOfBounds)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(body, b"secretsd/fleet/code", &mut *key)
        .map_err(|_| Error::Derivation)?;
    Ok(Some(Private(key)))
}

/// Five numbers below 2048, which both sides show as words: 55 bits of all that they have said and of what they agree on.
pub(crate) fn check_words(agreed: &Private, transcript: &[&[u8]]) -> Result<[u16; 5], Error> {
    let mut context: Vec<&[u8]> = vec![b"secretsd/fleet/words"];
    context.extend(transcript);
    let mut bytes = derive(&*agreed.0, &[], &context)?;
    let mut words = [0; 5];
    for (word, pair) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *word = u16::from_be_bytes(*pair) & 0x7FF;
    }
    bytes.zeroize();
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sealed_to_one_machine_alone() {
        let (key, machine, other) =
            (Private::generate().unwrap(), Private::generate().unwrap(), Private::generate().unwrap());
        let wrapped = key.wrap_to(&machine.recipient(), b"place").unwrap();
        assert!(machine.unwrap(&wrapped, b"place").unwrap() == key);
        assert!(machine.unwrap(&wrapped, b"other").is_err());
        assert!(other.unwrap(&wrapped, b"place").is_err());
        assert!(!format!("{key:?}").contains(&HEXLOWER.encode(&*key.0)));
    }

    #[test]
    fn what_a_machine_has_said_is_sealed_once_more_by_nobody_who_has_the_key() {
        use secrets_fleet::object::{self, Refused};
        use secrets_fleet::replica::Entry;
        use secrets_fleet::{Kind, ObjectName, Writer};

        let (key, signing, others) =
            (Private::generate().unwrap(), Private::generate().unwrap(), Private::generate().unwrap());
        let (keys, by) = (BTreeMap::from([(1, key)]), MachineId([1; 8]));
        let writers = BTreeMap::from([(by, signing.signer().unwrap())]);
        let author = FleetCrypt { keys: &keys, signing: &signing, writers: &writers };
        let other = FleetCrypt { signing: &others, ..author };
        let fleet = secrets_fleet::ids::FleetId([7; 16]);
        let place = Place { fleet, epoch: 1, kind: Kind::Log, writer: Writer([1; 8]), number: 1 };
        let entry = Entry::<String> { by, prev: None, seen: Vec::new(), changes: Vec::new() };
        let sealed = object::seal(&author, &place, &entry).unwrap();
        assert!(object::open::<Entry<String>>(&other, fleet, &sealed.name, &sealed.bytes).is_ok());
        let plaintext = other.open(&place, &sealed.bytes).unwrap();
        let again = other.seal(&place, &other.fresh().unwrap(), &plaintext).unwrap();
        let mut name: ObjectName = sealed.name;
        name.id.hash = hash_of(&again).short();
        let outcome = object::open::<Entry<String>>(&author, fleet, &name, &again);
        assert_eq!(outcome.unwrap_err(), Refused::Unsigned);
    }

    #[test]
    fn the_words_are_of_all_that_was_said_and_of_what_both_agree_on() {
        let (agreed, other) = (Private::generate().unwrap(), Private::generate().unwrap());
        let words = |agreed: &Private, said: [&[u8]; 3]| check_words(agreed, &said).unwrap();
        let said: [&[u8]; 3] = [b"code", b"inviter", b"answer"];
        let right = words(&agreed, said);
        assert_eq!(right, words(&agreed, said));
        assert!(right.iter().all(|word| *word < 2_048));
        let mut wrong = vec![words(&other, said)];
        for part in 0..3 {
            let mut changed = said;
            changed[part] = b"another";
            wrong.push(words(&agreed, changed));
        }
        // Moved from one part to the next.
        wrong.push(words(&agreed, [b"codei", b"nviter", b"answer"]));
        assert!(wrong.iter().all(|words| *words != right), "{wrong:?}");
    }

    #[test]
    fn a_code_is_read_as_people_type_it_and_a_slip_is_noticed() {
        let code = new_code().unwrap();
        assert_eq!(code.expose().len(), 14);
        let typed = format!(" {} ", code.expose().to_lowercase().replace('-', ""));
        assert!(code_key(&typed).unwrap() == code_key(code.expose()).unwrap());
        let mut slip = code.expose().to_owned();
        let last = if slip.ends_with('0') { "1" } else { "0" };
        slip.replace_range(13.., last);
        for bad in [slip.as_str(), "", "AAAA", "4T9K-Q2ZM-71AB-0"] {
            assert!(code_key(bad).unwrap().is_none());
        }
    }
}
