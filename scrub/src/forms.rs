//! The values to look for, prepared.

use std::fmt;

use crate::filter::Filter;
use crate::form::Form;
use crate::trie::Trie;

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
    /// Those of each text, one text after the other.
    pub(crate) forms: Vec<Form>,
    pub(crate) trie: Trie,
    pub(crate) filter: Filter,
}

impl Forms {
    /// Prepares to look for these values. One of several lines is also looked for line by line; what
    /// [`is_masked`] denies, value or line, is left out. It takes time and memory in proportion to the values' length.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        for value in values {
            texts.push(value);
            texts.extend(value.lines());
        }
        texts.retain(|text| is_masked(text));
        texts.sort_unstable();
        texts.dedup();
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        Self {
            trie: Trie::new(&bytes),
            filter: Filter::new(&bytes),
            forms: texts.into_iter().flat_map(Form::all).collect(),
        }
    }
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
