//! Placeholders: what a program gets in place of a value that it may use and not see. One looks like a value of its
//! provider, because clients look at how a key begins and how long it is, and holds nothing of the value beyond that.

use secrets_proto::token::{ALPHABET, checksum};

use crate::crypto::{self, token};

/// Stands behind the prefix: what finds placeholders in a request looks for it. The checksum at the end tells one of a
/// session that has ended from chance.
const MARK: &str = "ssdph";

/// How many characters the checksum has.
const CHECKSUM: usize = 6;

/// The fewest random characters beside a mark: 16 of 62 are 95 bits.
const RANDOM: usize = 16;

/// The characters of AWS's ids, RFC 4648's base 32.
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The lengths of placeholders for values of no known length.
const CLASSES: [usize; 5] = [40, 48, 64, 96, 128];

/// How values of well-known providers begin, and how long they are where that is the same for all; 0 is not. What is
/// beginning of another stands behind it.
const FORMATS: [(&str, usize); 31] = [
    ("AIza", 39),
    ("AKIA", 20),
    ("ASIA", 20),
    ("dop_v1_", 71),
    ("gho_", 40),
    ("ghp_", 40),
    ("ghr_", 0),
    ("ghs_", 40),
    ("ghu_", 40),
    ("github_pat_", 93),
    ("glpat-", 26),
    ("gsk_", 56),
    ("hf_", 37),
    ("npm_", 40),
    ("pplx-", 0),
    ("pypi-", 0),
    ("r8_", 40),
    ("rk_live_", 0),
    ("rk_test_", 0),
    ("sk-ant-", 108),
    ("sk-or-v1-", 73),
    ("sk-proj-", 0),
    ("sk-svcacct-", 0),
    ("sk-", 0),
    ("sk_live_", 0),
    ("sk_test_", 0),
    ("tml-", 0),
    ("xai-", 84),
    ("xapp-", 0),
    ("xoxb-", 0),
    ("xoxp-", 0),
];

/// A new placeholder for this value.
pub(in crate::vault) fn placeholder(value: &str) -> Result<String, crypto::Error> {
    let known = FORMATS.iter().find(|(prefix, _)| value.starts_with(prefix));
    let (prefix, length) = known.copied().unwrap_or(("", 0));
    let length = if length == 0 {
        let [.., longest] = CLASSES;
        CLASSES.into_iter().find(|class| *class >= value.len()).unwrap_or(longest)
    } else {
        length
    };
    let mut text = String::with_capacity(length);
    text.push_str(prefix);
    let alphabet = if length == 20 { BASE32 } else { ALPHABET };
    if length < prefix.len() + MARK.len() + RANDOM + CHECKSUM {
        // Too short for a mark: random throughout, 80 bits at least.
        token::extend(&mut text, length, alphabet)?;
        return Ok(text);
    }
    text.push_str(MARK);
    token::extend(&mut text, length - CHECKSUM, alphabet)?;
    let sum = checksum(text.as_bytes());
    text.extend(sum.map(char::from));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_placeholder_looks_like_a_value_of_its_provider() {
        for (prefix, length) in FORMATS {
            let value = format!("{prefix}{}", "=".repeat(40));
            let made = placeholder(&value).unwrap();
            assert!(made.starts_with(prefix), "{prefix}");
            assert_eq!(made.len(), if length == 0 { 64.min(made.len()) } else { length }, "{prefix}");
            let rest = &made[prefix.len()..];
            assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{prefix}");
            if let Some(random) = rest.strip_prefix(MARK) {
                assert!(random.len() >= RANDOM + CHECKSUM, "{prefix}");
                let (body, sum) = made.split_at(made.len() - CHECKSUM);
                assert_eq!(sum.as_bytes(), checksum(body.as_bytes()), "{prefix}");
            } else {
                // 5 bits a character of AWS's, 5.9 of others.
                assert!(rest.len() >= if length == 20 { 16 } else { 14 }, "{prefix}");
            }
        }
        let before = |(at, (prefix, _)): (usize, &(&str, usize))| {
            FORMATS.iter().take(at).all(|(earlier, _)| !prefix.starts_with(earlier))
        };
        assert!(FORMATS.iter().enumerate().all(before), "a format is never found");
    }

    #[test]
    fn a_placeholder_tells_a_class_of_lengths_and_no_byte_more() {
        for (length, class) in [(1, 40), (40, 40), (41, 48), (64, 64), (65, 96), (129, 128), (60_000, 128)] {
            let value = "~".repeat(length);
            let made = placeholder(&value).unwrap();
            assert_eq!(made.len(), class);
            assert!(made.starts_with(MARK) && !made.contains('~'));
        }
        let many: HashSet<String> = (0..1_000).map(|_| placeholder("sk-x").unwrap()).collect();
        assert_eq!(many.len(), 1_000);
    }
}
