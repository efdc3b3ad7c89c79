//! Every use of cryptography, and no I/O: what is stored where is not known here.
//!
//! - [`keys`]: the data key and what is derived from it
//! - [`seal`]: sealed blobs, the form in which everything confidential is stored
//! - [`slot`]: wrapping the data key under a passphrase or other key
//! - [`tally`]: the multiset hash behind the manifest
//! - [`exchange`]: what several machines of one vault exchange: sealing, signing, and letting a new one in
//! - [`recovery`]: recovery keys as text
//! - [`token`]: access tokens and their digests

pub(crate) mod exchange;
pub(crate) mod keys;
pub(crate) mod recovery;
pub(crate) mod seal;
pub(crate) mod slot;
pub(crate) mod tally;
pub(crate) mod token;

use ring::rand::{SecureRandom, SystemRandom};

/// Why a cryptographic operation failed. Nothing here tells more than an attacker may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The system gave no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// Not authentic: the wrong key, the wrong place, or changed bytes.
    #[error("not authentic")]
    NotAuthentic,
    /// Authentic or not, this is not of the expected form.
    #[error("malformed")]
    Malformed,
    /// Key derivation parameters outside the bounds.
    #[error("key derivation parameters out of bounds")]
    CostOutOfBounds,
    /// Key derivation got no memory.
    #[error("there is no memory for key derivation")]
    NoMemory,
    /// Key derivation failed in another way.
    #[error("key derivation failed")]
    Derivation,
}

/// Fresh bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// Appends `part` with its length before it, so that no two lists of parts encode alike.
fn push_framed(message: &mut Vec<u8>, part: &[u8]) {
    message.extend_from_slice(&framed_length(part));
    message.extend_from_slice(part);
}

/// A part's length as it stands before it: u32, big-endian.
fn framed_length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The known answers of format 1, made by `tests/vectors/generate.py`, which shares no code with this. Each module tests
/// that it opens them, and makes the same bytes from the same inputs.
#[cfg(test)]
pub(crate) mod vectors {
    use data_encoding::HEXLOWER;
    use serde_json::Value;

    use super::keys::{DataKey, Identity, Keys};

    pub(crate) fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors/format-1.json")).unwrap()
    }

    pub(crate) fn bytes(hex: &Value) -> Vec<u8> {
        HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap()
    }

    pub(crate) fn array<const N: usize>(hex: &Value) -> [u8; N] {
        bytes(hex).try_into().unwrap()
    }

    pub(crate) fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(number: &Value) -> T {
        number.as_u64().unwrap().try_into().unwrap()
    }

    pub(crate) fn list(list: &Value) -> &[Value] {
        let list = list.as_array().unwrap();
        assert!(!list.is_empty());
        list
    }

    pub(crate) fn identity() -> Identity {
        let known = &vectors()["identity"];
        Identity { vault: array(&known["vault"]), epoch: number(&known["epoch"]) }
    }

    /// The keys that all vectors are made with.
    pub(crate) fn keys() -> Keys {
        Keys::derive(DataKey(array(&vectors()["data_key"]).into()), identity()).unwrap()
    }
}
