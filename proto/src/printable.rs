//! What of a text may be shown: everything that stays where it is put and can be seen. Text from others could otherwise
//! move the cursor, turn a line around, hide a part of it or look like another text.

use std::borrow::Cow;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The most combining marks in a row that are shown. Scripts that write them apart need up to four (Hebrew with points and
/// accents, Tibetan); more of them cover the lines above and below.
const MARKS: usize = 4;

/// Text in which nothing acts on a terminal and nothing is invisible: what cannot be shown is U+FFFD, and every blank but
/// the usual one is that.
///
/// Not shown are controls, format characters (of which some turn text around), line and paragraph separators, private and
/// unassigned characters, those that are made to be ignored, and combining marks with nothing before
/// them or more than four in a row.
pub fn printable(text: &str) -> Cow<'_, str> {
    // Most text is plain, and a list has thousands of pieces of it.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        || each(text).all(|(character, shown)| character == shown)
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(each(text).map(|(_, shown)| shown).collect())
}

/// A message without the system's numbers of errors, ` (os error 2)`, which say nothing beside their words.
pub fn without_numbers(message: &str) -> Cow<'_, str> {
    const MARK: &str = " (os error ";
    let mut left = Cow::Borrowed(message);
    while let Some((before, rest)) = left.split_once(MARK)
        && let Some((number, after)) = rest.split_once(')')
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        left = Cow::Owned(format!("{before}{after}"));
    }
    left
}

/// Each character of a text with the one that [`printable`] shows in its place.
pub fn each(text: &str) -> impl Iterator<Item = (char, char)> {
    // Where there is nothing to combine with, a mark is one too many.
    let mut marks = MARKS;
    text.chars().map(move |character| {
        let kind = kind(character);
        marks = match kind {
            Kind::Visible => 0,
            Kind::Mark => marks + 1,
            Kind::Blank | Kind::Hidden => MARKS,
        };
        let shown = match kind {
            Kind::Visible => character,
            Kind::Mark if marks <= MARKS => character,
            Kind::Blank => ' ',
            Kind::Mark | Kind::Hidden => char::REPLACEMENT_CHARACTER,
        };
        (character, shown)
    })
}

/// Whether this character can be shown by itself, wherever it stands: what [`printable`] shows in any text, without
/// combining marks, and of blanks the usual one.
pub fn is_printable(character: char) -> bool {
    character == ' ' || matches!(kind(character), Kind::Visible)
}

/// What a character looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Something.
    Visible,
    /// Like something on the character before it.
    Mark,
    /// A gap.
    Blank,
    /// A character that shows nothing, or acts on others.
    Hidden,
}

fn kind(character: char) -> Kind {
    use GeneralCategory as Is;
    // The dot of which masks are full is not looked up, either.
    if character.is_ascii_graphic() || character == '•' {
        return Kind::Visible;
    }
    if is_ignored(character) {
        return Kind::Hidden;
    }
    match character.general_category() {
        Is::Control
        | Is::Format
        | Is::LineSeparator
        | Is::ParagraphSeparator
        | Is::PrivateUse
        | Is::Surrogate
        | Is::Unassigned => Kind::Hidden,
        Is::SpaceSeparator => Kind::Blank,
        Is::NonspacingMark | Is::EnclosingMark => Kind::Mark,
        Is::UppercaseLetter
        | Is::LowercaseLetter
        | Is::TitlecaseLetter
        | Is::ModifierLetter
        | Is::OtherLetter
        | Is::SpacingMark
        | Is::DecimalNumber
        | Is::LetterNumber
        | Is::OtherNumber
        | Is::ConnectorPunctuation
        | Is::DashPunctuation
        | Is::OpenPunctuation
        | Is::ClosePunctuation
        | Is::InitialPunctuation
        | Is::FinalPunctuation
        | Is::OtherPunctuation
        | Is::MathSymbol
        | Is::CurrencySymbol
        | Is::ModifierSymbol
        | Is::OtherSymbol => Kind::Visible,
    }
}

/// Letters and marks that show nothing. From `Default_Ignorable_Code_Point` of Unicode 17
/// (<https://www.unicode.org/Public/17.0.0/ucd/DerivedCoreProperties.txt>) those that are neither format characters nor
/// unassigned, which are hidden anyway: the grapheme joiner, the Hangul fillers, two Khmer vowels, and all variation
/// selectors. And the Braille pattern without dots, which is no blank by its category.
const fn is_ignored(character: char) -> bool {
    matches!(
        character,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Printable text with single blanks: what others have chosen must not reach another column or line, nor pass for a fact
/// beside it.
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    let text = printable(text);
    if !text.contains("  ") {
        return text;
    }
    let mut single = String::with_capacity(text.len());
    for character in text.chars() {
        if character != ' ' || !single.ends_with(' ') {
            single.push(character);
        }
    }
    Cow::Owned(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_happened_in_words_alone() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(
            without_numbers(&format!("cannot read a: {error}; b: {error}")),
            "cannot read a: No such file or directory; b: No such file or directory"
        );
        for same in ["a", "a (os error x)", "a (os error 2"] {
            assert_eq!(without_numbers(same), same);
        }
    }

    #[test]
    fn what_people_write_is_shown() {
        for text in [
            "",
            "a  b",
            "key of Zoë's laptop",
            "e\u{301}",
            "日本語",
            "שָׁלוֹם",
            "ប្រាក់",
            "नमस्ते",
            "🦀 • … ﷺ £",
            "'\"\\",
        ] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("a\u{a0}b\u{3000}c\u{2003}"), "a b c ");
    }

    #[test]
    fn what_acts_or_hides_is_not() {
        let hidden = "\u{0}\u{1b}\n\r\t\u{7f}\u{85}\u{9b}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180e}\u{200b}\u{200d}\
            \u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2064}\u{2066}\u{2069}\u{206a}\u{2800}\u{3164}\u{e000}\
            \u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{1d173}\u{e0001}\u{e0041}\u{e007f}\u{e0100}\u{e01ef}\u{f0000}\u{10ffff}\u{378}";
        for character in hidden.chars() {
            assert_eq!(printable(&format!("a{character}b")), "a\u{fffd}b", "{character:?}");
            assert!(!is_printable(character), "{character:?}");
        }
    }

    #[test]
    fn marks_are_few_and_on_something() {
        let marks = |count| "\u{301}".repeat(count);
        assert_eq!(printable(&format!("a{}b", marks(4))), format!("a{}b", marks(4)));
        let piled = printable(&format!("a{}b", marks(50))).into_owned();
        assert_eq!(piled, format!("a{}{}b", marks(4), "\u{fffd}".repeat(46)));
        assert_eq!(printable("\u{301}a \u{301}"), "\u{fffd}a \u{fffd}");
        assert!(!is_printable('\u{301}'));
    }
}
