//! Making access tokens, and the digest that is kept of one. Their form is `secrets_proto::token`'s.

use ring::digest::{SHA256, digest};
use secrets_proto::SensitiveString;
use secrets_proto::token::{ALPHABET, LENGTH, PREFIX, RANDOM, checksum};
use zeroize::Zeroizing;

use super::{Error, random};

/// A fresh token: prefix, random characters that are each equally likely, checksum.
pub(crate) fn generate() -> Result<SensitiveString, Error> {
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    text.push_str(PREFIX);
    extend(&mut text, PREFIX.len() + RANDOM, ALPHABET)?;
    let sum = checksum(text.as_bytes());
    text.extend(sum.map(char::from));
    Ok(SensitiveString::new(std::mem::take(&mut *text)))
}

/// Makes a text this long, by random characters of this alphabet that are each equally likely.
pub(crate) fn extend(text: &mut String, length: usize, alphabet: &[u8]) -> Result<(), Error> {
    // What is above the largest multiple in a byte would make some characters likelier.
    let multiple = 256 / alphabet.len().max(1) * alphabet.len();
    while text.len() < length {
        let bytes = Zeroizing::new(random::<64>()?);
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < multiple);
        let room = length - text.len();
        text.extend(
            fair.take(room).filter_map(|byte| alphabet.get(byte % alphabet.len())).map(|b| char::from(*b)),
        );
    }
    Ok(())
}

/// The SHA-256 of a token's text. A token is random enough to need no more: there is nothing to guess. It is also what
/// tokens are looked up by, so that the time a look-up takes tells of the digest, which nobody can steer.
pub(crate) fn hash(token: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrets_proto::token::is_well_formed;

    use super::*;

    #[test]
    fn tokens_are_well_formed_and_all_different() {
        let made: HashSet<String> = (0..200).map(|_| generate().unwrap().expose().to_owned()).collect();
        assert_eq!(made.len(), 200);
        assert!(made.iter().all(|token| is_well_formed(token.as_bytes())));
        // Each of 62 characters turns up among 8,600; one is missing by chance once in 10^58.
        let used: HashSet<char> = made.iter().flat_map(|token| token[4..47].chars()).collect();
        assert_eq!(used.len(), 62);
    }

    #[test]
    fn the_digest_is_sha_256() {
        let known = data_encoding::HEXLOWER.encode(&hash(b"abc"));
        assert_eq!(known, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
