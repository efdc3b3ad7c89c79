//! Looks through one text after the other, in pieces, so that memory does not grow with a text.

use std::io::{self, Read};
use std::sync::Arc;

use memchr::memchr;
use secrets_scrub::{Forms, Found, Search};

use crate::hits::{Hits, Lines, hit};
use crate::values::{Sought, is_in_placeholder};
use crate::wide::Wide;

/// How much is looked at together. It grows only where the beginning of a value is longer.
const PIECE: usize = 256 << 10;

/// Room to look through texts.
pub(crate) struct Scanner {
    search: Search<Arc<Forms>>,
    wide: Wide,
    buffer: Vec<u8>,
}

impl Scanner {
    pub(crate) fn new(sought: &Sought) -> Self {
        Self {
            search: Search::new(Arc::clone(&sought.forms)),
            wide: Wide::new(sought),
            buffer: vec![0; PIECE],
        }
    }

    /// All that is found in a text that is read to its end.
    pub(crate) fn hits(&mut self, text: &mut impl Read) -> io::Result<Hits> {
        let mut hits = Hits::default();
        self.search.begin();
        self.wide.begin();
        let mut lines = Lines::default();
        let (mut held, mut is_all, mut offset) = (0, false, 0);
        while !is_all {
            if held == self.buffer.len() {
                self.buffer.resize(2 * held, 0);
            }
            let mut end = held;
            while !is_all && end < self.buffer.len() {
                match text.read(self.buffer.get_mut(end..).unwrap_or_default()) {
                    Ok(0) => is_all = true,
                    Ok(read) => end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let piece = self.buffer.get(..end).unwrap_or_default();
            let fresh = piece.get(held..).unwrap_or_default();
            let done = self.search.look(piece, is_all, |found| {
                if !is_in_placeholder(piece, found.start, found.end) {
                    let (line, column) = lines.at(piece, found.start);
                    hits.push(hit(&found, line, column, offset + found.start as u64, false));
                }
            });
            // Text in UTF-16 has zeros: its line ends and blanks, and all that is ASCII.
            if self.wide.is_on() || memchr(0, fresh).is_some() {
                self.wide.look(fresh, offset + held as u64, is_all, &mut hits);
            }
            if !is_all {
                lines.leave(piece, done);
            }
            self.buffer.copy_within(done..end, 0);
            held = end - done;
            offset += done as u64;
        }
        Ok(hits)
    }

    /// All that is found in a short text.
    pub(crate) fn hits_in(&mut self, mut text: &[u8]) -> Hits {
        // Memory cannot fail to be read.
        self.hits(&mut text).unwrap_or_default()
    }

    /// All that ends after this place of a short text, in clear: what a path adds to that of its directory.
    pub(crate) fn found_after(&mut self, text: &[u8], from: usize, mut tell: impl FnMut(Found)) {
        self.search.begin();
        self.search.look(text, true, |found| {
            if found.end > from {
                tell(found);
            }
        });
    }
}
