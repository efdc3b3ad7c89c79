//! What is looked for in answers: the values that a request carried.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use memchr::memmem::Finder;
use secrets_scrub::{Forms, Masker, is_masked};
use zeroize::Zeroizing;

/// Values in all their spellings. `Debug` shows none, and what is kept is wiped.
pub(crate) struct Sought {
    /// The spellings in text.
    forms: Arc<Forms>,
    /// Those that a header's name can have, which is in lower case whatever the host has sent.
    in_names: Vec<InName>,
    /// What the program has in place of the value, so that it finds what it has sent. Empty if there is more than one.
    mask: String,
}

impl Sought {
    /// Prepares to look for these values. It takes time in proportion to their length.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a str> + Clone) -> Self {
        let in_names = values.clone().filter(|value| is_masked(value)).flat_map(in_lower_case);
        let in_names = in_names.map(|spelling| InName::new(&spelling)).collect();
        Self { forms: Arc::new(Forms::new(values)), in_names, mask: String::new() }
    }

    /// Puts this in the place of the value instead of stars alone: cut to its length, or with stars behind it.
    pub(crate) fn shown_as(self, mask: String) -> Self {
        Self { mask, ..self }
    }

    /// Takes the values out of a text, whose length stays.
    pub(crate) fn masker(&self) -> Masker<Arc<Forms>> {
        Masker::new(self.forms.clone()).keeping_length(&self.mask)
    }

    /// Whether a value may be in a text. No is certain, yes is a guess.
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        self.forms.may_be_in(text)
    }

    /// Whether a header's name holds a value, or one of several names with a zero between them.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        let mut masked = Vec::new();
        if self.may_be_in(name.as_bytes()) {
            Masker::new(&*self.forms).push_last(name.as_bytes(), &mut masked);
            if masked != name.as_bytes() {
                return true;
            }
        }
        let plain = if name.contains('+') { Cow::Owned(name.replace('+', "-")) } else { Cow::Borrowed(name) };
        self.in_names.iter().any(|spelling| spelling.is_in(&plain))
    }
}

/// A spelling, and what finds it, which is prepared once. The allocator wipes it.
struct InName(Finder<'static>);

impl InName {
    fn new(spelling: &str) -> Self {
        Self(Finder::new(spelling).into_owned())
    }

    fn is_in(&self, name: &str) -> bool {
        self.0.find(name.as_bytes()).is_some()
    }
}

/// A value as it is and in base64, of which only what no neighbour has a part in.
fn in_lower_case(value: &str) -> Vec<Zeroizing<String>> {
    let mut all = vec![Zeroizing::new(value.replace('+', "-").to_ascii_lowercase())];
    for before in 0..3 {
        let bytes = Zeroizing::new([vec![0; before], value.as_bytes().to_vec()].concat());
        let text = Zeroizing::new(BASE64URL_NOPAD.encode(&bytes));
        let (from, to) = ((8 * before).div_ceil(6), 8 * bytes.len() / 6);
        all.extend(text.get(from..to).map(|own| Zeroizing::new(own.to_ascii_lowercase())));
    }
    all
}

impl fmt::Debug for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
