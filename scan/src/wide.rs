//! Text in UTF-16: which byte comes first, and whether text begins at an even place, is tried in all ways. So it needs no
//! mark at its beginning, and may be in the middle of something else.

use std::sync::Arc;

use secrets_scrub::{Forms, Search};

use crate::hits::{Hits, Lines, hit};
use crate::values::{Sought, is_in_placeholder};

/// Stands for what is no character, or none that a value has.
const NONE: u8 = 0xff;

/// The ways of reading a text.
pub(crate) struct Wide {
    ways: Vec<Way>,
    is_on: bool,
}

impl Wide {
    pub(crate) fn new(sought: &Sought) -> Self {
        let mut ways = Vec::new();
        for (is_big, parity) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            // ASCII with the larger byte first is, read from the next byte on, ASCII with the smaller one first.
            if !(is_big && sought.is_ascii) {
                ways.push(Way {
                    search: Search::new(Arc::clone(&sought.forms)),
                    is_ascii: sought.is_ascii,
                    is_big,
                    parity,
                    odd: None,
                    is_skipping: false,
                    high: None,
                    text: Vec::new(),
                    start: 0,
                    lines: Lines::default(),
                    left: 0,
                    has_mark: false,
                });
            }
        }
        Self { ways, is_on: false }
    }

    /// Begins another text.
    pub(crate) fn begin(&mut self) {
        self.is_on = false;
    }

    /// Whether there were zeros in the text.
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Looks at the next bytes of a text, which are there in it.
    pub(crate) fn look(&mut self, bytes: &[u8], offset: u64, is_all: bool, hits: &mut Hits) {
        let is_first = !self.is_on;
        self.is_on = true;
        for way in &mut self.ways {
            if is_first {
                way.begin(bytes, offset);
            }
            way.look(bytes, is_all, hits);
        }
    }
}

/// A way of reading a text as UTF-16.
struct Way {
    search: Search<Arc<Forms>>,
    /// Whether what is not ASCII is nothing.
    is_ascii: bool,
    is_big: bool,
    /// Whether units begin at even or at odd places.
    parity: u64,
    /// The first byte of a unit.
    odd: Option<u8>,
    /// Whether the next byte belongs to no unit.
    is_skipping: bool,
    /// The first unit of a pair.
    high: Option<u16>,
    /// What was read and is not done with, in UTF-8.
    text: Vec<u8>,
    /// Where it begins.
    start: u64,
    lines: Lines,
    /// How many units of its last line are done with.
    left: u64,
    /// Whether the text begins with a byte order mark.
    has_mark: bool,
}

impl Way {
    fn begin(&mut self, bytes: &[u8], offset: u64) {
        self.search.begin();
        self.text.clear();
        (self.odd, self.high, self.lines, self.left) = (None, None, Lines::default(), 0);
        self.has_mark = offset == 0 && matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        self.is_skipping = offset % 2 != self.parity;
        self.start = offset + u64::from(self.is_skipping);
    }

    fn look(&mut self, bytes: &[u8], is_all: bool, hits: &mut Hits) {
        let skipped = usize::from(self.is_skipping && !bytes.is_empty());
        self.is_skipping &= bytes.is_empty();
        self.read(bytes.get(skipped..).unwrap_or_default());
        if is_all && let Some(last) = self.odd.take() {
            // What is cut off is zero in ASCII.
            self.unit(if self.is_big { [0, last] } else { [last, 0] });
        }
        let (text, lines, start, mark) = (&self.text, &mut self.lines, self.start, u64::from(self.has_mark));
        let left = self.left;
        let done = self.search.look(text, is_all, |found| {
            if !is_in_placeholder(text, found.start, found.end) {
                let (line, _) = lines.at(text, found.start);
                let before = text.get(lines.start().unwrap_or_default()..found.start).unwrap_or_default();
                let column = units(before) + if lines.start().is_none() { left } else { 0 };
                let column = if line == 1 { column - mark.min(column) } else { column } + 1;
                let offset = start + 2 * units(text.get(..found.start).unwrap_or_default());
                hits.push(hit(&found, line, column, offset, true));
            }
        });
        self.lines.at(text, done);
        let of_line = self.lines.start().map_or(0..done, |start| start..done);
        let of_line = units(text.get(of_line).unwrap_or_default());
        self.left = if self.lines.start().is_none() { self.left + of_line } else { of_line };
        self.lines.leave(text, done);
        self.start += 2 * units(self.text.get(..done).unwrap_or_default());
        self.text.drain(..done);
    }

    fn read(&mut self, bytes: &[u8]) {
        let (first, bytes) = match (self.odd, bytes) {
            (Some(first), [second, rest @ ..]) => (Some([first, *second]), rest),
            _ => (None, bytes),
        };
        let (whole, rest) = bytes.as_chunks::<2>();
        if let Some(first) = first {
            self.odd = None;
            self.unit(first);
        }
        if self.is_ascii {
            self.text.extend(whole.iter().map(|[low, high]| if *high == 0 { *low } else { NONE }));
        } else {
            self.text.reserve(2 * whole.len());
            whole.iter().for_each(|unit| self.unit(*unit));
        }
        if let [odd] = rest {
            self.odd = Some(*odd);
        }
    }

    /// One unit, as its bytes follow each other.
    fn unit(&mut self, bytes: [u8; 2]) {
        let unit = if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        if self.is_ascii {
            self.text.push(u8::try_from(unit).unwrap_or(NONE));
            return;
        }
        let mut add = |character: char| {
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        };
        let high = self.high.take();
        match (high, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                // Both are halves of a pair.
                char::decode_utf16([high, unit]).flatten().for_each(add);
                return;
            }
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                return;
            }
            _ => {}
        }
        if high.is_some() {
            add(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            unit => add(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
}

/// How many units of UTF-16 a text in UTF-8 has; what is none counts as one a byte.
fn units(text: &[u8]) -> u64 {
    let begins = text.iter().filter(|byte| !matches!(**byte, 0x80..=0xbf)).count();
    let pairs = text.iter().filter(|byte| matches!(**byte, 0xf0..=0xf4)).count();
    (begins + pairs) as u64
}
