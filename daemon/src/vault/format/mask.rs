//! Masks: enough of a value to recognise it by, and safe to print on any terminal.

use secrets_proto::SecretValue;
use secrets_proto::printable::is_printable;

/// What stands for the hidden part, however long it is.
const HIDDEN: &str = "••••";

/// The mask of a value: its first 6 and last 3 characters if it has 24 or more, 2 and 2 from 12 on, none
/// below that. The hidden part always looks the same, so a mask has one of three widths and tells no length.
pub(in crate::vault) fn mask(value: &SecretValue) -> String {
    let text = value.expose();
    // Counting stops at the largest limit: the time taken does not depend on what lies beyond.
    let (first, last) = match text.chars().take(24).count() {
        24 => (6, 3),
        12.. => (2, 2),
        _ => (0, 0),
    };
    let mut mask: String = text.chars().take(first).map(printable).collect();
    mask.push_str(HIDDEN);
    let mut tail: Vec<char> = text.chars().rev().take(last).collect();
    tail.reverse();
    mask.extend(tail.into_iter().map(printable));
    mask
}

/// The character, or U+FFFD if printing it could move the cursor, reorder text or show nothing.
fn printable(character: char) -> char {
    if is_printable(character) { character } else { char::REPLACEMENT_CHARACTER }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(value: &str) -> String {
        mask(&SecretValue::new(value.to_owned()).unwrap())
    }

    #[test]
    fn shows_what_the_contract_says() {
        assert_eq!(masked("sk-proj-0123456789abcdef"), "sk-pro••••def");
        assert_eq!(masked("0123456789abcdefghijklm"), "01••••lm");
        assert_eq!(masked("0123456789ab"), "01••••ab");
        assert_eq!(masked("0123456789a"), "••••");
        assert_eq!(masked("x"), "••••");
        assert_eq!(masked("🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀"), "🦀🦀••••🦀🦀");
    }

    #[test]
    fn replaces_what_a_terminal_would_act_on() {
        let value = "\u{1b}[2J\u{202e}\u{200b}0123456789abcdef\r\n\u{85}";
        assert_eq!(masked(value), "\u{fffd}[2J\u{fffd}\u{fffd}••••\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(masked("'\"\\ 0123456789\u{2028}\u{301}"), "'\"••••\u{fffd}\u{fffd}");
        assert_eq!(
            masked("\u{3164}\u{e0041}0123456789\u{ad}\u{115f}"),
            "\u{fffd}\u{fffd}••••\u{fffd}\u{fffd}"
        );
    }

    const REPLACEMENT: char = '\u{fffd}';

    fn acts_on_a_terminal(shown: char) -> bool {
        shown.is_control()
            || matches!(shown, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    }

    proptest! {
        #[test]
        fn never_shows_more_than_specified(value in "\\PC{1,60}|.{1,60}|[\\x01-\\x20\\x7f-\\xa0\u{200b}-\u{2069}]{1,40}") {
            prop_assume!(!value.contains(char::from(0)));
            let length = value.chars().count();
            let (first, last) = if length >= 24 { (6, 3) } else if length >= 12 { (2, 2) } else { (0, 0) };
            let mask: Vec<char> = masked(&value).chars().collect();
            prop_assert_eq!(mask.len(), first + 4 + last);
            let value: Vec<char> = value.chars().collect();
            for (at, shown) in mask.iter().enumerate() {
                let allowed = if at < first {
                    value[at]
                } else if at < first + 4 {
                    '•'
                } else {
                    value[length - (mask.len() - at)]
                };
                let replaced = *shown == REPLACEMENT;
                prop_assert!(replaced || *shown == allowed);
                prop_assert!(!acts_on_a_terminal(*shown));
            }
        }
    }
}
