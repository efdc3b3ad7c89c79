//! Whether a glob matches a name, in a time that grows with the glob alone: globs come from callers, who may hold few
//! rights, and are held against many names. A matcher that goes back and tries again takes time for their product.

use crate::{Glob, SecretName};

impl Glob {
    /// Whether it matches this name: `*` is any text, `?` one character, `[…]` one of these or, after `!` or `^`, none of
    /// these.
    pub fn matches(&self, name: &SecretName) -> bool {
        let (mut rest, mut text) = (self.as_str().as_bytes(), name.as_str().as_bytes());
        // Most that do not match differ here.
        while let Some((&first, after)) = rest.split_first()
            && place(first).is_some()
        {
            let Some(text_after) = text.strip_prefix(&[first]) else { return false };
            (rest, text) = (after, text_after);
        }
        match rest {
            [] => text.is_empty(),
            [b'*'] => true,
            _ => matches_rest(rest, text),
        }
    }

    /// What every name begins with that it matches.
    pub fn beginning(&self) -> &str {
        self.as_str().split(['*', '?', '[']).next().unwrap_or_default()
    }
}

/// Reads the glob once, and follows all the places in the text at once where it may stand.
fn matches_rest(mut rest: &[u8], text: &[u8]) -> bool {
    let mut has = [Places::NONE; SYMBOLS];
    for (at, byte) in text.iter().enumerate() {
        if let Some(places) = place(*byte).and_then(|symbol| has.get_mut(symbol)) {
            places.add(at);
        }
    }
    let of = |byte: u8| place(byte).and_then(|symbol| has.get(symbol)).copied().unwrap_or(Places::NONE);
    let inside = Places::below(text.len());
    let mut reached = Places::below(1);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'*' {
            reached = reached.and_later();
            continue;
        }
        let fits = match first {
            b'?' => inside,
            b'[' => {
                let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
                let (class, after) = rest.split_at(end);
                rest = after.get(1..).unwrap_or_default();
                let (negated, members) = match class {
                    [b'!' | b'^', members @ ..] => (true, members),
                    members => (false, members),
                };
                let found = any_of(members, of);
                if negated { inside.without(found) } else { found }
            }
            byte => of(byte),
        };
        reached = reached.and(fits).next();
        if reached == Places::NONE {
            return false;
        }
    }
    reached.has(text.len())
}

/// Where the members of a class stand.
fn any_of(mut members: &[u8], of: impl Fn(u8) -> Places) -> Places {
    let mut found = Places::NONE;
    loop {
        members = match members {
            [] => return found,
            [from, b'-', to, rest @ ..] => {
                found = (*from..=*to).fold(found, |found, byte| found.or(of(byte)));
                rest
            }
            [one, rest @ ..] => {
                found = found.or(of(*one));
                rest
            }
        };
    }
}

/// How many characters names are made of: letters in upper case, digits, and `_`.
const SYMBOLS: usize = 26 + 10 + 1;

/// A character's place among these.
const fn place(byte: u8) -> Option<usize> {
    match byte {
        b'A'..=b'Z' => Some((byte - b'A') as usize),
        b'0'..=b'9' => Some((byte - b'0') as usize + 26),
        b'_' => Some(36),
        _ => None,
    }
}

/// A set of places in a name, and the one after its end: 256, as [`SecretName::MAX`] is 255.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Places {
    low: u128,
    high: u128,
}

impl Places {
    const NONE: Self = Self { low: 0, high: 0 };

    /// The places before this one.
    fn below(end: usize) -> Self {
        let ones = |count: usize| if count >= 128 { u128::MAX } else { (1_u128 << count) - 1 };
        Self { low: ones(end), high: ones(end.saturating_sub(128)) }
    }

    const fn add(&mut self, at: usize) {
        if at < 128 { self.low |= 1 << at } else { self.high |= 1 << (at & 127) }
    }

    const fn has(self, at: usize) -> bool {
        let half = if at < 128 { self.low } else { self.high };
        half >> (at & 127) & 1 == 1
    }

    const fn and(self, other: Self) -> Self {
        Self { low: self.low & other.low, high: self.high & other.high }
    }

    const fn or(self, other: Self) -> Self {
        Self { low: self.low | other.low, high: self.high | other.high }
    }

    const fn without(self, other: Self) -> Self {
        Self { low: self.low & !other.low, high: self.high & !other.high }
    }

    /// Each place's next.
    const fn next(self) -> Self {
        Self { low: self.low << 1, high: self.high << 1 | self.low >> 127 }
    }

    /// With all that come after the first.
    const fn and_later(self) -> Self {
        let low = self.low | self.low.wrapping_neg();
        let high = if self.low == 0 { self.high | self.high.wrapping_neg() } else { u128::MAX };
        Self { low, high }
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
            let ours = took(&|| glob.matches(&name));
            let theirs = took(&|| fast_glob::glob_match(glob.as_str(), name.as_str()));
            // It is a tenth to a hundredth.
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
