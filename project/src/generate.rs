//! Values that are made and not asked for: passwords, random bytes as text, UUIDs. Where the random numbers come from is
//! the caller's affair.

use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

/// The most characters, or bytes before they are written as text: what fits into a value of the vault.
pub(crate) const MOST: usize = 16 << 10;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// So many characters: letters and digits, or all that a keyboard has but the space.
    Password {
        /// How many.
        length: usize,
        /// Whether punctuation is among them.
        all_ascii: bool,
    },
    /// So many random bytes as hexadecimal digits.
    Hex(usize),
    /// So many random bytes in base 64, padded.
    Base64(usize),
    /// A random UUID, version 4 of RFC 9562.
    Uuid,
}

impl Recipe {
    /// What a manifest calls it, for people.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Hex(_) => "hex",
            Self::Base64(_) => "base64",
            Self::Uuid => "uuid",
        }
    }

    /// A new value; `random` fills what it is given with random bytes.
    ///
    /// # Errors
    ///
    /// Those of `random`.
    pub fn make<E>(
        &self,
        mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Zeroizing<String>, E> {
        let mut bytes = |count: usize| {
            let mut bytes = Zeroizing::new(vec![0; count]);
            random(&mut bytes).map(|()| bytes)
        };
        Ok(Zeroizing::new(match self {
            Self::Password { length, all_ascii } => {
                let all: Vec<u8> = (b'!'..=b'~').collect();
                let letters = if *all_ascii { &all } else { LETTERS };
                return password(letters, *length, random);
            }
            Self::Hex(count) => HEXLOWER.encode(&bytes(*count)?),
            Self::Base64(count) => BASE64.encode(&bytes(*count)?),
            Self::Uuid => {
                let mut random = [0; 16];
                random.copy_from_slice(&bytes(16)?);
                uuid::Builder::from_random_bytes(random).into_uuid().to_string()
            }
        }))
    }
}

/// Each letter is as likely as every other: bytes that would favour the first ones are thrown away.
fn password<E>(
    letters: &[u8],
    length: usize,
    mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Zeroizing<String>, E> {
    let fair = 256 - 256 % letters.len();
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = Zeroizing::new([0; 64]);
    while text.len() < length {
        random(&mut *bytes)?;
        let chosen = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let chosen = chosen.filter_map(|byte| letters.get(byte % letters.len()));
        let left = length - text.len();
        chosen.take(left).for_each(|letter| text.push(char::from(*letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes in turn.
    fn counting() -> impl FnMut(&mut [u8]) -> Result<(), ()> {
        let mut next = 0_u8;
        move |bytes| {
            bytes.iter_mut().for_each(|byte| {
                *byte = next;
                next = next.wrapping_add(1);
            });
            Ok(())
        }
    }

    #[test]
    fn values_have_the_length_that_was_asked_for() {
        let make = |recipe: Recipe| recipe.make(counting()).unwrap().to_string();
        assert_eq!(make(Recipe::Hex(3)), "000102");
        assert_eq!(make(Recipe::Base64(4)), "AAECAw==");
        assert_eq!(make(Recipe::Uuid), "00010203-0405-4607-8809-0a0b0c0d0e0f");
        for (length, all_ascii) in [(1, false), (200, false), (300, true), (MOST, true)] {
            let text = make(Recipe::Password { length, all_ascii });
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(all_ascii || text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn no_letter_is_likelier_than_another() {
        let text = Recipe::Password { length: 62 * 4 * 10, all_ascii: false }.make(counting()).unwrap();
        let counts: Vec<usize> =
            LETTERS.iter().map(|letter| text.bytes().filter(|byte| byte == letter).count()).collect();
        assert_eq!(counts, vec![40; 62]);
    }

    #[test]
    fn without_random_numbers_nothing_is_made() {
        for recipe in [Recipe::Uuid, Recipe::Hex(1), Recipe::Password { length: 1, all_ascii: false }] {
            assert_eq!(recipe.make(|_| Err(7)).unwrap_err(), 7);
        }
    }
}
