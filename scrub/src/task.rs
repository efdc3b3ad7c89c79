//! What is to be looked for where, and what was found.

use crate::form::Spelling;
use crate::read::Between;

/// An occurrence of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) by: By,
    /// Which form, by its place, at least as far as what the values are.
    pub(crate) form: usize,
}

/// How it was found, and so what in it is a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The text as it is, character by character.
    Text,
    /// In digits, with such gaps between them.
    Digits(Between),
    /// By the form itself.
    Form,
}

/// A text, and which part of it matters.
#[derive(Clone, Copy)]
pub(crate) struct Task<'t> {
    pub(crate) text: &'t [u8],
    /// Whether there will be no more of it.
    pub(crate) is_all: bool,
    /// The first and the last place where what is looked for begins.
    pub(crate) from: usize,
    pub(crate) until: usize,
}

impl<'t> Task<'t> {
    pub(crate) fn rest(&self, at: usize) -> &'t [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// What begins inside of something that was read as a whole.
    pub(crate) fn inside(self, start: usize, length: usize) -> Option<Self> {
        let (from, until) = (start + 1, self.until.min(start + length - 1));
        (from <= until).then_some(Self { from, until, ..self })
    }
}

/// A beginning that is followed by itself.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) spelling: Spelling,
    pub(crate) start: usize,
    pub(crate) node: u32,
    pub(crate) at: usize,
    /// Where its last character ended.
    pub(crate) after: usize,
}
