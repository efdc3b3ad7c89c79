//! Takes known values out of a stream of output. Bytes go in and bytes come out; it knows no clock, no descriptor and
//! nothing of where the values come from.
//!
//! Every occurrence of every spelling is covered as a whole, those that overlap together; a covered stretch becomes one
//! [`MARK`]. Colours and line ends inside of it are kept, so that a screen stays in order. What may be the beginning of
//! a value is held back until more comes, or until the caller says that it may wait no longer. What was shown because
//! waiting ended is still looked at: the rest of a value that began there is masked.
//!
//! ```
//! use secrets_scrub::{Forms, Masker};
//!
//! let forms = Forms::new(["canary-value"]);
//! let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
//! masker.push(b"password=canary-", &mut out);
//! assert_eq!(out, b"password=");
//! masker.push(b"value\n", &mut out);
//! // In base64 it is the same value.
//! masker.push(b"Y2FuYXJ5LXZhbHVl", &mut out);
//! masker.finish(&mut out);
//! assert_eq!(String::from_utf8(out)?, "password=••••\n••••");
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

mod form;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use form::{Form, Found};

/// What stands in a value's place, whatever the value's length.
pub const MARK: &str = "••••";

/// How many characters a value has at least that is masked: a shorter one would be found where nobody wrote it.
pub const SHORTEST: usize = 8;

/// Whether a value is long enough to be masked: it has [`SHORTEST`] characters or more.
pub fn is_masked(value: &str) -> bool {
    value.chars().nth(SHORTEST - 1).is_some()
}

/// The values to look for, in every spelling that is known: as they are, in base64 (RFC 4648, both alphabets, at any
/// alignment), in hexadecimal, percent-encoded (RFC 3986), as an HTML form's field and inside a JSON string (RFC 8259).
/// Its copies of the values are wiped when it is dropped, and `Debug` shows none.
pub struct Forms {
    forms: Vec<Form>,
    /// Whether a form can begin with this byte.
    firsts: [bool; 256],
    /// For each pair of bytes where its forms begin in `by_pair`, and at the end where the last ones end.
    starts: Vec<u32>,
    by_pair: Vec<u32>,
}

impl Forms {
    /// Prepares to look for these values. One of several lines is also looked for line by line; what
    /// [`is_masked`] denies, value or line, is left out. It takes about a millisecond for a few values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        for value in values {
            texts.push(value);
            texts.extend(value.lines());
        }
        texts.retain(|text| is_masked(text));
        texts.sort_unstable();
        texts.dedup();
        let forms: Vec<Form> = texts.into_iter().flat_map(Form::all).collect();
        let mut firsts = [false; 256];
        let mut pairs: Vec<(u16, u32)> = Vec::new();
        for (index, form) in (0..).zip(&forms) {
            for (first, can_begin) in (0..=u8::MAX).zip(&mut firsts) {
                if form.find(&[first], ignore) == Found::No {
                    continue;
                }
                *can_begin = true;
                let seconds =
                    (0..=u8::MAX).filter(|second| form.find(&[first, *second], ignore) != Found::No);
                pairs.extend(seconds.map(|second| (u16::from_be_bytes([first, second]), index)));
            }
        }
        pairs.sort_unstable();
        let mut starts = Vec::with_capacity(0x1_0001);
        let mut next = 0;
        for pair in 0..=u16::MAX {
            starts.push(next);
            let here = pairs.get(next as usize..).unwrap_or_default();
            next += (0..)
                .zip(here)
                .find(|(_, (other, _))| *other != pair)
                .map_or_else(|| u32::try_from(here.len()).unwrap_or(u32::MAX), |(count, _)| count);
        }
        starts.push(next);
        Self { forms, firsts, starts, by_pair: pairs.into_iter().map(|(_, form)| form).collect() }
    }

    fn may_begin(&self, first: u8) -> bool {
        self.firsts.get(usize::from(first)).is_some_and(|can_begin| *can_begin)
    }

    /// The forms that can begin with this pair.
    fn beginning(&self, first: u8, second: u8) -> &[u32] {
        let pair = usize::from(u16::from_be_bytes([first, second]));
        let start = |pair: usize| self.starts.get(pair).map_or(0, |start| *start as usize);
        self.by_pair.get(start(pair)..start(pair + 1)).unwrap_or_default()
    }
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn ignore(_start: usize, _end: usize) {}

/// One stream of output, from which the values of its [`Forms`] are taken out. What it holds back is bounded by the
/// longest spelling of the longest value, and wiped when it is dropped; `Debug` shows only how much that is.
pub struct Masker<F> {
    forms: F,
    /// What stands in the place of each byte of a value; `None` is a mark for all of it.
    filler: Option<u8>,
    /// What is not yet decided.
    held: Zeroizing<Vec<u8>>,
    /// Which of it belongs to a value.
    covered: Vec<bool>,
    /// How much of it was looked at.
    at: usize,
    /// How much of it was shown before it was decided.
    shown: usize,
    /// Where the value ends that was found last.
    masked: usize,
}

impl<F: Deref<Target = Forms>> Masker<F> {
    /// Begins a stream that is to show none of these values.
    pub fn new(forms: F) -> Self {
        Self {
            forms,
            filler: None,
            held: Zeroizing::default(),
            covered: Vec::new(),
            at: 0,
            shown: 0,
            masked: 0,
        }
    }

    /// Puts this byte in the place of each byte of a value instead of a [`MARK`] for all of it, so that the stream is as long
    /// as it was.
    pub fn keeping_length(self, filler: u8) -> Self {
        Self { filler: Some(filler), ..self }
    }

    /// Takes the next output of the stream, cut anywhere, and adds to `out` what of it can be shown already.
    pub fn push(&mut self, output: &[u8], out: &mut Vec<u8>) {
        self.make_room(output.len());
        self.held.extend_from_slice(output);
        self.covered.resize(self.held.len(), false);
        self.decide(false, out);
    }

    /// How many bytes are held back, because with what comes next they could be a value.
    pub fn holds(&self) -> usize {
        self.held.len() - self.at.max(self.shown)
    }

    /// Adds to `out` what is held back, because it has waited long enough: masked where it is a value already. If the
    /// rest was the beginning of one, what is missing of that is masked when it comes.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        for at in self.at..self.held.len() {
            let _ = self.cover(at, true, out);
            self.show(at, at + 1, out);
        }
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
        self.shown = self.shown.saturating_sub(self.at);
        self.masked = self.masked.saturating_sub(self.at);
        self.at = 0;
        let needed = self.held.len() + more;
        if needed > self.held.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.held);
            self.held = larger;
        }
    }

    fn decide(&mut self, is_all: bool, out: &mut Vec<u8>) {
        while self.at < self.held.len() {
            self.pass_by(out);
            if self.cover(self.at, is_all, out) == Found::Perhaps {
                return;
            }
            self.show(self.at, self.at + 1, out);
            self.at += 1;
        }
    }

    /// Puts a mark in place of the longest form that begins there, unless it lies in what has one.
    fn cover(&mut self, at: usize, is_all: bool, out: &mut Vec<u8>) -> Found {
        let found = self.longest(at, is_all);
        if let Found::To(end) = found {
            if at >= self.masked && self.filler.is_none() {
                out.extend_from_slice(MARK.as_bytes());
            }
            self.masked = self.masked.max(end);
        }
        found
    }

    /// Goes on to where a form could begin, or to the last byte.
    fn pass_by(&mut self, out: &mut Vec<u8>) {
        if self.at < self.masked {
            return;
        }
        let begins = |pair: &[u8]| matches!(pair, [a, b] if !self.forms.beginning(*a, *b).is_empty());
        let mut pairs = self.held.get(self.at..).unwrap_or_default().windows(2);
        let length = pairs.len();
        let to = self.at + pairs.position(begins).unwrap_or(length);
        self.show(self.at, to, out);
        self.at = to;
    }

    /// The longest form that begins there, covered; or whether more is needed to know it.
    fn longest(&mut self, at: usize, is_all: bool) -> Found {
        let text = self.held.get(at..).unwrap_or_default();
        let candidates = match text {
            [] => return Found::No,
            [first] if is_all || !self.forms.may_begin(*first) => return Found::No,
            [_] => return Found::Perhaps,
            [first, second, ..] => self.forms.beginning(*first, *second),
        };
        let mut longest = None;
        for form in candidates.iter().filter_map(|index| self.forms.forms.get(*index as usize)) {
            match form.find(text, ignore) {
                Found::Perhaps if !is_all => return Found::Perhaps,
                Found::To(end) if longest.is_none_or(|(_, to)| to < end) => longest = Some((form, end)),
                Found::No | Found::Perhaps | Found::To(_) => {}
            }
        }
        let Some((form, end)) = longest else { return Found::No };
        let mut gaps = Vec::new();
        form.find(text, |start, stop| gaps.push((start, stop)));
        let mut from = 0;
        for (start, stop) in gaps.into_iter().chain([(end, end)]) {
            if let Some(part) = self.covered.get_mut(at + from..at + start) {
                part.fill(true);
            }
            from = stop;
        }
        Found::To(at + end)
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
        out.extend(bytes.iter().zip(covered).filter_map(
            |(byte, covered)| {
                if *covered { self.filler } else { Some(*byte) }
            },
        ));
    }
}

impl<F: Deref<Target = Forms>> fmt::Debug for Masker<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("holds", &self.holds()).finish_non_exhaustive()
    }
}
