//! The values to look for, prepared.

use std::fmt;

use zeroize::Zeroizing;

use crate::filter::Filter;
use crate::form::Form;
use crate::gaps::Gaps;
use crate::parts;
use crate::trie::Trie;

/// The values to look for, in every spelling that is known: as they are, in base64 (RFC 4648, both alphabets, at any
/// alignment), in hexadecimal, percent-encoded (RFC 3986) once or twice, as a form's field, inside a JSON string (RFC 8259),
/// and in HTML with character references, by number or, of signs in ASCII, by name. One spelling within another, such as
/// base64 that is percent-encoded, is not among them, but for what stays as it is then.
/// Its copies of the values are wiped when it is dropped, and `Debug` shows none.
pub struct Forms {
    /// The forms of each text, one text after the other.
    pub(crate) forms: Vec<Form>,
    pub(crate) trie: Trie,
    pub(crate) filter: Filter,
    pub(crate) gaps: Gaps,
    /// Whose each text is.
    owners: Vec<Vec<Owner>>,
}

/// A value that a text is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// By its place.
    pub(crate) value: usize,
    /// Whether the text is not all of it.
    pub(crate) is_part: bool,
}

impl Forms {
    /// Prepares to look for these values, and for what of them a program may print alone: of JSON the strings, of
    /// other text in several lines each line, or what it holds if it names that (`name: value`, `name=value`). Lines
    /// that only frame a key (PEM) are left out, and so is what [`is_masked`](crate::is_masked) denies. It takes time
    /// and memory in proportion to the values' length.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::prepared(values, Gaps::Screen)
    }

    /// Prepares as [`Self::new`] does, to look for the values in files: there they may also be broken over lines as people
    /// and formatters do it, by indentation, a backslash, or the end of one string and the beginning of the next.
    pub fn in_files<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::prepared(values, Gaps::Files)
    }

    fn prepared<'a>(values: impl IntoIterator<Item = &'a str>, gaps: Gaps) -> Self {
        let mut texts = Vec::new();
        for (value, whole) in values.into_iter().enumerate() {
            let owned = |text: Zeroizing<String>| (Owner { value, is_part: text.as_str() != whole }, text);
            texts.extend(parts::texts(whole).into_iter().map(owned));
        }
        texts.sort_unstable_by(|(_, one), (_, other)| one.as_str().cmp(other));
        let mut owners: Vec<Vec<Owner>> = Vec::new();
        for (at, (owner, text)) in texts.iter().enumerate() {
            let is_again = at
                .checked_sub(1)
                .and_then(|before| texts.get(before))
                .is_some_and(|(_, before)| before == text);
            match owners.last_mut().filter(|_| is_again) {
                Some(owners) if owners.contains(owner) => {}
                Some(owners) => owners.push(*owner),
                None => owners.push(vec![*owner]),
            }
        }
        texts.dedup_by(|(_, one), (_, other)| one == other);
        let bytes: Vec<&[u8]> = texts.iter().map(|(_, text)| text.as_bytes()).collect();
        Self {
            trie: Trie::new(&bytes),
            filter: Filter::new(&bytes, gaps),
            forms: texts.iter().flat_map(|(_, text)| Form::all(text, gaps)).collect(),
            gaps,
            owners,
        }
    }

    /// Whether a value may be in a text that is there as a whole. No is certain, yes is a guess; it is less work than to
    /// mask the text.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.filter.next(text, 0, true).is_some()
    }

    /// Whose the form at this place is.
    pub(crate) fn owners_of(&self, form: usize) -> impl Iterator<Item = Owner> {
        self.owners.get(Form::value_of(form)).into_iter().flatten().copied()
    }
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
