//! Passphrases for people who do not want to think one up: six words of the EFF's long list (CC BY 3.0), each chosen by the system's
//! random numbers. That is 77 bits, which nobody can guess from a copy of the vault's file.

use diceware_wordlists::EFF_LONG_WORDLIST;
use rustix::rand::{GetRandomFlags, getrandom};
use secrets_proto::SensitiveString;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// How many words a passphrase has.
const WORDS: usize = 6;

/// The letters of the longest word.
const LONGEST: usize = 9;

/// The list's words, each filled up with zeros. As references the words would take four times the room, and time at each
/// start of the client; so nothing else may name the list as it is.
static LIST: [[u8; LONGEST]; EFF_LONG_WORDLIST.len()] = list();

#[allow(
    clippy::indexing_slicing,
    reason = "at compile time, where no other way is known; a fault fails the build"
)]
const fn list() -> [[u8; LONGEST]; EFF_LONG_WORDLIST.len()] {
    let mut list = [[0; LONGEST]; EFF_LONG_WORDLIST.len()];
    let mut at = 0;
    while at < list.len() {
        let word = EFF_LONG_WORDLIST[at].as_bytes();
        let mut letter = 0;
        while letter < word.len() {
            list[at][letter] = word[letter];
            letter += 1;
        }
        at += 1;
    }
    list
}

/// A new passphrase: words with a space between.
pub(crate) fn make() -> Result<SensitiveString, Failure> {
    // Never grows, so that no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(WORDS * (LONGEST + 1)));
    for number in 0..WORDS {
        if number > 0 {
            text.push(' ');
        }
        text.push_str(word(usize::from(below(LIST.len())?)).unwrap_or_default());
    }
    Ok(SensitiveString::new(std::mem::take(&mut *text)))
}

/// The word at this place of the list, from 0 on.
pub(crate) fn word(at: usize) -> Option<&'static str> {
    let word = LIST.get(at)?.split(|letter| *letter == 0).next()?;
    std::str::from_utf8(word).ok()
}

/// A number below this one, each as likely as the others.
fn below(count: usize) -> Result<u16, Failure> {
    let count = u16::try_from(count).unwrap_or(u16::MAX).max(1);
    // Numbers from here on would make some words likelier than others, and are drawn again.
    let end = u16::MAX - u16::MAX % count;
    loop {
        let mut drawn = Zeroizing::new([0; 2]);
        let got = getrandom(&mut *drawn, GetRandomFlags::empty());
        if got != Ok(drawn.len()) {
            return Err(Failure::new(
                Exit::Other,
                "no passphrase was made: the system has no random numbers",
            ));
        }
        let drawn = u16::from_ne_bytes(*drawn);
        if drawn < end {
            return Ok(drawn % count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_words_are_those_of_the_list() {
        assert!((0..=LIST.len()).map_while(word).eq(EFF_LONG_WORDLIST));
    }

    #[test]
    fn a_passphrase_has_six_words_of_the_list() {
        let known: HashSet<&str> = EFF_LONG_WORDLIST.iter().copied().collect();
        assert_eq!(known.len(), 7_776);
        let mut made = HashSet::new();
        for _ in 0..2_000 {
            let passphrase = make().unwrap();
            let words: Vec<String> = passphrase.expose().split(' ').map(str::to_owned).collect();
            assert_eq!(words.len(), WORDS);
            assert!(words.iter().all(|word| known.contains(word.as_str())), "{words:?}");
            made.extend(words);
        }
        // Of 12,000 draws from 7,776 words about 6,100 differ; far fewer would be no even choice.
        assert!(made.len() > 5_800, "{}", made.len());
    }

    #[test]
    fn every_number_is_drawn_and_none_beyond() {
        let drawn: HashSet<u16> = (0..500).map(|_| below(6).unwrap()).collect();
        assert_eq!(drawn, (0..6).collect());
    }
}
