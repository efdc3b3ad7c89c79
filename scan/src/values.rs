//! What is looked for: the values in every spelling, and the name of each.

use std::sync::Arc;

use secrets_proto::reveal::RevealedSecret;
use secrets_proto::token::checksum;
use secrets_scrub::{Forms, Masker, is_masked};

/// What a placeholder has behind its prefix, and how many characters its checksum has.
const MARK: &[u8] = b"ssdph";
const CHECKSUM: usize = 6;

/// The longest placeholder is shorter.
const LONGEST_PLACEHOLDER: usize = 256;

/// The values of a vault, prepared. The values themselves are in the forms alone, which wipe them.
#[derive(Debug)]
pub(crate) struct Sought {
    names: Vec<String>,
    pub(crate) forms: Arc<Forms>,
    /// How many are too short to be looked for.
    pub(crate) short: usize,
    /// How many are placeholders of a session, no values.
    pub(crate) placeholders: usize,
    /// Whether all values are ASCII.
    pub(crate) is_ascii: bool,
}

impl Sought {
    /// Prepares to look for these.
    pub(crate) fn new(secrets: &[RevealedSecret]) -> Self {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let (mut short, mut placeholders) = (0, 0);
        for secret in secrets {
            let value = secret.value.expose();
            if is_placeholder(value.as_bytes()) {
                placeholders += 1;
            } else if is_masked(value) {
                names.push(secret.name.to_string());
                values.push(value);
            } else {
                short += 1;
            }
        }
        let is_ascii = values.iter().all(|value| value.is_ascii());
        let forms = Arc::new(Forms::in_files(values));
        Self { names, forms, short, placeholders, is_ascii }
    }

    /// How many are looked for.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of the value at this place.
    pub(crate) fn name(&self, value: usize) -> &str {
        self.names.get(value).map_or("", String::as_str)
    }

    /// The text with a mark in the place of each value.
    pub(crate) fn masked(&self, text: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(text.len());
        Masker::new(&*self.forms).push_last(text, &mut masked);
        masked
    }
}

/// Whether what stands here belongs to a placeholder.
pub(crate) fn is_in_placeholder(text: &[u8], start: usize, end: usize) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    let before = text.get(..start).unwrap_or_default().iter().rev().take(LONGEST_PLACEHOLDER);
    let after = text.get(end..).unwrap_or_default().iter().take(LONGEST_PLACEHOLDER);
    let (before, after) =
        (before.take_while(|byte| is_part(byte)).count(), after.take_while(|byte| is_part(byte)).count());
    text.get(start - before..end + after).is_some_and(is_placeholder)
}

/// Whether a text is a placeholder of a session, by its checksum.
fn is_placeholder(text: &[u8]) -> bool {
    let Some((body, sum)) = text.len().checked_sub(CHECKSUM).map(|at| text.split_at(at)) else {
        return false;
    };
    body.windows(MARK.len()).any(|window| window == MARK) && sum == checksum(body)
}
