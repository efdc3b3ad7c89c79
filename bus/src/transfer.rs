//! How a session carries values over the bus: plainly, or encrypted with a key that was agreed on. The agreement keeps
//! values from those who only listen: its group is old and small, and nobody proves who they are.
//!
//! Source: "Transfer of Secrets" of the Secret Service API, version 0.2; the group is the second of RFC 2409 (6.2), the
//! derivation HKDF with SHA-256 of RFC 5869, without salt and info.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U1024};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::Error;

/// The names of the two ways.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const ENCRYPTED: &str = "dh-ietf1024-sha256-aes128-cbc-pkcs7";

/// The prime of the group, p; it is 2q + 1 for a prime q.
const PRIME: Odd<U1024> = Odd::<U1024>::from_be_hex(concat!(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff",
));

/// The group's generator.
const GENERATOR: U1024 = U1024::from_u8(2);

/// The bytes of an element of the group, of an exponent, and of a key and a block of the cipher. An exponent of twice the
/// strength of the group's is as good as a longer one, since q is prime.
const ELEMENT: usize = 128;
const EXPONENT: usize = 32;
const BLOCK: usize = 16;

/// How values are carried.
pub(crate) enum Transfer {
    /// As they are.
    Plain,
    /// With AES-128 in CBC mode, under this key.
    Encrypted(Zeroizing<[u8; BLOCK]>),
}

/// Our part of an agreement: a number that nobody else knows.
pub(crate) struct Offer(Zeroizing<[u8; EXPONENT]>);

impl Offer {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut random = Zeroizing::new([0; EXPONENT]);
        SystemRandom::new().fill(random.as_mut()).map_err(|_| Error::failed("there is no random number"))?;
        Ok(Self(random))
    }

    /// What the other end is told of it.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.power(&GENERATOR).to_be_bytes().as_ref().to_vec()
    }

    /// The key that is agreed on with the holder of this public one.
    pub(crate) fn accepted(&self, theirs: &[u8]) -> Result<Transfer, Error> {
        let shared = self.power(&element(theirs)?).to_be_bytes();
        Ok(Transfer::Encrypted(derive(shared.as_ref())?))
    }

    fn power(&self, base: &U1024) -> U1024 {
        let exponent = U256::from_be_slice(self.0.as_ref());
        FixedMontyForm::new(base, &FixedMontyParams::new_vartime(PRIME)).pow(&exponent).retrieve()
    }
}

impl Transfer {
    /// Agrees on a key with the holder of this public one, and gives ours.
    pub(crate) fn agree(theirs: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let offer = Offer::new()?;
        Ok((offer.accepted(theirs)?, offer.public()))
    }

    /// A value as it is carried: the parameters, which is the initialization vector, and the bytes.
    pub(crate) fn wrap(&self, value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let Self::Encrypted(key) = self else { return Ok((Vec::new(), value.to_vec())) };
        let mut vector = [0; BLOCK];
        SystemRandom::new().fill(&mut vector).map_err(|_| Error::failed("there is no random number"))?;
        // One block more at most.
        let mut buffer = vec![0; value.len() + BLOCK];
        let (start, _) = buffer.split_at_mut(value.len());
        start.copy_from_slice(value);
        let cipher = cbc::Encryptor::<Aes128>::new((&**key).into(), (&vector).into());
        let length = cipher
            .encrypt_padded::<Pkcs7>(&mut buffer, value.len())
            .map_err(|_| Error::failed("the value cannot be encrypted"))?
            .len();
        buffer.truncate(length);
        Ok((vector.to_vec(), buffer))
    }

    /// The value that is carried so.
    pub(crate) fn unwrap(
        &self,
        parameters: &[u8],
        carried: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Self::Encrypted(key) = self else {
            return if parameters.is_empty() { Ok(carried) } else { Err(UNREADABLE) };
        };
        let vector: &[u8; BLOCK] = parameters.try_into().map_err(|_| UNREADABLE)?;
        let mut buffer = carried;
        let cipher = cbc::Decryptor::<Aes128>::new((&**key).into(), vector.into());
        let length = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| UNREADABLE)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

const UNREADABLE: Error = Error::InvalidArgs("the secret is not encrypted as this session has it");

/// A public key: what is no element of the group but 0, 1 and p − 1, which would give the key away, is refused.
fn element(bytes: &[u8]) -> Result<U1024, Error> {
    const REFUSED: Error = Error::InvalidArgs("the public key is not one of this group");
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let mut padded = [0; ELEMENT];
    let start = ELEMENT.checked_sub(digits.len()).ok_or(REFUSED)?;
    padded.get_mut(start..).ok_or(REFUSED)?.copy_from_slice(digits);
    let number = U1024::from_be_slice(&padded);
    let last = PRIME.as_ref().wrapping_sub(&U1024::ONE);
    if number <= U1024::ONE || number >= last { Err(REFUSED) } else { Ok(number) }
}

fn derive(shared: &[u8]) -> Result<Zeroizing<[u8; BLOCK]>, Error> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            BLOCK
        }
    }
    let mut key = Zeroizing::new([0; BLOCK]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(shared)
        .expand(&[], Length)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_| Error::failed("no key can be derived"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Transfer, Transfer) {
        // Ours twice: one end's public key needs the other's, so the other end is computed by hand.
        let mut secret = [7; EXPONENT];
        secret[0] = 0;
        let exponent = U256::from_be_slice(&secret);
        let params = FixedMontyParams::new_vartime(PRIME);
        let power = |base: &U1024| FixedMontyForm::new(base, &params).pow(&exponent).retrieve();
        let public = power(&GENERATOR).to_be_bytes();
        let (ours, answer) = Transfer::agree(public.as_ref()).unwrap();
        let shared = power(&U1024::from_be_slice(&answer)).to_be_bytes();
        (ours, Transfer::Encrypted(derive(shared.as_ref()).unwrap()))
    }

    #[test]
    fn both_ends_read_what_the_other_has_wrapped() {
        let (ours, theirs) = pair();
        for length in [0, 1, 15, 16, 17, 255, 65_536] {
            let value: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let (vector, carried) = ours.wrap(&value).unwrap();
            assert_eq!(vector.len(), BLOCK);
            assert_eq!(carried.len(), (length / BLOCK + 1) * BLOCK);
            assert_eq!(*theirs.unwrap(&vector, carried.into()).unwrap(), value);
            let (none, plain) = Transfer::Plain.wrap(&value).unwrap();
            assert_eq!(*Transfer::Plain.unwrap(&none, plain.into()).unwrap(), value);
        }
    }

    #[test]
    fn the_derivation_is_that_of_other_implementations() {
        // hkdf-sha256 of 128 bytes of 1, by Python's `cryptography`.
        let key = derive(&[1; ELEMENT]).unwrap();
        assert_eq!(format!("{:02x?}", *key).replace(", ", ""), KNOWN);
    }

    const KNOWN: &str = "[88f394b4860c8aabae7399178ae10679]";

    #[test]
    fn public_keys_that_give_the_key_away_are_refused() {
        let prime = PRIME.as_ref().to_be_bytes();
        let mut last = prime.as_ref().to_vec();
        *last.last_mut().unwrap() -= 1;
        let mut beyond = prime.as_ref().to_vec();
        beyond.insert(0, 1);
        for bad in [&[][..], &[0], &[0; 200], &[1], &[0, 0, 1], prime.as_ref(), &last, &beyond, &[255; 128]] {
            assert!(Transfer::agree(bad).is_err(), "{bad:?}");
        }
        *last.last_mut().unwrap() -= 1;
        for good in [&[2][..], &[0, 2], &last] {
            assert!(Transfer::agree(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn what_was_not_wrapped_here_is_refused_and_not_repeated() {
        let (ours, _) = pair();
        let (vector, carried) = ours.wrap(b"hunter2hunter2").unwrap();
        let short = carried[..15].to_vec();
        assert!(ours.unwrap(&vector[..15], carried.clone().into()).is_err());
        assert!(ours.unwrap(&[], carried.into()).is_err());
        let error = ours.unwrap(&vector, short.into()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(Transfer::Plain.unwrap(&[0; 16], Zeroizing::new(Vec::new())).is_err());
    }
}
