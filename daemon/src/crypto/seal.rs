//! Sealed blobs: `0x01 ‖ salt (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, AES-256-GCM.
//!
//! Each blob has a key of its own, `HKDF-SHA256(ikm = record key, salt = the blob's, info = AAD)`, so that random
//! nonces never meet under one key. The AAD is the blob's place: a blob moved to another row, column, version, epoch
//! or vault does not open. What is encrypted is `length (u32, big-endian) ‖ plaintext ‖ zeros`, as long in all as
//! `padded_len` says, and nothing else opens.

use std::borrow::Cow;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::Zeroizing;

use super::keys::{FORMAT, Identity, Keys};
use super::{Error, push_framed, random};

const VERSION: u8 = 1;
const SALT: usize = 16;
const TAG: usize = 16;
const PREFIX: usize = 1 + SALT + NONCE_LEN;

/// Where a blob belongs.
#[derive(Debug, Clone)]
pub(crate) struct AadContext<'a> {
    /// The kind of row.
    pub(crate) table: Cow<'a, str>,
    /// The row's id.
    pub(crate) row: &'a [u8],
    /// The column.
    pub(crate) column: &'a str,
    /// The row's version.
    pub(crate) version: u64,
}

/// Pads and seals `plaintext` for this place. The result tells only its padded size.
pub(crate) fn seal(keys: &Keys, context: AadContext<'_>, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    // Asked for together: each call of the system's generator costs as much as the encryption.
    let fresh: [u8; SALT + NONCE_LEN] = random()?;
    let (salt, nonce) = fresh.split_first_chunk().ok_or(Error::Malformed)?;
    seal_with(keys, context, plaintext, *salt, nonce.try_into().map_err(|_| Error::Malformed)?)
}

fn seal_with(
    keys: &Keys,
    context: AadContext<'_>,
    plaintext: &[u8],
    salt: [u8; SALT],
    nonce: [u8; NONCE_LEN],
) -> Result<Vec<u8>, Error> {
    let padded_len = padded_len(plaintext.len().checked_add(4).ok_or(Error::Malformed)?);
    let length = u32::try_from(plaintext.len()).map_err(|_| Error::Malformed)?;
    // Encrypted in place, in a buffer that already has room for the tag: the plaintext is copied once.
    let mut blob = Vec::with_capacity(PREFIX + padded_len + TAG);
    blob.push(VERSION);
    blob.extend_from_slice(&salt);
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(plaintext);
    blob.resize(PREFIX + padded_len, 0);

    let aad = associated_data(keys.identity(), &context);
    let body = blob.get_mut(PREFIX..).ok_or(Error::Malformed)?;
    let tag = blob_key(keys, &salt, &aad)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&aad), body)
        .map_err(|_| Error::Malformed)?;
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
}

/// Opens a blob that was sealed for this place.
pub(crate) fn open(keys: &Keys, context: AadContext<'_>, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (version, rest) = blob.split_first().ok_or(Error::Malformed)?;
    let (salt, rest) = rest.split_first_chunk::<SALT>().ok_or(Error::Malformed)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::Malformed)?;
    if *version != VERSION {
        return Err(Error::Malformed);
    }
    let aad = associated_data(keys.identity(), &context);
    let mut plaintext = Zeroizing::new(body.to_vec());
    let opened_len = blob_key(keys, salt, &aad)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(&aad), &mut plaintext)
        .map_err(|_| Error::NotAuthentic)?
        .len();
    plaintext.truncate(opened_len);
    unpad(plaintext)
}

fn blob_key(keys: &Keys, salt: &[u8], aad: &[u8]) -> Result<LessSafeKey, Error> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
    let prk = salt.extract(&*keys.record);
    let info = [aad];
    let okm = prk.expand(&info, &AES_256_GCM).map_err(|_| Error::Malformed)?;
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

/// (format, vault id, table, row id, column, version u64, epoch u32), each with its length before it.
fn associated_data(identity: Identity, context: &AadContext<'_>) -> Vec<u8> {
    let mut aad = Vec::with_capacity(128);
    push_framed(&mut aad, &FORMAT.to_be_bytes());
    push_framed(&mut aad, &identity.vault);
    push_framed(&mut aad, context.table.as_bytes());
    push_framed(&mut aad, context.row);
    push_framed(&mut aad, context.column.as_bytes());
    push_framed(&mut aad, &context.version.to_be_bytes());
    push_framed(&mut aad, &identity.epoch.to_be_bytes());
    aad
}

/// Rounds up in steps of 64 bytes to 1 KiB, then of an eighth of the power of two below: a size says little
/// about a token and nothing about its last characters, at a cost of at most an eighth.
fn padded_len(len: usize) -> usize {
    let step = if len <= 1024 { 64 } else { (1 << (len - 1).ilog2()) / 8 };
    len.div_ceil(step) * step
}

fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (length, rest) = padded.split_first_chunk::<4>().ok_or(Error::Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Error::Malformed)?;
    let padding = rest.get(length..).ok_or(Error::Malformed)?;
    if padding.iter().any(|byte| *byte != 0) || padded.len() != padded_len(length + 4) {
        return Err(Error::Malformed);
    }
    padded.drain(..4);
    padded.truncate(length);
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::keys::DataKey;
    use crate::crypto::vectors::{self, array, bytes, list, number, vectors};

    fn keys(epoch: u32) -> Keys {
        let data = DataKey(Zeroizing::new([7; 32]));
        Keys::derive(data, Identity { vault: [9; 16], epoch }).unwrap()
    }

    const CONTEXT: AadContext<'static> =
        AadContext { table: Cow::Borrowed("secret"), row: &[1; 16], column: "sealed", version: 3 };

    #[test]
    fn opens_only_in_its_place() {
        let blob = seal(&keys(1), CONTEXT, b"hunter2").unwrap();
        assert_eq!(*open(&keys(1), CONTEXT, &blob).unwrap(), b"hunter2");
        for context in [
            AadContext { table: "value".into(), ..CONTEXT },
            AadContext { row: &[2; 16], ..CONTEXT },
            AadContext { column: "other", ..CONTEXT },
            AadContext { version: 4, ..CONTEXT },
        ] {
            assert_eq!(open(&keys(1), context, &blob), Err(Error::NotAuthentic));
        }
        assert_eq!(open(&keys(2), CONTEXT, &blob), Err(Error::NotAuthentic));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let blob = seal(&keys(1), CONTEXT, b"hunter2").unwrap();
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut changed = blob.clone();
                changed[at] ^= 1 << bit;
                assert!(open(&keys(1), CONTEXT, &changed).is_err(), "byte {at} bit {bit}");
            }
            assert!(open(&keys(1), CONTEXT, &blob[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn blobs_are_the_known_ones() {
        let (keys, known) = (vectors::keys(), vectors());
        for known in list(&known["blobs"]) {
            let (table, column) = (known["table"].as_str().unwrap(), known["column"].as_str().unwrap());
            let row = bytes(&known["row"]);
            let context =
                AadContext { table: table.into(), row: &row, column, version: number(&known["version"]) };
            let (plaintext, sealed) = (bytes(&known["plaintext"]), bytes(&known["sealed"]));
            assert_eq!(*open(&keys, context.clone(), &sealed).unwrap(), plaintext);
            let (salt, nonce) = (array(&known["salt"]), array(&known["nonce"]));
            assert_eq!(seal_with(&keys, context, &plaintext, salt, nonce).unwrap(), sealed);
        }
        for pair in list(&known["padded"]) {
            assert_eq!(padded_len(number(&pair[0])), number::<usize>(&pair[1]), "{pair}");
        }
    }

    #[test]
    fn sizes_come_in_steps() {
        assert_eq!(padded_len(5), 64);
        assert_eq!(padded_len(64), 64);
        assert_eq!(padded_len(65), 128);
        assert_eq!(padded_len(1024), 1024);
        assert_eq!(padded_len(1025), 1152);
        assert_eq!(padded_len(2048), 2048);
        assert_eq!(padded_len(2049), 2304);
        assert_eq!(padded_len(65_540), 73_728);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plaintext in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let keys = keys(1);
            let blob = seal(&keys, CONTEXT, &plaintext).unwrap();
            prop_assert_eq!(blob.len(), PREFIX + padded_len(plaintext.len() + 4) + TAG);
            prop_assert_eq!(&*open(&keys, CONTEXT, &blob).unwrap(), &plaintext);
        }

        #[test]
        fn arbitrary_bytes_never_open(blob in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(open(&keys(1), CONTEXT, &blob).is_err());
        }
    }
}
