//! One stream on its way: what of it is decided, what is held back, and what takes a value's place.

use std::cmp::Reverse;
use std::ops::Deref;
use std::{fmt, mem};

use zeroize::Zeroizing;

use crate::finder::{Finder, Kept};
use crate::form::matters;
use crate::forms::Forms;
use crate::read::{self, Between, GAP_MAX, Read};
use crate::task::{By, Hit};

/// What stands in a value's place, whatever the value's length.
pub const MARK: &str = "••••";

/// What stands in the place of each byte of a value that its mask does not reach.
const FILLER: u8 = b'*';

/// As much is looked at where a value may begin, before what comes then is passed over again.
const NEAR: usize = 128;

/// So many bytes more than a part are far.
const FAR: usize = 16;

/// One stream of output, from which the values of its [`Forms`] are taken out. What it holds back is bounded by the
/// longest spelling of the longest value, and wiped when it is dropped; `Debug` shows only how much that is.
pub struct Masker<F> {
    forms: F,
    /// What stands in the place of a value, byte for byte; `None` is a mark for all of it.
    mask: Option<Vec<u8>>,
    pub(crate) kept: Kept,
    /// What is not yet decided.
    pub(crate) held: Zeroizing<Vec<u8>>,
    /// What stands in the place of what belongs to a value; 0 for what does not.
    covered: Vec<u8>,
    /// How much of it was looked at.
    at: usize,
    /// How much of it was shown before it was decided.
    shown: usize,
    /// Where the value ends that was found last.
    masked: usize,
    /// From where to where all is covered that was found in the same way.
    done: [(usize, usize); 3],
}

impl<F: Deref<Target = Forms> + Clone> Masker<F> {
    /// Begins a stream that is to show none of these values.
    pub fn new(forms: F) -> Self {
        Self {
            forms,
            mask: None,
            kept: Kept::default(),
            held: Zeroizing::default(),
            covered: Vec::new(),
            at: 0,
            shown: 0,
            masked: 0,
            done: [(0, 0); 3],
        }
    }

    /// Puts this text in the place of a value instead of a [`MARK`], cut to the value's length or followed by as many `*`, so
    /// that the stream is as long as it was.
    pub fn keeping_length(self, mask: &str) -> Self {
        Self { mask: Some(mask.as_bytes().to_vec()), ..self }
    }

    /// Takes the next output of the stream, cut anywhere, and adds to `out` what of it can be shown already.
    pub fn push(&mut self, output: &[u8], out: &mut Vec<u8>) {
        let mut rest = output;
        while !rest.is_empty() {
            if self.held.is_empty() {
                // What no value begins in is not copied to where it would be held.
                let first = self.forms.filter.next(rest, 0, false).map_or(rest.len(), |(first, _)| first);
                let (shown, more) = rest.split_at(first);
                out.extend_from_slice(shown);
                rest = more;
            }
            let (near, far) = rest.split_at(rest.len().min(NEAR));
            self.hold(near);
            self.decide(false, out);
            let left = self.held.len() - self.at;
            if left > near.len() / 2 || self.at < self.masked.max(self.shown) {
                // It takes more to decide: all there is.
                self.hold(far);
                return self.decide(false, out);
            }
            if far.is_empty() {
                return;
            }
            // What is left is still there.
            rest = rest.get(near.len() - left..).unwrap_or_default();
            self.held.clear();
            self.covered.clear();
            (self.at, self.shown, self.masked, self.done) = (0, 0, 0, Default::default());
        }
    }

    /// Takes the last output of the stream, and adds to `out` all that is left, masked where it is a value. Where a text is
    /// there as a whole this is less work than [`push`](Self::push) and [`finish`](Self::finish).
    pub fn push_last(&mut self, output: &[u8], out: &mut Vec<u8>) {
        self.hold(output);
        self.decide(true, out);
    }

    /// Whether the last output of the stream can be shown as it is: nothing before it is held back or may go on in it, and no
    /// value may be in it. It is not taken.
    pub fn passes_last(&self, output: &[u8]) -> bool {
        self.held.is_empty() && !self.forms.may_be_in(output)
    }

    fn hold(&mut self, output: &[u8]) {
        self.make_room(output.len());
        self.held.extend_from_slice(output);
        self.covered.resize(self.held.len(), 0);
    }

    /// How many bytes are held back, because with what comes next they could be a value.
    pub fn holds(&self) -> usize {
        self.held.len() - self.at.max(self.shown)
    }

    /// Adds to `out` what is held back, because it has waited long enough: masked where it is a value already. If the
    /// rest was the beginning of one, what is missing of that is masked when it comes.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        self.look(true, out);
        self.shown = self.held.len();
    }

    /// Ends the stream: adds to `out` what is held back, masked where it is a value after all.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.decide(true, out);
    }

    /// Grows without leaving a copy behind, and forgets what is decided.
    fn make_room(&mut self, more: usize) {
        self.held.drain(..self.at);
        self.covered.drain(..self.at);
        let done = self.done.iter_mut().flat_map(|(from, to)| [from, to]);
        for place in done.chain([&mut self.shown, &mut self.masked]) {
            *place = place.saturating_sub(self.at);
        }
        self.at = 0;
        let needed = self.held.len() + more;
        if needed > self.held.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.held);
            self.held = larger;
        }
    }

    fn decide(&mut self, is_all: bool, out: &mut Vec<u8>) {
        self.at = self.look(is_all, out);
    }

    /// Shows what is not yet decided, values masked. Gives how far it is decided then.
    fn look(&mut self, is_all: bool, out: &mut Vec<u8>) -> usize {
        let forms = self.forms.clone();
        let mut finder = Finder::new(&forms, mem::take(&mut self.kept));
        let end = self.look_with(&mut finder, is_all, out);
        self.kept = finder.keep();
        end
    }

    fn look_with(&mut self, finder: &mut Finder<'_>, is_all: bool, out: &mut Vec<u8>) -> usize {
        let mut at = self.at;
        let mut far = 0;
        while let Some((first, last)) = self.part(at, far, is_all) {
            self.show(at, first, out);
            far = finder.find(&self.held, first, last, is_all) - last;
            let stop = finder.undecided.unwrap_or(last + 1);
            at = self.mask(&mut finder.found, first, stop, out);
            if finder.undecided.is_some() {
                return at;
            }
        }
        self.show(at, self.held.len(), out);
        self.held.len()
    }

    /// The next part in which a value may begin: the first and the last place. Who had to look far sees to as much at
    /// once, so that nothing is read again and again.
    fn part(&self, from: usize, far: usize, is_all: bool) -> Option<(usize, usize)> {
        if far > FAR && from < self.held.len() {
            return Some((from, (from + far).min(self.held.len()) - 1));
        }
        self.forms.filter.next(&self.held, from, is_all)
    }

    /// Shows this part, with marks for what was found to begin in it. Gives its end.
    fn mask(&mut self, hits: &mut Vec<Hit>, from: usize, to: usize, out: &mut Vec<u8>) -> usize {
        hits.sort_unstable_by_key(|hit| (hit.start, Reverse((hit.end, hit.form))));
        // The longest of those that begin together.
        hits.dedup_by_key(|hit| hit.start);
        let mut at = from;
        for hit in hits.iter().take_while(|hit| hit.start < to) {
            self.show(at, hit.start, out);
            self.cover(*hit, out);
            at = hit.start;
        }
        self.show(at, to, out);
        to
    }

    /// Puts a mark in place of a value, unless it begins in what has one.
    fn cover(&mut self, hit: Hit, out: &mut Vec<u8>) {
        if hit.start >= self.masked && self.mask.is_none() {
            out.extend_from_slice(MARK.as_bytes());
        }
        self.masked = self.masked.max(hit.end);
        let text = self.held.get(..hit.end).unwrap_or_default();
        let (mut from, mut gaps) = (hit.start, Vec::new());
        let kind = match hit.by {
            By::Form => {
                let form = self.forms.forms.get(hit.form);
                let rest = text.get(hit.start..).unwrap_or_default();
                form.map(|form| {
                    form.find(rest, |start, end| gaps.push((hit.start + start, hit.start + end)))
                });
                None
            }
            By::Text => Some((0, None)),
            By::Digits(Between::HexDigits) => Some((1, Some(Between::HexDigits))),
            By::Digits(between) => Some((2, Some(between))),
        };
        if let Some((kind, between)) = kind
            && let Some(done) = self.done.get_mut(kind)
        {
            gaps_of(text, hit.start, *done, between, &mut gaps);
            let (from, to) = *done;
            let goes_on = from <= hit.start && hit.start <= to;
            *done = if goes_on { (from, to.max(hit.end)) } else { (hit.start, hit.end) };
        }
        let mut mask = self.mask.iter().flatten().copied().chain(std::iter::repeat(FILLER));
        for (start, end) in gaps.into_iter().chain([(hit.end, hit.end)]) {
            for byte in self.covered.get_mut(from..start).unwrap_or_default() {
                let mask = mask.next().unwrap_or(FILLER);
                // What another value has covered stays so.
                if *byte == 0 {
                    *byte = mask;
                }
            }
            from = end;
        }
    }

    /// Shows this part, without what belongs to a value and what was shown before.
    fn show(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let from = from.max(self.shown);
        let bytes = self.held.get(from..to).unwrap_or_default();
        if from >= self.masked {
            out.extend_from_slice(bytes);
            return;
        }
        let covered = self.covered.get(from..to).unwrap_or_default();
        let is_marked = self.mask.is_none();
        let shown = |(byte, covered): (&u8, &u8)| match *covered {
            0 => Some(*byte),
            _ if is_marked => None,
            covered => Some(covered),
        };
        out.extend(bytes.iter().zip(covered).filter_map(shown));
    }
}

/// What of a value that begins here is not to be covered: gaps that matter to a screen, and the part that is `done`,
/// by others of its kind, except near its beginning, which may be in the middle of what they read as a gap. A space is a
/// gap only between digits.
fn gaps_of(
    text: &[u8],
    from: usize,
    done: (usize, usize),
    between: Option<Between>,
    gaps: &mut Vec<(usize, usize)>,
) {
    let (mut at, mut start) = (from, from);
    while let Some(first) = text.get(at) {
        if at == start && at > from + GAP_MAX && (done.0..done.1).contains(&at) {
            gaps.push((at, done.1));
            (at, start) = (done.1, done.1);
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let can_be = between.is_some() || *first != b' ';
        match read::gap(between.unwrap_or(Between::Characters), rest) {
            Read::Is(length, ()) if can_be => at += length,
            Read::Is(..) | Read::Cut | Read::Other => {
                if text.get(start..at).is_some_and(matters) {
                    gaps.push((start, at));
                }
                at += 1;
                start = at;
            }
        }
    }
}

impl<F: Deref<Target = Forms> + Clone> fmt::Debug for Masker<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("holds", &self.holds()).finish_non_exhaustive()
    }
}
