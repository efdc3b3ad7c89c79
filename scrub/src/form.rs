//! How a value can be spelled in a program's output, and whether a text begins with one of these spellings. A form
//! compares what it reads with the value, instead of listing spellings: each character of JSON or of a URL can be
//! written in several ways, and all mixtures of them are the same value.

use std::sync::Arc;

use zeroize::Zeroizing;

/// A value in one way of writing it.
pub(crate) struct Form {
    value: Arc<Zeroizing<String>>,
    spelling: Spelling,
}

/// The ways of writing.
#[derive(Clone, Copy)]
enum Spelling {
    /// As it is.
    Plain,
    /// Percent-encoded (RFC 3986), or as a form's field, where `+` is a space.
    Url,
    /// Inside a JSON string (RFC 8259), with any of its escapes.
    Json,
    /// Base64 in either alphabet (RFC 4648), the value beginning so many bytes after a multiple of three. Where a
    /// character holds bits of a neighbour, only ours are compared.
    Base64(usize),
    /// Hexadecimal in either case, with or without the separators of dumps.
    Hex,
}

const SPELLINGS: [Spelling; 7] = [
    Spelling::Plain,
    Spelling::Url,
    Spelling::Json,
    Spelling::Base64(0),
    Spelling::Base64(1),
    Spelling::Base64(2),
    Spelling::Hex,
];

/// Between two characters of a value may stand what wraps lines and what sets colours, and so many bytes of it.
const GAP_MAX: usize = 32;

/// Whether a text begins with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    No,
    /// The text may begin with the value; it ends too early to tell.
    Perhaps,
    /// The text begins with the value, which ends there.
    To(usize),
}

/// The next piece of a spelling.
enum Piece {
    Other,
    Cut,
    /// So many bytes of text are so many units of the value.
    Same(usize, usize),
}

impl Form {
    /// All forms of a value.
    pub(crate) fn all(value: &str) -> impl Iterator<Item = Self> {
        let value = Arc::new(Zeroizing::new(value.to_owned()));
        SPELLINGS.into_iter().map(move |spelling| Self { value: Arc::clone(&value), spelling })
    }

    /// Whether the text begins with it. `gap` gets the range of each gap inside that matters to a screen.
    pub(crate) fn find(&self, text: &[u8], mut gap: impl FnMut(usize, usize)) -> Found {
        let units = self.units();
        let (mut at, mut unit, mut gap_start) = (0, 0, 0);
        while unit < units {
            let rest = text.get(at..).unwrap_or_default();
            match self.piece(unit, rest) {
                Piece::Same(bytes, same) => {
                    if text.get(gap_start..at).is_some_and(|gap| gap.contains(&0x1b) || gap.contains(&b'\n'))
                    {
                        gap(gap_start, at);
                    }
                    at += bytes;
                    unit += same;
                    gap_start = at;
                }
                Piece::Cut => return Found::Perhaps,
                Piece::Other if unit == 0 => return Found::No,
                Piece::Other => match self.gap(rest) {
                    Piece::Same(bytes, _) if at + bytes - gap_start <= GAP_MAX => at += bytes,
                    Piece::Cut if text.len() - gap_start <= GAP_MAX => return Found::Perhaps,
                    Piece::Same(..) | Piece::Cut | Piece::Other => return Found::No,
                },
            }
        }
        Found::To(at)
    }

    /// How many steps it takes to compare all of the value.
    fn units(&self) -> usize {
        match self.spelling {
            Spelling::Plain | Spelling::Url | Spelling::Json => self.value.len(),
            Spelling::Hex => 2 * self.value.len(),
            Spelling::Base64(before) => (8 * (before + self.value.len())).div_ceil(6) - 8 * before / 6,
        }
    }

    fn piece(&self, unit: usize, rest: &[u8]) -> Piece {
        let Some(first) = rest.first().copied() else { return Piece::Cut };
        let same = |is: bool| if is { Piece::Same(1, 1) } else { Piece::Other };
        match self.spelling {
            Spelling::Plain => same(self.byte(unit) == Some(first)),
            Spelling::Url => self.url(unit, first, rest),
            Spelling::Json if first == b'\\' => self.escape(unit, rest),
            Spelling::Json => same(self.byte(unit) == Some(first)),
            Spelling::Base64(before) => {
                let (bits, ours) = self.sextet(unit, before);
                same(base64_digit(first).is_some_and(|digit| digit & ours == bits))
            }
            Spelling::Hex => {
                let shift = if unit.is_multiple_of(2) { 4 } else { 0 };
                let wanted = self.byte(unit / 2).map(|byte| byte >> shift & 0xf);
                same(hex_digit(first).is_some_and(|digit| Some(digit) == wanted))
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.value.as_bytes().get(at).copied()
    }

    fn url(&self, unit: usize, first: u8, rest: &[u8]) -> Piece {
        let wanted = self.byte(unit);
        if first != b'%' {
            let is = wanted == Some(first) || first == b'+' && wanted == Some(b' ');
            return if is { Piece::Same(1, 1) } else { Piece::Other };
        }
        match hex_number(rest.get(1..).unwrap_or_default(), 2) {
            Number::Is(number) if wanted.map(u32::from) == Some(number) => Piece::Same(3, 1),
            Number::Cut => Piece::Cut,
            Number::Is(_) | Number::Not => Piece::Other,
        }
    }

    /// An escape of JSON, which begins with a backslash.
    fn escape(&self, unit: usize, rest: &[u8]) -> Piece {
        // In the middle of a character there is no escape.
        let Some(wanted) = self.value.get(unit..).and_then(|value| value.chars().next()) else {
            return Piece::Other;
        };
        let short = |c: char| if c == wanted { Piece::Same(2, 1) } else { Piece::Other };
        match rest.get(1) {
            None => Piece::Cut,
            Some(b'u') => escaped_units(wanted, rest),
            Some(b'n') => short('\n'),
            Some(b'r') => short('\r'),
            Some(b't') => short('\t'),
            Some(b'b') => short('\u{8}'),
            Some(b'f') => short('\u{c}'),
            Some(other) => short(char::from(*other)),
        }
    }

    /// The bits of one character of base64, and which of them belong to the value.
    fn sextet(&self, unit: usize, before: usize) -> (u8, u8) {
        let start = 6 * (unit + 8 * before / 6);
        (start..start + 6).fold((0, 0), |(bits, ours), bit| {
            let byte = (bit / 8).checked_sub(before).and_then(|at| self.byte(at));
            let value = byte.map_or(0, |byte| byte >> (7 - bit % 8) & 1);
            (bits << 1 | value, ours << 1 | u8::from(byte.is_some()))
        })
    }

    /// What may stand between two characters and is none.
    fn gap(&self, rest: &[u8]) -> Piece {
        match rest {
            [] | [0x1b] => Piece::Cut,
            [b'\r' | b'\n', ..] => Piece::Same(1, 0),
            // At the right edge readline writes a space and goes back, to make the terminal wrap.
            [b' '] => Piece::Cut,
            [b' ', b'\r', ..] => Piece::Same(2, 0),
            [b' ' | b':', ..] if matches!(self.spelling, Spelling::Hex) => Piece::Same(1, 0),
            [0x1b, b'[', sequence @ ..] => control_sequence(sequence),
            _ => Piece::Other,
        }
    }
}

/// The rest of a control sequence, ECMA-48 section 5.4: parameters, intermediates, a final byte.
fn control_sequence(rest: &[u8]) -> Piece {
    match rest.iter().position(|byte| !(0x20..=0x3f).contains(byte)) {
        None => Piece::Cut,
        Some(end) if matches!(rest.get(end), Some(0x40..=0x7e)) => Piece::Same(end + 3, 0),
        Some(_) => Piece::Other,
    }
}

/// `\uXXXX`, twice for what UTF-16 needs two units for.
fn escaped_units(wanted: char, rest: &[u8]) -> Piece {
    let mut at = 0;
    for unit in wanted.encode_utf16(&mut [0; 2]) {
        let escape = rest.get(at..).unwrap_or_default();
        match escape {
            [] | [b'\\'] => return Piece::Cut,
            [b'\\', b'u', ..] => {}
            _ => return Piece::Other,
        }
        match hex_number(escape.get(2..).unwrap_or_default(), 4) {
            Number::Is(number) if number == u32::from(*unit) => at += 6,
            Number::Cut => return Piece::Cut,
            Number::Is(_) | Number::Not => return Piece::Other,
        }
    }
    Piece::Same(at, wanted.len_utf8())
}

enum Number {
    Is(u32),
    Cut,
    Not,
}

fn hex_number(text: &[u8], digits: usize) -> Number {
    let mut number = 0;
    for at in 0..digits {
        match text.get(at).map(|byte| hex_digit(*byte)) {
            None => return Number::Cut,
            Some(None) => return Number::Not,
            Some(Some(digit)) => number = number << 4 | u32::from(digit),
        }
    }
    Number::Is(number)
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

const fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
