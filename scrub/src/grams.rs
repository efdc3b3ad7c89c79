//! What four characters in a row can be, of those that forms begin with.

use zeroize::Zeroizing;

/// How many characters of a form are known here: as many as every value has.
const KNOWN: usize = 8;

/// Where all values are longer: so that only every eighth place must be looked at.
const KNOWN_OF_LONG: usize = 12;

/// How many are looked at together.
pub(crate) const GRAM: usize = 4;

/// For each hash of four characters whether a form has them among its first that are known.
pub(crate) struct Grams {
    bits: Zeroizing<Vec<u64>>,
    shift: u32,
    /// For each two characters whether a form has them there beside each other.
    pairs: Zeroizing<Vec<u64>>,
    /// For each hash whether it is of four behind the first one in base64, which is not known.
    seconds: Zeroizing<Vec<u64>>,
    /// How many characters of a form are known.
    pub(crate) known: usize,
}

impl Grams {
    /// Takes the values' bytes, each of eight or more.
    pub(crate) fn new(texts: &[&[u8]]) -> Self {
        let is_long = texts.iter().all(|text| text.len() >= KNOWN_OF_LONG);
        let known = if is_long { KNOWN_OF_LONG } else { KNOWN };
        // Some 44 of each value, and one bit in 16 is set at most, except of very many values.
        let bits = (16 * 44 * texts.len()).next_power_of_two().clamp(1 << 13, 1 << 22);
        let bits_of_hash = bits.trailing_zeros();
        let mut grams = Self {
            bits: Zeroizing::new(vec![0; bits / 64]),
            shift: 32 - bits_of_hash,
            pairs: Zeroizing::new(vec![0; (1 << 16) / 64]),
            seconds: Zeroizing::new(vec![0; bits / 64]),
            known,
        };
        for text in texts {
            let Some(first) = text.get(..known) else { continue };
            grams.add(first);
            let mut digits = Zeroizing::new(Vec::with_capacity(known));
            digits.extend(first.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).take(known).map(hexadecimal));
            grams.add(&digits);
            for before in 0..3 {
                grams.add_base64(first, before);
            }
        }
        grams
    }

    fn place(&self, gram: [u8; GRAM]) -> (usize, u32) {
        // Hexadecimal digits have two cases.
        let hash = (u32::from_le_bytes(gram) | 0x2020_2020).wrapping_mul(0x9e37_79b1) >> self.shift;
        ((hash / 64) as usize, hash % 64)
    }

    pub(crate) fn has(&self, gram: [u8; GRAM]) -> bool {
        let (word, bit) = self.place(gram);
        self.bits.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// Whether a form in base64 may have these behind its first character.
    pub(crate) fn is_second(&self, gram: [u8; GRAM]) -> bool {
        let (word, bit) = self.place(gram);
        self.seconds.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// Whether a form may have these beside each other.
    pub(crate) fn has_pair(&self, one: u8, other: u8) -> bool {
        let place = pair(one, other);
        self.pairs.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Whether a form may have anything behind this.
    pub(crate) fn leads_on(&self, one: u8) -> bool {
        let place = pair(one, 0) / 64;
        self.pairs.get(place..place + 4).is_some_and(|row| row.iter().any(|word| *word != 0))
    }

    fn add_pair(&mut self, one: u8, other: u8) {
        let place = pair(one, other);
        if let Some(word) = self.pairs.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn add(&mut self, characters: &[u8]) {
        for four in characters.array_windows::<GRAM>() {
            self.add_gram(*four);
        }
    }

    fn add_gram(&mut self, gram: [u8; GRAM]) {
        for [one, other] in gram.array_windows::<2>() {
            self.add_pair(*one, *other);
        }
        let (word, bit) = self.place(gram);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// The first characters in base64 without the very first, which may hold bits of a neighbour.
    fn add_base64(&mut self, text: &[u8], before: usize) {
        let mut bytes = Zeroizing::new([0; 16]);
        for (slot, byte) in bytes.iter_mut().zip(text) {
            *slot = *byte;
        }
        let bits = u128::from_be_bytes(*bytes);
        // The value begins so many bits after a digit does.
        let skipped = 8 * before % 6;
        for first in 1..=self.known - GRAM {
            let digits: [u8; GRAM] = std::array::from_fn(|at| {
                let [.., digit] =
                    (bits >> (u128::BITS as usize + skipped - 6 * (first + at + 1)) & 0x3f).to_be_bytes();
                digit
            });
            // Each of the last two digits has two characters.
            for choice in 0..1 << GRAM {
                let is_first = |at: usize| choice >> at & 1 == 0;
                let needs = |at: usize| digits.get(at).is_some_and(|digit| *digit >= 62);
                if (0..GRAM).all(|at| is_first(at) || needs(at)) {
                    let gram = std::array::from_fn(|at| base64(digits.get(at).copied(), is_first(at)));
                    self.add_gram(gram);
                    let [second, ..] = gram;
                    if first == 1 {
                        let (word, bit) = self.place(gram);
                        if let Some(word) = self.seconds.get_mut(word) {
                            *word |= 1 << bit;
                        }
                        (0..64).for_each(|digit| {
                            self.add_pair(base64(Some(digit), true), second);
                            self.add_pair(base64(Some(digit), false), second);
                        });
                    }
                }
            }
        }
    }
}

/// Hexadecimal digits have two cases.
fn pair(one: u8, other: u8) -> usize {
    usize::from(u16::from_be_bytes([one | 0x20, other | 0x20]))
}

fn base64(digit: Option<u8>, is_first: bool) -> u8 {
    match digit.unwrap_or_default() {
        digit @ 0..26 => b'A' + digit,
        digit @ 26..52 => b'a' + digit - 26,
        digit @ 52..62 => b'0' + digit - 52,
        62 if is_first => b'+',
        62 => b'-',
        _ if is_first => b'/',
        _ => b'_',
    }
}

fn hexadecimal(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}
