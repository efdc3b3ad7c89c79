//! Passes over text in which no form can begin, a few bytes at a time. Every form has eight characters or more. So
//! there are four in a row, of the first eight, at one of the places that are looked at; or there is a gap or an escape
//! among the eight, and then the characters around the first of these tell. Where every form has twelve, half as many
//! places will do. What may be a form is told with some to spare; what is passed over is none for sure.
//!
//! - [`onward`]: whether a form may go on over a gap or an escape

mod onward;

use crate::gaps::{self, BEFORE_LINE_END, Gaps};
use crate::grams::GRAM;

use onward::{Onward, is_digit};

/// How many bytes are passed over at a time where they are nothing but characters.
const BLOCK: usize = 16;

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
            // What is left in the end is in the last block of the text, of which the beginning was looked at already.
            let here = at.min(text.len().saturating_sub(BLOCK));
            let block = text.get(here..).and_then(|rest| rest.first_chunk::<BLOCK>());
            let Some(block) = block.filter(|_| from <= here) else { break };
            let mut odd = self.more_than_characters(text, here, block).map(|index| here + index);
            let odd = odd.find(|at| self.onward.may_go_on(text, *at));
            let steps = block.as_chunks::<STEP>().0;
            let gram = steps.iter().enumerate().find_map(|(index, step)| {
                let four = step.first_chunk::<GRAM>()?;
                (self.onward.grams.has(*four) && self.may_begin(text, here + STEP * index))
                    .then_some(here + STEP * index)
            });
            match (odd, gram) {
                (Some(odd), gram) if gram.is_none_or(|gram| odd < gram) => {
                    return Some((from.max(self.earliest(text, odd)), odd));
                }
                (_, Some(gram)) => return Some((from.max(gram.saturating_sub(known - GRAM)), gram)),
                (_, None) => at = here + BLOCK,
            }
        }
        let rest = text.get(at..).unwrap_or_default();
        for four in rest.as_chunks::<GRAM>().0 {
            if let Some(at) = (at..at + GRAM).find(|at| self.onward.may_go_on(text, *at)) {
                return Some((from.max(self.earliest(text, at)), at));
            }
            if self.onward.grams.has(*four) && self.may_begin(text, at) {
                return Some((from.max(at.saturating_sub(known - GRAM)), at));
            }
            at += GRAM;
        }
        if let Some(at) = (at..text.len()).find(|at| self.onward.may_go_on(text, *at)) {
            return Some((from.max(self.earliest(text, at)), at));
        }
        if is_all {
            return None;
        }
        // What is too short to tell.
        let last = text.len().checked_sub(1).filter(|last| from <= *last)?;
        Some((from.max(text.len().saturating_sub(self.reach)), last))
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

    /// What in a block may be other than a character as it is: all of it at once, for the speed.
    fn more_than_characters(
        &self,
        text: &[u8],
        at: usize,
        block: &[u8; BLOCK],
    ) -> impl Iterator<Item = usize> + use<> {
        let beside = |at: usize| text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>());
        let mut odd = [0; BLOCK];
        let (first, last);
        let before = match at.checked_sub(1).and_then(beside) {
            Some(before) => before,
            None => {
                first = shifted(block, -1);
                &first
            }
        };
        let after = match beside(at + 1) {
            Some(after) => after,
            None => {
                last = shifted(block, 1);
                &last
            }
        };
        for (((odd, byte), before), after) in odd.iter_mut().zip(block).zip(before).zip(after) {
            let is_escape = (*byte == b'%')
                | (*byte == b'\\')
                | (*byte == b'&')
                | (*byte == b'+') & self.onward.is_plus_a_space;
            let is_gap = |byte: u8| (byte == b'\n') | (byte == b'\r') | (byte == 0x1b);
            // Of a gap the first byte tells.
            let is_gap = is_gap(*byte) & (!is_gap(*before) | self.onward.is_each_looked_at());
            let is_separator = (*byte == b' ') | (*byte == b':');
            let may_be_dump = is_digit(*before) & (is_digit(*after) | (*after <= b' ') | (*after == b':'));
            *odd = u8::from(is_escape | is_gap | is_separator & may_be_dump);
        }
        let mut bits = u128::from_le_bytes(odd);
        std::iter::from_fn(move || {
            let next = bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
            (next < u128::BITS).then_some(next as usize / 8)
        })
    }
}

/// The bytes that are beside those of a block, so far behind each; zero where the text ends.
fn shifted(block: &[u8; BLOCK], by: isize) -> [u8; BLOCK] {
    std::array::from_fn(|at| {
        at.checked_add_signed(by).and_then(|at| block.get(at)).copied().unwrap_or_default()
    })
}
