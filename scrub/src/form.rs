//! How a value can be spelled in a program's output, and whether a text begins with one of these spellings. A form
//! compares what it reads with the value, instead of listing spellings: each character of JSON or of a URL can be
//! written in several ways, and all mixtures of them are the same value.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::gaps::Gaps;
use crate::read::{self, Between, Read, base64_digit, hex_digit};

/// A value in one way of writing it.
pub(crate) struct Form {
    value: Arc<Zeroizing<String>>,
    spelling: Spelling,
    /// What may stand between its characters.
    between: Between,
    gaps: Gaps,
}

/// The ways of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// The text as it is.
    Plain,
    /// Percent-encoded (RFC 3986), or as a form's field, where `+` is a space.
    Url,
    /// Percent-encoded, and all of that once more: `%252F`.
    Twice,
    /// Inside a JSON string (RFC 8259), with any of its escapes.
    Json,
    /// In HTML, with character references: by number, or by the names of the signs in ASCII.
    Html,
    /// Base64 in either alphabet (RFC 4648), the value beginning so many bytes after a multiple of three. Where a
    /// character holds bits of a neighbour, only ours are compared.
    Base64(usize),
    /// Hexadecimal in either case, with or without the separators of dumps.
    Hex,
}

/// Those in which characters stand for themselves, or are written by an escape.
pub(crate) const AS_TEXT: [Spelling; 5] =
    [Spelling::Plain, Spelling::Url, Spelling::Twice, Spelling::Json, Spelling::Html];

const SPELLINGS: [Spelling; 9] = [
    Spelling::Plain,
    Spelling::Url,
    Spelling::Twice,
    Spelling::Json,
    Spelling::Html,
    Spelling::Base64(0),
    Spelling::Base64(1),
    Spelling::Base64(2),
    Spelling::Hex,
];

/// What an escape stands for, in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meant {
    bytes: [u8; 4],
    length: usize,
}

impl Meant {
    fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }

    fn character(c: char) -> Self {
        let mut bytes = [0; 4];
        let length = c.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What a text means in this way of writing, if it begins with the sign of its escapes.
pub(crate) fn escape(spelling: Spelling, text: &[u8]) -> Option<Read<Meant>> {
    match (spelling, text.first()) {
        (Spelling::Url, Some(b'%')) => Some(read::percent(text).map(Meant::byte)),
        (Spelling::Twice, Some(b'%')) => Some(read::percent_twice(text).map(Meant::byte)),
        (Spelling::Json, Some(b'\\')) => Some(read::escape(text).map(Meant::character)),
        (Spelling::Html, Some(b'&')) => Some(read::reference(text).map(Meant::character)),
        _ => None,
    }
}

/// Whether a text begins with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
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
    /// All forms of a value, in the order that [`Form::place`] tells.
    pub(crate) fn all(value: &str, gaps: Gaps) -> impl Iterator<Item = Self> {
        let is_figures = value.bytes().all(|byte| byte.is_ascii_digit());
        let value = Arc::new(Zeroizing::new(value.to_owned()));
        SPELLINGS.into_iter().map(move |spelling| {
            let between = if spelling == Spelling::Hex {
                Between::HexDigits
            } else if is_figures && AS_TEXT.contains(&spelling) {
                Between::Figures
            } else {
                Between::Characters
            };
            Self { value: Arc::clone(&value), spelling, between, gaps }
        })
    }

    /// Where a form is among those of all values.
    pub(crate) fn place(value: usize, spelling: Spelling) -> usize {
        let place = SPELLINGS.iter().position(|other| *other == spelling).unwrap_or_default();
        value * SPELLINGS.len() + place
    }

    /// The value that the form at this place is of, by its place.
    pub(crate) const fn value_of(place: usize) -> usize {
        place / SPELLINGS.len()
    }

    pub(crate) const fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// Whether line ends between its characters hide it.
    pub(crate) fn is_figures(&self) -> bool {
        self.between == Between::Figures
    }

    /// Whether the text begins with it. `gap` gets the range of each gap inside that matters to a screen.
    pub(crate) fn find(&self, text: &[u8], mut gap: impl FnMut(usize, usize)) -> Begin {
        let units = self.units();
        let (mut at, mut unit, mut gap_start) = (0, 0, 0);
        while unit < units {
            let rest = text.get(at..).unwrap_or_default();
            match self.piece(unit, rest) {
                Piece::Same(bytes, same) => {
                    if text.get(gap_start..at).is_some_and(matters) {
                        gap(gap_start, at);
                    }
                    at += bytes;
                    unit += same;
                    gap_start = at;
                }
                Piece::Cut => return Begin::Perhaps,
                Piece::Other if unit == 0 => return Begin::No,
                Piece::Other if let Some(bytes) = self.fold(unit, rest) => {
                    at += bytes;
                    unit += 1;
                    gap_start = at;
                }
                Piece::Other => match self.gaps.read(self.between, rest) {
                    Read::Is(bytes, ()) if at + bytes - gap_start <= self.gaps.most() => at += bytes,
                    Read::Cut if text.len() - gap_start <= self.gaps.most() => return Begin::Perhaps,
                    Read::Is(..) | Read::Cut | Read::Other => return Begin::No,
                },
            }
        }
        Begin::To(at)
    }

    /// A line end in the place of a space. Between two of them no text is folded, and trying it would take without end.
    fn fold(&self, unit: usize, rest: &[u8]) -> Option<usize> {
        let is_text = matches!(self.spelling, Spelling::Plain | Spelling::Json);
        let is_beside = unit.checked_sub(1).and_then(|before| self.byte(before)) == Some(b' ');
        if is_text && !is_beside && self.byte(unit) == Some(b' ') { self.gaps.fold(rest) } else { None }
    }

    /// How many steps it takes to compare all of the value.
    fn units(&self) -> usize {
        match self.spelling {
            Spelling::Plain | Spelling::Url | Spelling::Twice | Spelling::Json | Spelling::Html => {
                self.value.len()
            }
            Spelling::Hex => 2 * self.value.len(),
            Spelling::Base64(before) => (8 * (before + self.value.len())).div_ceil(6) - 8 * before / 6,
        }
    }

    fn piece(&self, unit: usize, rest: &[u8]) -> Piece {
        let Some(first) = rest.first().copied() else { return Piece::Cut };
        let same = |is: bool| if is { Piece::Same(1, 1) } else { Piece::Other };
        match self.spelling {
            Spelling::Plain => same(self.byte(unit) == Some(first)),
            Spelling::Url => self.url(unit, first, rest, read::percent),
            Spelling::Twice => self.url(unit, first, rest, read::percent_twice),
            Spelling::Json if first == b'\\' => self.character(unit, read::escape(rest)),
            Spelling::Html if first == b'&' => match self.character(unit, read::reference(rest)) {
                // It may stand for itself.
                Piece::Other => same(self.byte(unit) == Some(first)),
                piece @ (Piece::Cut | Piece::Same(..)) => piece,
            },
            Spelling::Json | Spelling::Html => same(self.byte(unit) == Some(first)),
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

    fn url(&self, unit: usize, first: u8, rest: &[u8], percent: fn(&[u8]) -> Read<u8>) -> Piece {
        let wanted = self.byte(unit);
        if first != b'%' {
            let is = wanted == Some(first) || first == b'+' && wanted == Some(b' ');
            return if is { Piece::Same(1, 1) } else { Piece::Other };
        }
        match percent(rest) {
            Read::Is(bytes, byte) if wanted == Some(byte) => Piece::Same(bytes, 1),
            // What a form's field has for a space was encoded once more.
            Read::Is(bytes, b'+') if wanted == Some(b' ') && self.spelling == Spelling::Twice => {
                Piece::Same(bytes, 1)
            }
            Read::Cut => Piece::Cut,
            Read::Is(..) | Read::Other => Piece::Other,
        }
    }

    /// An escape that stands for a character.
    fn character(&self, unit: usize, escape: Read<char>) -> Piece {
        // In the middle of a character there is no escape.
        let wanted = self.value.get(unit..).and_then(|value| value.chars().next());
        match escape {
            Read::Is(bytes, c) if wanted == Some(c) => Piece::Same(bytes, c.len_utf8()),
            Read::Cut if wanted.is_some() => Piece::Cut,
            Read::Is(..) | Read::Cut | Read::Other => Piece::Other,
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
}

/// Whether a screen would be in disorder without this gap.
pub(crate) fn matters(gap: &[u8]) -> bool {
    gap.contains(&0x1b) || gap.contains(&b'\n')
}
