//! What was found in a text: which value, how it is written, in which line and column.

use memchr::memchr_iter;
use secrets_scrub::Found;

/// So many are told of one text; the others are counted.
const MOST: usize = 1_000;

/// A value in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The line, from 1.
    pub(crate) line: u64,
    /// The column in bytes, in UTF-16 in units, from 1.
    pub(crate) column: u64,
    /// Which value.
    pub(crate) value: usize,
    /// How it is written.
    pub(crate) form: &'static str,
    /// Whether it is one of its lines, or of its strings.
    pub(crate) is_part: bool,
    /// Whether the text is in UTF-16.
    pub(crate) is_wide: bool,
    /// Where it begins in the text, in bytes.
    pub(crate) offset: u64,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    pub(crate) hits: Vec<Hit>,
    /// How many are not among them.
    pub(crate) more: u64,
}

impl Hits {
    pub(crate) fn push(&mut self, hit: Hit) {
        // The same value, seen from a byte beside it.
        let is_again = |other: &Hit| {
            other.value == hit.value && other.is_wide && hit.is_wide && other.offset.abs_diff(hit.offset) <= 1
        };
        if self.hits.iter().rev().take(4).any(is_again) {
            return;
        }
        if self.hits.len() < MOST {
            self.hits.push(hit);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }
}

pub(crate) fn hit(found: &Found, line: u64, column: u64, offset: u64, is_wide: bool) -> Hit {
    let Found { value, is_part, written, .. } = *found;
    Hit { line, column, value, form: written.as_str(), is_part, is_wide, offset }
}

/// Which line a place is in. Counted where something was found, and for what is left behind.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// How many lines have ended before `counted`.
    ended: u64,
    /// How far it was counted in the piece.
    counted: usize,
    /// How far before the piece, or behind its beginning, the line begins that is counted.
    line_start: i64,
}

impl Lines {
    /// The line and the column of a place in the piece, from 1.
    pub(crate) fn at(&mut self, piece: &[u8], place: usize) -> (u64, u64) {
        self.count(piece, place);
        let column = i64::try_from(place).unwrap_or(i64::MAX) - self.line_start;
        (self.ended + 1, column.unsigned_abs() + 1)
    }

    /// Where in the piece the line begins that was told last; nothing if that was before the piece.
    pub(crate) fn start(&self) -> Option<usize> {
        usize::try_from(self.line_start).ok()
    }

    /// So much of the piece is left behind.
    pub(crate) fn leave(&mut self, piece: &[u8], done: usize) {
        self.count(piece, done);
        self.counted -= done.min(self.counted);
        self.line_start -= i64::try_from(done).unwrap_or(i64::MAX);
    }

    fn count(&mut self, piece: &[u8], to: usize) {
        let from = self.counted;
        for at in memchr_iter(b'\n', piece.get(from..to).unwrap_or_default()) {
            self.ended += 1;
            self.line_start = i64::try_from(from + at + 1).unwrap_or(i64::MAX);
        }
        self.counted = self.counted.max(to);
    }
}
