//! Every use of cryptography, and no I/O: what is stored where is not known here.
//!
//! - [`keys`]: the data key and what is derived from it
//! - [`seal`]: sealed blobs, the form in which everything confidential is stored
//! - [`slot`]: wrapping the data key under a passphrase or other key
//! - [`tally`]: the multiset hash behind the manifest
//! - [`recovery`]: recovery keys as text

pub(crate) mod keys;
pub(crate) mod recovery;
pub(crate) mod seal;
pub(crate) mod slot;
pub(crate) mod tally;

use ring::rand::{SecureRandom, SystemRandom};

/// Why a cryptographic operation failed. Nothing here tells more than an attacker may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
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
    #[error("key derivation failed")]
    Derivation,
}

/// Fresh bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// Appends `part` with its length before it (u32, big-endian), so that no two lists of parts encode alike.
fn push_framed(message: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(part);
}
