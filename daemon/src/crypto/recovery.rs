//! Recovery keys as text: 32 random bytes and 3 bytes of their SHA-256, in Crockford's base32, as 14 groups
//! of 4 characters. Reading forgives case, spaces, hyphens, and O, I and L for 0 and 1
//! (<https://www.crockford.com/base32.html>); the checksum tells a typing error from a wrong key.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use ring::digest::{SHA256, digest};
use secrets_proto::{FieldErrorType, Invalid, SensitiveString};
use zeroize::Zeroizing;

use super::{Error, random};

const CHECKSUM: usize = 3;

/// `None` only if the constant specification below were malformed, which a test rules out.
static CROCKFORD: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.ignore.push_str(" -\t\r\n");
    specification.encoding().ok()
});

/// A recovery key's 32 bytes.
pub(crate) struct RecoveryKey(Zeroizing<[u8; 32]>);

impl RecoveryKey {
    /// A fresh one.
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// The key's bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        &*self.0
    }

    /// The key as people write it down.
    pub(crate) fn to_text(&self) -> Result<SensitiveString, Error> {
        let encoding = CROCKFORD.as_ref().ok_or(Error::Malformed)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + CHECKSUM));
        bytes.extend_from_slice(&*self.0);
        bytes.extend_from_slice(&checksum(&self.0));
        let digits = Zeroizing::new(encoding.encode(&bytes));
        let mut text = String::with_capacity(digits.len() * 5 / 4);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(digit);
        }
        Ok(SensitiveString::new(text))
    }

    /// Reads a key as people type it.
    pub(crate) fn parse(text: &SensitiveString) -> Result<Self, Invalid> {
        let malformed = Invalid::new(
            FieldErrorType::StringPatternMismatch,
            "a recovery key has 56 letters and digits, usually in 14 groups of 4",
        );
        let encoding = CROCKFORD.as_ref().ok_or(malformed)?;
        if text.expose().len() > 256 {
            return Err(malformed);
        }
        let bytes = Zeroizing::new(encoding.decode(text.expose().as_bytes()).map_err(|_| malformed)?);
        let (key, check) = bytes.split_first_chunk::<32>().ok_or(malformed)?;
        if check.len() != CHECKSUM {
            return Err(malformed);
        }
        if check != checksum(key) {
            return Err(Invalid::new(
                FieldErrorType::ValueError,
                "the recovery key has a typing error: its checksum does not match",
            ));
        }
        Ok(Self(Zeroizing::new(*key)))
    }
}

fn checksum(key: &[u8; 32]) -> [u8; CHECKSUM] {
    let mut check = [0; CHECKSUM];
    for (to, from) in check.iter_mut().zip(digest(&SHA256, key).as_ref()) {
        *to = *from;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{bytes, list, vectors};

    #[test]
    fn text_round_trips_as_people_type_it() {
        let key = RecoveryKey::generate().unwrap();
        let text = key.to_text().unwrap();
        assert_eq!(text.expose().len(), 69);
        for typed in [
            text.expose().to_owned(),
            text.expose().to_lowercase(),
            text.expose().replace('-', " "),
            text.expose().replace('-', "").replace('0', "o").replace('1', "l"),
        ] {
            let read = RecoveryKey::parse(&SensitiveString::new(typed)).unwrap();
            assert_eq!(read.expose(), key.expose());
        }
    }

    #[test]
    fn texts_are_the_known_ones() {
        for known in list(&vectors()["recovery"]) {
            let text = known["text"].as_str().unwrap();
            let key = RecoveryKey::parse(&SensitiveString::new(text.to_owned())).unwrap();
            assert_eq!(key.expose(), bytes(&known["key"]));
            assert_eq!(key.to_text().unwrap().expose(), text);
        }
    }

    #[test]
    fn a_typing_error_is_told_from_a_wrong_form() {
        let text = RecoveryKey::generate().unwrap().to_text().unwrap();
        let swapped = if text.expose().starts_with('7') { "8" } else { "7" };
        let typo = SensitiveString::new(format!("{swapped}{}", &text.expose()[1..]));
        assert_eq!(RecoveryKey::parse(&typo).err().unwrap().kind, FieldErrorType::ValueError);
        for form in ["", "abc", "U", &text.expose()[5..]] {
            let form = SensitiveString::new(form.to_owned());
            assert_eq!(RecoveryKey::parse(&form).err().unwrap().kind, FieldErrorType::StringPatternMismatch);
        }
    }
}
