//! Passes over text in which no form can begin, a few bytes at a time. Every form has eight characters or more. So
//! there are four in a row, of the first eight, at one of the places that are looked at; or there is a gap or an escape
//! among the eight, and then the characters around the first of these tell. Where every form has twelve, half as many
//! places will do. What may be a form is told with some to spare; what is passed over is none for sure.
//!
//! - [`block`]: which bytes are more than a character as it is
//! - [`onward`]: whether a form may go on over a gap or an escape

mod block;
mod onward;

use crate::gaps::{self, BEFORE_LINE_END, Gaps};
use crate::grams::GRAM;

use block::{BLOCK, Marks};
use onward::{Onward, is_digit};

/// The beginnings of all forms, as far as they are needed to see that none is there.
pub(crate) struct Filter {
    onward: Onward,
    gaps: Gaps,
    /// How far before what is found a form may begin.
    reach: usize,
}

impl Filter {
    /// Takes the values' bytes, each of eight or more.
    pub(crate) fn new(texts: &[&[u8]], gaps: Gaps) -> Self {
        let onward = Onward::new(texts, gaps);
        let before = if gaps == Gaps::Files { BEFORE_LINE_END } else { 0 };
        Self { reach: onward.grams.known + before, onward, gaps }
    }

    /// The first and the last place of the next part of the text in which a form may begin. If it is all of the text, none
    /// begins at its end.
    pub(crate) fn next(&self, text: &[u8], from: usize, is_all: bool) -> Option<(usize, usize)> {
        // At so many places one after the other a form has four in a row that are known.
        if self.onward.grams.known >= 8 + GRAM {
            self.next_by::<8>(text, from, is_all)
        } else {
            self.next_by::<4>(text, from, is_all)
        }
    }

    /// The same; four in a row are looked at in every so manyth place.
    fn next_by<const STEP: usize>(&self, text: &[u8], from: usize, is_all: bool) -> Option<(usize, usize)> {
        let known = self.onward.grams.known;
        let mut at = from;
        while at < text.len() {
            let rest = text.get(at..).unwrap_or_default();
            let last;
            let block = match rest.first_chunk::<BLOCK>() {
                Some(block) => block,
                None => {
                    last = filled_up(rest);
                    &last
                }
            };
            let odd = self.odd(text, at, block, rest.len());
            let gram = block.as_chunks::<STEP>().0.iter().zip((at..).step_by(STEP)).find_map(|(step, at)| {
                let four = step.first_chunk::<GRAM>()?;
                (self.onward.grams.has(*four) && self.may_begin(text, at)).then_some(at)
            });
            match (odd, gram) {
                (Some(odd), gram) if gram.is_none_or(|gram| odd < gram) => {
                    return Some((from.max(self.earliest(text, odd)), odd));
                }
                (_, Some(gram)) => return Some((from.max(gram.saturating_sub(known - GRAM)), gram)),
                (_, None) => at += BLOCK,
            }
        }
        if is_all {
            return None;
        }
        // What is too short to tell.
        let last = text.len().checked_sub(1).filter(|last| from <= *last)?;
        Some((from.max(text.len().saturating_sub(self.reach)), last))
    }

    /// The first gap or escape in a block over which a form may go on. The text ends behind `length` bytes from there.
    fn odd(&self, text: &[u8], at: usize, block: &[u8; BLOCK], length: usize) -> Option<usize> {
        let before = at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or_default();
        let marks = Marks::of(block, self.onward.is_plus_a_space);
        let mut bits = marks.odd(before, length, self.onward.is_each_looked_at());
        while bits != 0 {
            let odd = at + bits.trailing_zeros() as usize;
            if self.onward.may_go_on(text, odd) {
                return Some(odd);
            }
            bits &= bits - 1;
        }
        None
    }

    /// Where a form may begin that has its first gap or escape there.
    fn earliest(&self, text: &[u8], at: usize) -> usize {
        let is_line_end = matches!(text.get(at), Some(b'\n' | b'\r'));
        let start = if self.gaps == Gaps::Files && is_line_end { gaps::begin_of_join(text, at) } else { at };
        start.saturating_sub(self.onward.grams.known)
    }

    /// Whether four in a row that were found belong to eight in a row, or seven in base64.
    fn may_begin(&self, text: &[u8], at: usize) -> bool {
        let is_one = |at: &usize| {
            text.get(*at..)
                .and_then(|rest| rest.first_chunk())
                .is_some_and(|four| self.onward.grams.has(*four))
        };
        let after = (at + 1..at + GRAM).take_while(is_one).count();
        let before = (at.saturating_sub(GRAM - 1)..at).rev().take_while(is_one).count();
        before + 1 + after >= GRAM
    }
}

/// A block of what is left of a text, and zeros.
fn filled_up(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (slot, byte) in block.iter_mut().zip(rest) {
        *slot = *byte;
    }
    block
}
