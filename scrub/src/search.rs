//! Tells where values are in a text, for those who look for them in files.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

use crate::finder::{Finder, Kept};
use crate::form::{Form, Spelling};
use crate::forms::Forms;

/// Lines of one value that follow each other within so many bytes are told once.
const NEAR: usize = 256;

/// So many bytes more than a part are far.
const FAR: usize = 16;

/// How a value is written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As it is.
    Clear,
    /// Percent-encoded (RFC 3986), once or twice.
    Url,
    /// With the escapes of a JSON string (RFC 8259).
    Json,
    /// With character references of HTML.
    Html,
    /// In base64, in either alphabet (RFC 4648).
    Base64,
    /// In hexadecimal.
    Hex,
}

impl Written {
    /// A word for it: `clear`, `url`, `json`, `html`, `base64`, `hex`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Url => "url",
            Self::Json => "json",
            Self::Html => "html",
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }
}

/// A value in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where it begins and ends in the text.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// Which value, by its place among those that the [`Forms`] were prepared for.
    pub value: usize,
    /// Whether it is not all of the value: one of its lines, or of the strings of its JSON.
    pub is_part: bool,
    /// How it is written.
    pub written: Written,
}

/// Looks for the values of its [`Forms`] in one text after the other. What it keeps is room and numbers, no text.
pub struct Search<F> {
    forms: F,
    kept: Kept,
    /// For each value that was found where that ended.
    told: HashMap<usize, usize>,
}

impl<F: Deref<Target = Forms> + Clone> Search<F> {
    /// Looks for these.
    pub fn new(forms: F) -> Self {
        Self { forms, kept: Kept::default(), told: HashMap::new() }
    }

    /// Begins another text.
    pub fn begin(&mut self) {
        self.told.clear();
    }

    /// Tells what begins in the next piece of a text, in order; of each value all that does not lie in what was told of it
    /// already. Gives how much of the piece is done with: the rest may be the beginning of a value, and has to be in
    /// front of what comes next. `is_all` says that nothing comes next.
    pub fn look(&mut self, text: &[u8], is_all: bool, mut tell: impl FnMut(Found)) -> usize {
        let forms = self.forms.clone();
        let mut finder = Finder::new(&forms, std::mem::take(&mut self.kept));
        let (mut at, mut far) = (0, 0);
        let end = loop {
            let part = if far > FAR && at < text.len() {
                Some((at, (at + far).min(text.len()) - 1))
            } else {
                forms.filter.next(text, at, is_all)
            };
            let Some((first, last)) = part else { break text.len() };
            far = finder.find(text, first, last, is_all) - last;
            let undecided = finder.undecided;
            at = undecided.unwrap_or(last + 1);
            finder.found.sort_unstable_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end), hit.form));
            for hit in finder.found.iter().take_while(|hit| hit.start < at) {
                let Some(form) = forms.forms.get(hit.form) else { continue };
                for owner in forms.owners_of(hit.form) {
                    let found = Found {
                        start: hit.start,
                        end: hit.end,
                        value: owner.value,
                        is_part: owner.is_part,
                        written: written(form),
                    };
                    if self.is_new(&found) {
                        tell(found);
                    }
                }
            }
            if undecided.is_some() {
                break at;
            }
        };
        self.kept = finder.keep();
        self.told.retain(|_, told| {
            let is_near = *told + NEAR > end;
            *told = told.saturating_sub(end);
            is_near
        });
        end
    }

    fn is_new(&mut self, found: &Found) -> bool {
        let told = self.told.get(&found.value).copied();
        let reach = if found.is_part { NEAR } else { 0 };
        let is_new =
            told.is_none_or(|told| found.end > told && (!found.is_part || found.start > told + reach));
        self.told.insert(found.value, found.end.max(told.unwrap_or_default()));
        is_new
    }
}

impl<F> fmt::Debug for Search<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

const fn written(form: &Form) -> Written {
    match form.spelling() {
        Spelling::Plain => Written::Clear,
        Spelling::Url | Spelling::Twice => Written::Url,
        Spelling::Json => Written::Json,
        Spelling::Html => Written::Html,
        Spelling::Base64(_) => Written::Base64,
        Spelling::Hex => Written::Hex,
    }
}
