//! Reading, with line numbers. Two steps as in dotenvy: first, which lines belong together; then name and value. Both
//! look for quotes in their own way, and where they disagree a line is refused. So is whatever would be read as
//! something else than what is written: `$` outside single quotes stands for a variable there, and here for nothing.

use zeroize::Zeroizing;

use super::write::write;

/// A name with its value.
#[derive(PartialEq, Eq)]
pub(crate) struct Entry {
    /// The line it begins on, from 1.
    pub(crate) line: usize,
    /// The name as it is written.
    pub(crate) name: String,
    /// The value without its quotes.
    pub(crate) value: Zeroizing<String>,
}

/// A line that cannot be taken over. It never quotes what is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The name that stands there, if that much is clear.
    pub(crate) name: Option<String>,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
}

pub(super) const NO_NAME: &str =
    "a line must begin with a name (letters, digits, underscores), or # for a comment";
pub(super) const NO_EQUALS: &str = "no = after the name";
pub(super) const OPEN_QUOTE: &str = "unclosed quote";
const AFTER_VALUE: &str = "something follows the value; if it has spaces, put it in quotes";
const ESCAPE: &str = r#"a backslash stands before another character than \ ' " $ n and a space; put the value in single quotes to keep it"#;
const DOLLAR: &str =
    r"a $ stands for a variable here; put the value in single quotes to keep it as it is, or write \$";

const BACKSLASH: &str = "a backslash outside quotes, which readers take for different things; put the value in single \
                         quotes to keep it, or name the file's reader with --dialect";
const QUOTE_INSIDE: &str = "a quote inside a value without quotes, which most readers keep and some take away; put all of \
                            the value in quotes, or name the file's reader with --dialect";
const GLUED: &str = "something follows the closing quote, and readers differ on what the value is; put all of it in \
                     quotes, or name the file's reader with --dialect";
const ODD_BLANK: &str =
    "the value ends with an unusual space, which some readers keep; remove it, or use quotes";

/// All entries in their order, and all lines that are none. If this is to be strict, lines on which most readers disagree
/// with dotenvy are faults; what `write` writes is none.
pub(super) fn read_lines(text: &str, strict: bool) -> (Vec<Entry>, Vec<Fault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let (logical, after) = split_logical(rest);
        match logical
            .ok_or(Fault { line, name: None, reason: OPEN_QUOTE })
            .and_then(|logical| read_line(logical, line, strict))
        {
            Ok(entry) => entries.extend(entry),
            Err(fault) => faults.push(fault),
        }
        let taken = rest.len() - after.len();
        line += rest.get(..taken).unwrap_or_default().matches('\n').count();
        rest = after;
    }
    (entries, faults)
}

/// Where a quote may be open at the end of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Blank,
    Single,
    Double,
}

/// The text of the first entry, over as many lines as its quotes are open, and what follows; nothing if a quote stays
/// open to the end.
fn split_logical(text: &str) -> (Option<&str>, &str) {
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    if first.trim_start().starts_with('#') {
        return (Some(""), text.get(first.len()..).unwrap_or_default());
    }
    let mut within = Within::Nothing;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            // A line that ends here ends although its break is escaped, unless a quote is open.
            if c == '\n' && within == Within::Nothing {
                return cut(text, at, at + 1);
            }
            continue;
        }
        within = match (within, c) {
            (Within::Nothing | Within::Blank, '\n') => return cut(text, at, at + 1),
            (Within::Blank, '#') => {
                let rest = text.get(at..).unwrap_or_default();
                return cut(text, at, at + rest.find('\n').map_or(rest.len(), |end| end + 1));
            }
            (Within::Single, '\'') | (Within::Double, '"') => Within::Nothing,
            (Within::Nothing | Within::Blank, '\'') => Within::Single,
            (Within::Nothing | Within::Blank, '"') => Within::Double,
            (Within::Nothing | Within::Blank, '\\') => {
                escaped = true;
                Within::Nothing
            }
            (Within::Single | Within::Double, '\\') => {
                escaped = true;
                within
            }
            // dotenvy sees a comment after one blank, but not after two.
            (Within::Nothing, c) if c.is_whitespace() && c != '\r' => Within::Blank,
            (Within::Nothing | Within::Blank, _) => Within::Nothing,
            (Within::Single | Within::Double, _) => within,
        };
    }
    match within {
        Within::Nothing | Within::Blank => (Some(text), ""),
        Within::Single | Within::Double => (None, ""),
    }
}

fn cut(text: &str, end: usize, next: usize) -> (Option<&str>, &str) {
    (text.get(..end), text.get(next..).unwrap_or_default())
}

/// The entry, if there is one.
fn read_line(logical: &str, line: usize, strict: bool) -> Result<Option<Entry>, Fault> {
    let fault = |reason| Fault { line, name: None, reason };
    let rest = logical.trim();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(None);
    }
    let (mut name, rest) = split_name(rest).ok_or(fault(NO_NAME))?;
    let mut rest = rest.trim_start();
    if name == "export" && !rest.starts_with('=') {
        (name, rest) = split_name(rest).ok_or(fault(NO_NAME))?;
        rest = rest.trim_start();
    }
    let rest = rest.strip_prefix('=').ok_or(fault(NO_EQUALS))?.trim_start();
    let value = if rest.starts_with('#') {
        Zeroizing::default()
    } else {
        // White space before the value may hold line breaks that an escape left there.
        let before = logical.matches('\n').count() - rest.matches('\n').count();
        read_value(rest, line + before, strict)
            .or_else(|fault| if strict { as_we_write(rest).ok_or(fault) } else { Err(fault) })
            .map_err(|fault| Fault { name: Some(name.to_owned()), ..fault })?
    };
    if strict && logical.trim_end() != logical.trim_end_matches([' ', '\t', '\r']) {
        return Err(Fault { name: Some(name.to_owned()), ..fault(ODD_BLANK) });
    }
    Ok(Some(Entry { line, name: name.to_owned(), value }))
}

/// The value of what `write` puts together of pieces.
fn as_we_write(text: &str) -> Option<Zeroizing<String>> {
    let value = read_value(text, 0, false).ok()?;
    // Never grows: a character becomes five at most.
    let mut again = Zeroizing::new(String::with_capacity(5 * value.len() + 8));
    write("", &value, &mut again);
    (again.strip_prefix('=')?.strip_suffix('\n')? == text).then_some(value)
}

pub(super) fn split_name(text: &str) -> Option<(&str, &str)> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    begins.then(|| text.split_at_checked(end)).flatten()
}

/// The value, from which quotes and escapes are taken.
fn read_value(text: &str, mut line: usize, strict: bool) -> Result<Zeroizing<String>, Fault> {
    // Never grows, so that no copy is left behind.
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut quote = None;
    let mut closed = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let fault = |reason| Err(Fault { line, name: None, reason });
        match (quote, c) {
            (None, c) if strict && closed && !matches!(c, ' ' | '\t') => return fault(GLUED),
            (None, '\\') if strict => return fault(BACKSLASH),
            (None, '\'' | '"') if strict && !value.is_empty() => return fault(QUOTE_INSIDE),
            (Some(open), c) if c == open => (quote, closed) = (None, true),
            (Some('\''), c) => value.push(c),
            (_, '$') => return fault(DOLLAR),
            (_, '\\') => match characters.next() {
                Some(c @ ('\\' | '\'' | '"' | '$' | ' ')) => value.push(c),
                Some('n') => value.push('\n'),
                _ => return fault(ESCAPE),
            },
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t') => {
                let after = characters.as_str().trim_start_matches([' ', '\t']);
                if after.is_empty() || after.starts_with('#') {
                    break;
                }
                return fault(AFTER_VALUE);
            }
            (_, c) => value.push(c),
        }
        line += usize::from(c == '\n');
    }
    if quote.is_some() { Err(Fault { line, name: None, reason: OPEN_QUOTE }) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, Vec<Fault>> {
        let (entries, faults) = read_lines(text, false);
        let pairs = entries.into_iter().map(|entry| (entry.name, entry.value.to_string())).collect();
        if faults.is_empty() { Ok(pairs) } else { Err(faults) }
    }

    fn dotenvy(text: &str) -> Result<Vec<(String, String)>, ::dotenvy::Error> {
        // It takes a byte order mark away elsewhere, and a blank at the very end for an open quote.
        let text = format!("{}\n", text.strip_prefix('\u{feff}').unwrap_or(text));
        ::dotenvy::from_read_iter(text.as_bytes()).collect()
    }

    #[test]
    fn reads_what_people_write() {
        let text = "\u{feff}# comment\n\nA=1\r\nexport B = two # comment\nC='$a \\n \" #'\nD=\"x\\n\\$y\n  z\"\n\
                    E=a\\ b\nF='it'\"'\"'s'\n  export=x\nG=a#b\nH=\nI=  # nothing\nJ='a\nb' # 'c\nK=last";
        let expected = [
            ("A", "1"),
            ("B", "two"),
            ("C", "$a \\n \" #"),
            ("D", "x\n$y\n  z"),
            ("E", "a b"),
            ("F", "it's"),
            ("export", "x"),
            ("G", "a#b"),
            ("H", ""),
            ("I", ""),
            ("J", "a\nb"),
            ("K", "last"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(text).unwrap(), expected);
        assert_eq!(dotenvy(text).unwrap(), expected);
        let lines: Vec<usize> = read_lines(text, false).0.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16]);
    }

    #[test]
    fn every_line_at_fault_is_told_with_its_number() {
        for (text, line, reason) in [
            ("\nA", 2, NO_EQUALS),
            ("=x", 1, NO_NAME),
            ("1A=x", 1, NO_NAME),
            ("export A", 1, NO_EQUALS),
            ("export", 1, NO_NAME),
            ("A=x y", 1, AFTER_VALUE),
            ("A='x", 1, OPEN_QUOTE),
            ("A=\"x\nB=y", 1, OPEN_QUOTE),
            ("A=$HOME", 1, DOLLAR),
            ("A=a$", 1, DOLLAR),
            ("A=\"x\n${B}\"", 2, DOLLAR),
            ("A=\\x", 1, ESCAPE),
            ("A=x\\", 1, ESCAPE),
            ("A='x\\'", 1, OPEN_QUOTE),
        ] {
            let faults = pairs(text).unwrap_err();
            let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.reason)).collect();
            assert_eq!(told, [(line, reason)], "{text}");
        }
        let (entries, faults) = read_lines("A=$x\nB=y\nC\nD='\n$'\n", true);
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn what_readers_take_for_different_things_is_refused_unless_the_reader_is_named() {
        for (value, reason) in [
            (r"CORP\nancy", BACKSLASH),
            (r"a\ b", BACKSLASH),
            (r"\x", BACKSLASH),
            (r"ab\\cd", BACKSLASH),
            (r"pa\$word", BACKSLASH),
            (r#"pa"ss"wd"#, QUOTE_INSIDE),
            ("a'b'c", QUOTE_INSIDE),
            ("'a'b", GLUED),
            ("'a'#c", GLUED),
            ("'it''s'", GLUED),
            (r"'it'\''s'", GLUED),
            (r#"'it'"'"'s'"#, GLUED),
            (r#""a"b"c""#, GLUED),
            ("''x", GLUED),
            ("a\u{a0}", ODD_BLANK),
        ] {
            let (entries, faults) = read_lines(&format!("X=1\nA={value}\n"), true);
            assert_eq!(entries.len(), 1, "{value}");
            assert_eq!(faults, [Fault { line: 2, name: Some("A".to_owned()), reason }], "{value}");
        }
        for value in [r"'a\nb'", r#""a\nb""#, "'a' # b", "a#b", "''", "\"it's\"", "a b"] {
            let (entries, faults) = read_lines(&format!("A={value}\n"), true);
            assert_eq!(entries.len() + faults.len(), 1);
            assert_eq!(faults.is_empty(), value != "a b", "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_accepted_means_the_same_to_dotenvy(text in "([AB]=|export |[ab\\\\ \t#\n\r'\"$={}.\u{a0}é]){0,24}") {
            if let Ok(read) = pairs(&text) {
                prop_assert_eq!(dotenvy(&text).ok(), Some(read));
            }
        }

        #[test]
        fn what_dotenvy_accepts_is_refused_only_for_dollars_and_backslashes(text in "([AB]=|export |[ab\\\\ \t#\n\r'\"=.\u{a0}é]){0,24}") {
            if let Ok(expected) = dotenvy(&text) {
                match pairs(&text) {
                    Ok(read) => prop_assert_eq!(read, expected),
                    Err(faults) => prop_assert!(faults.iter().all(|fault| fault.reason == ESCAPE), "{:?}", faults),
                }
            }
        }

        #[test]
        fn what_is_written_reads_back(value in "([^\0]|[\\\\'\"`$\n\r# {}]){1,40}") {
            let mut text = String::new();
            write("A", &value, &mut text);
            write("B", &value, &mut text);
            let expected = vec![("A".to_owned(), value.clone()), ("B".to_owned(), value)];
            prop_assert_eq!(dotenvy(&text).ok(), Some(expected.clone()));
            prop_assert_eq!(pairs(&text), Ok(expected.clone()));
            let (entries, faults) = read_lines(&text, true);
            let read = entries.into_iter().map(|entry| (entry.name, entry.value.to_string())).collect::<Vec<_>>();
            prop_assert_eq!((read, faults), (expected, vec![]));
        }
    }
}
