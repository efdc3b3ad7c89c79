//! The values to look for, prepared.

use std::fmt;

use zeroize::Zeroizing;

use crate::filter::Filter;
use crate::form::Form;
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
}

impl Forms {
    /// Prepares to look for these values, and for what of them a program may print alone: of JSON the strings, of
    /// other text in several lines each line, or what it holds if it names that (`name: value`, `name=value`). Lines
    /// that only frame a key (PEM) are left out, and so is what [`is_masked`](crate::is_masked) denies. It takes time
    /// and memory in proportion to the values' length.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts: Vec<Zeroizing<String>> = values.into_iter().flat_map(parts::texts).collect();
        texts.sort_unstable_by(|one, other| one.as_str().cmp(other));
        texts.dedup_by(|one, other| one == other);
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        Self {
            trie: Trie::new(&bytes),
            filter: Filter::new(&bytes),
            forms: texts.iter().flat_map(|text| Form::all(text)).collect(),
        }
    }

    /// Whether a value may be in a text that is there as a whole. No is certain, yes is a guess; it is less work than to
    /// mask the text.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.filter.next(text, 0, true).is_some()
    }
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
