//! What people are shown of a value that they may not see: its mask, and roughly how long it is. The mask is the
//! daemon's; what it cannot tell well is told in words here.

use std::borrow::Cow;

use secrets_proto::SecretValue;
use secrets_proto::secret::SizeClass;

/// The mask of what begins with `-----BEGIN`.
const PEM: &str = "-----B•";

/// A mask for eyes. That of a PEM file, whose beginning and end are the same for all, says what it is.
pub(crate) fn shown(mask: &str, size: Option<SizeClass>) -> Cow<'_, str> {
    if !mask.starts_with(PEM) {
        return Cow::Borrowed(mask);
    }
    Cow::Owned(size.map_or("PEM".to_owned(), |size| format!("PEM, {}", in_words(size))))
}

/// A size class in words.
pub(crate) const fn in_words(size: SizeClass) -> &'static str {
    match size {
        SizeClass::Small => "up to 1 KiB",
        SizeClass::Medium => "up to 8 KiB",
        SizeClass::Large => "up to 64 KiB",
    }
}

/// How long a value is, so roughly that it helps no guess: enough to see that half of it is missing, or that something
/// else was pasted. Below 24 characters it is what the mask tells anyway.
pub(crate) fn length(value: &SecretValue) -> String {
    let (characters, bytes) = (value.expose().chars().count(), value.expose().len());
    match characters {
        0..=11 => "fewer than 12 characters".to_owned(),
        12..=23 => "12 to 23 characters".to_owned(),
        24..=31 => "24 to 31 characters".to_owned(),
        32..=1_023 => {
            let least = 1_usize << characters.ilog2();
            format!("{least} to {} characters", least * 2 - 1)
        }
        _ => in_words(SizeClass::of(bytes as u64)).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_file_is_called_one_and_nothing_else_is() {
        assert_eq!(shown("-----B••••--\u{fffd}", Some(SizeClass::Medium)), "PEM, up to 8 KiB");
        assert_eq!(shown("-----B••••---", None), "PEM");
        assert_eq!(shown("-----A••••---", None), "-----A••••---");
        assert_eq!(shown("sk-pro••••789", Some(SizeClass::Small)), "sk-pro••••789");
    }

    #[test]
    fn the_length_is_told_in_classes() {
        for (length, class) in [
            (1, "fewer than 12 characters"),
            (11, "fewer than 12 characters"),
            (12, "12 to 23 characters"),
            (24, "24 to 31 characters"),
            (32, "32 to 63 characters"),
            (63, "32 to 63 characters"),
            (64, "64 to 127 characters"),
            (1_023, "512 to 1023 characters"),
            (1_024, "up to 1 KiB"),
            // As the list has it.
            (1_025, "up to 8 KiB"),
            (8_193, "up to 64 KiB"),
            (SecretValue::MAX, "up to 64 KiB"),
        ] {
            assert_eq!(super::length(&SecretValue::new("x".repeat(length)).unwrap()), class);
        }
    }
}
