//! Whether a glob matches a name, in a time that grows with the name alone: globs come from callers, who may hold few
//! rights, and are held against many names. A matcher that goes back and tries again takes time for their product.
//!
//! The algorithm is Shift-And with gaps (Navarro and Raffinot, "Flexible Pattern Matching in Strings", 2002, section
//! 4.3): one bit for each character that the glob wants, all of them moved at once by each character of the name.

use crate::{Glob, SecretName};

impl Glob {
    /// Whether it matches this name: `*` is any text, `?` one character, `[…]` one of these or, after `!` or `^`, none of
    /// these. For many names, make a [`Matcher`] once.
    pub fn matches(&self, name: &SecretName) -> bool {
        // Most that do not match differ here, before anything is made.
        name.as_str().starts_with(self.beginning()) && self.matcher().matches(name)
    }

    /// The glob, made ready to be held against many names.
    pub fn matcher(&self) -> Matcher {
        let beginning = self.beginning();
        let rest = self.as_str().get(beginning.len()..).unwrap_or_default().as_bytes();
        let rest = match rest {
            [] => Rest::Nothing,
            [b'*'] => Rest::Anything,
            _ if rest.len() < 64 => Rest::Short(Box::new(Pattern::new(rest))),
            _ => Rest::Long(Box::new(Pattern::new(rest))),
        };
        Matcher { beginning: beginning.into(), rest }
    }

    /// What every name begins with that it matches.
    pub fn beginning(&self) -> &str {
        self.as_str().split(['*', '?', '[']).next().unwrap_or_default()
    }
}

/// A [`Glob`] made ready to be held against many names; each takes a few instructions a character.
#[derive(Debug)]
pub struct Matcher {
    beginning: Box<str>,
    rest: Rest,
}

/// What may come after the beginning.
#[derive(Debug)]
enum Rest {
    Nothing,
    Anything,
    Short(Box<Pattern<1>>),
    Long(Box<Pattern<4>>),
}

impl Matcher {
    /// Whether the glob matches this name.
    pub fn matches(&self, name: &SecretName) -> bool {
        let Some(text) = name.as_str().strip_prefix(&*self.beginning) else { return false };
        match &self.rest {
            Rest::Nothing => text.is_empty(),
            Rest::Anything => true,
            Rest::Short(pattern) => pattern.matches(text.as_bytes()),
            Rest::Long(pattern) => pattern.matches(text.as_bytes()),
        }
    }
}

/// A glob as sets of bits, `WORDS` words of 64: bit `n` stands for "the first `n` characters that the glob wants were
/// found". A glob has 255 characters at most, so that 256 bits are enough.
#[derive(Debug)]
struct Pattern<const WORDS: usize> {
    /// For each symbol, the bits that it leads to from the bit before.
    leads_to: [[u64; WORDS]; SYMBOLS],
    /// The bits that stay whatever comes: those before a `*`.
    stays: [u64; WORDS],
    /// The bit that says that all was found.
    end: usize,
}

impl<const WORDS: usize> Pattern<WORDS> {
    fn new(mut glob: &[u8]) -> Self {
        let mut pattern = Self { leads_to: [[0; WORDS]; SYMBOLS], stays: [0; WORDS], end: 0 };
        while let [first, after @ ..] = glob {
            glob = after;
            if *first == b'*' {
                add(&mut pattern.stays, pattern.end);
                continue;
            }
            let mut wanted = [false; SYMBOLS];
            match first {
                b'?' => wanted = [true; SYMBOLS],
                b'[' => {
                    let end = glob.iter().position(|byte| *byte == b']').unwrap_or(glob.len());
                    let (class, after) = glob.split_at(end);
                    glob = after.get(1..).unwrap_or_default();
                    want_class(&mut wanted, class);
                }
                byte => want(&mut wanted, *byte),
            }
            pattern.end += 1;
            for (leads_to, _) in pattern.leads_to.iter_mut().zip(wanted).filter(|(_, wanted)| *wanted) {
                add(leads_to, pattern.end);
            }
        }
        pattern
    }

    fn matches(&self, text: &[u8]) -> bool {
        let mut found = [0; WORDS];
        add(&mut found, 0);
        for byte in text {
            // A name has no other characters.
            let Some(leads_to) = symbol(*byte).and_then(|symbol| self.leads_to.get(symbol)) else {
                return false;
            };
            let (mut carry, mut any) = (0, 0);
            for ((found, leads_to), stays) in found.iter_mut().zip(leads_to).zip(&self.stays) {
                let next = (*found << 1 | carry) & leads_to | *found & stays;
                carry = *found >> 63;
                any |= next;
                *found = next;
            }
            if any == 0 {
                return false;
            }
        }
        found.get(self.end / 64).is_some_and(|word| word >> (self.end % 64) & 1 == 1)
    }
}

fn add(bits: &mut [u64], bit: usize) {
    if let Some(word) = bits.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

/// Wants what stands between the brackets of a class.
fn want_class(wanted: &mut [bool; SYMBOLS], class: &[u8]) {
    let (negated, mut members) = match class {
        [b'!' | b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    loop {
        members = match members {
            [] => break,
            [from, b'-', to, rest @ ..] => {
                (*from..=*to).for_each(|byte| want(wanted, byte));
                rest
            }
            [one, rest @ ..] => {
                want(wanted, *one);
                rest
            }
        };
    }
    if negated {
        wanted.iter_mut().for_each(|wanted| *wanted = !*wanted);
    }
}

fn want(wanted: &mut [bool; SYMBOLS], byte: u8) {
    if let Some(wanted) = symbol(byte).and_then(|symbol| wanted.get_mut(symbol)) {
        *wanted = true;
    }
}

/// How many characters names are made of: letters in upper case, digits, and `_`.
const SYMBOLS: usize = 26 + 10 + 1;

/// A character's number among these.
const fn symbol(byte: u8) -> Option<usize> {
    match byte {
        b'A'..=b'Z' => Some((byte - b'A') as usize),
        b'0'..=b'9' => Some((byte - b'0') as usize + 26),
        b'_' => Some(36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, name: &str) -> bool {
        Glob::parse(glob).unwrap().matches(&SecretName::parse(name).unwrap())
    }

    #[test]
    fn globs_match_what_they_say() {
        for (glob, name) in [
            ("a", "A"),
            ("*", "A"),
            ("**", "A"),
            ("aws_*", "AWS_"),
            ("aws_*", "AWS_KEY"),
            ("*_key", "AWS_KEY"),
            ("*a*a*", "BAAB"),
            ("a?c", "ABC"),
            ("[ab]*", "BX"),
            ("[!ab]*", "CX"),
            ("[^a-c]?", "D1"),
            ("[0-9a-f_]x", "_X"),
            ("*[z-]", "AZ"),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in [
            ("a", "AB"),
            ("ab", "A"),
            ("?", "AB"),
            ("a?", "A"),
            ("*_key", "AWS_KEYS"),
            ("*a*a*", "BAB"),
            ("[ab]", "C"),
            ("[!ab]*", "AX"),
            ("[z-a]", "B"),
            ("[-]", "A"),
        ] {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }

    #[test]
    fn places_at_both_ends_of_the_longest_name_count() {
        let name = format!("{}B", "A".repeat(SecretName::MAX - 1));
        for glob in [&"?".repeat(255), &format!("{}?B", "A".repeat(253)), "*B", "A*B", "*[!A]", "*AB"] {
            assert!(matches(glob, &name), "{glob}");
        }
        for glob in [&"?".repeat(254), "*A", "*[!B]", "*BB"] {
            assert!(!matches(glob, &name), "{glob}");
        }
    }

    #[test]
    fn no_glob_takes_as_long_as_trying_again_would() {
        let name = SecretName::parse(&"A".repeat(SecretName::MAX)).unwrap();
        for glob in [format!("*{}Z", "?".repeat(128)), format!("*{}Z", "[AB]".repeat(60))] {
            let glob = Glob::parse(&glob).unwrap();
            let took = |matches: &dyn Fn() -> bool| {
                let start = Instant::now();
                (0..300).for_each(|_| assert!(!matches()));
                start.elapsed()
            };
            let matcher = glob.matcher();
            let ours = took(&|| matcher.matches(&name));
            let theirs = took(&|| fast_glob::glob_match(glob.as_str(), name.as_str()));
            // It is a hundredth or less.
            assert!(ours < theirs / 2, "{ours:?} {theirs:?}");
        }
    }

    proptest! {
        #[test]
        fn every_glob_is_read_as_another_matcher_reads_it(
            glob in r"([AB_1*?]|\[[!^]?[AB_1]([AB1-]?[AB1])?\]){1,12}",
            name in "[AB_][AB_1]{0,12}",
        ) {
            let read = Glob::parse(&glob).unwrap();
            let found = read.matches(&SecretName::parse(&name).unwrap());
            prop_assert!(!found || name.starts_with(read.beginning()), "{} {}", glob, name);
            prop_assert_eq!(found, fast_glob::glob_match(&glob, &name), "{} {}", glob, name);
        }
    }
}
