//! How other readers of dotenv files read a line: their values were compared with what the real programs give (Node 20,
//! npm's dotenv 18, python-dotenv 1.2, compose-go of 2026, dash and bash). Where one would put in a variable, run
//! something, or drop a part of the line, the line is a fault here.

use clap::ValueEnum;
use zeroize::Zeroizing;

use super::read::{Entry, Fault, NO_EQUALS, NO_NAME, OPEN_QUOTE, split_name};

/// The reader that a file is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Rust's dotenvy
    Dotenvy,
    /// `node --env-file`
    Node,
    /// npm's dotenv
    Dotenv,
    /// python-dotenv
    Python,
    /// docker compose
    Compose,
    /// `.` in a POSIX shell, bash or zsh
    Shell,
    /// `EnvironmentFile=` of a systemd unit
    Systemd,
}

const GLUED: &str = "something follows the closing quote; remove it, or put all of the value in quotes";
const VARIABLE: &str = "this reader puts a variable in place of the $; write the value itself";
const ODD_ESCAPE: &str = "this reader gives a backslash another meaning here; put the value in single quotes";
const ODD_BLANK: &str = "a value begins or ends with an unusual space; put it in quotes, or remove it";
const UNQUOTED: &str = "a shell gives a character of this value a meaning; put it in single quotes";

impl Dialect {
    /// The readers whose reading is compared with ours, with the names that people know them by.
    pub(crate) const OTHERS: [(Self, &str); 5] = [
        (Self::Node, "node"),
        (Self::Dotenv, "dotenv"),
        (Self::Python, "python"),
        (Self::Compose, "compose"),
        (Self::Shell, "shell"),
    ];

    /// All entries in their order, and all lines that are none.
    pub(super) fn read(self, text: &str) -> (Vec<Entry>, Vec<Fault>) {
        let text = self.normalized(text);
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        let mut rest = text.as_str();
        let mut line = 1;
        while !rest.is_empty() {
            let after = match self.read_line(rest, line) {
                Ok((entry, after)) => {
                    entries.extend(entry);
                    after
                }
                Err(fault) => {
                    faults.push(fault);
                    rest.split_once('\n').map_or("", |(_, after)| after)
                }
            };
            line += rest.get(..rest.len() - after.len()).unwrap_or_default().matches('\n').count();
            rest = after;
        }
        (entries, faults)
    }

    /// Line ends and byte order mark as the reader takes them.
    fn normalized(self, text: &str) -> Zeroizing<String> {
        let without_mark = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut normalized = Zeroizing::new(match self {
            Self::Node => text.replace('\r', ""),
            Self::Shell => text.to_owned(),
            Self::Dotenvy | Self::Dotenv | Self::Python | Self::Compose | Self::Systemd => {
                without_mark.replace("\r\n", "\n")
            }
        });
        if matches!(self, Self::Dotenv | Self::Python) {
            normalized = Zeroizing::new(normalized.replace('\r', "\n"));
        }
        normalized
    }

    /// The entry of the first line, if there is one, and what follows it.
    fn read_line(self, text: &str, line: usize) -> Result<(Option<Entry>, &str), Fault> {
        let fault = |reason| Fault { line, name: None, reason };
        let rest = text.trim_start_matches([' ', '\t']);
        if rest.starts_with(['#', '\n']) || rest.is_empty() {
            return Ok((None, rest.split_once('\n').map_or("", |(_, after)| after)));
        }
        let (mut name, mut rest) = split_name(rest).ok_or(fault(NO_NAME))?;
        if name == "export" && rest.starts_with([' ', '\t']) {
            (name, rest) = split_name(rest.trim_start_matches([' ', '\t'])).ok_or(fault(NO_NAME))?;
        }
        let blank: &[char] = if self == Self::Shell { &[] } else { &[' ', '\t'] };
        let rest = rest.trim_start_matches(blank).strip_prefix('=').ok_or(fault(NO_EQUALS))?;
        let named = |reason| Fault { line, name: Some(name.to_owned()), reason };
        let (value, after) = self.read_value(rest.trim_start_matches(blank)).map_err(named)?;
        Ok((Some(Entry { line, name: name.to_owned(), value }), after))
    }

    fn read_value(self, text: &str) -> Result<(Zeroizing<String>, &str), &'static str> {
        if self == Self::Shell {
            return read_word(text);
        }
        let quotes: &[char] =
            if matches!(self, Self::Node | Self::Dotenv) { &['\'', '"', '`'] } else { &['\'', '"'] };
        if let Some(quote) = text.chars().next().filter(|c| quotes.contains(c)) {
            let (value, after) = self.read_quoted(text.get(1..).unwrap_or_default(), quote)?;
            return Ok((value, end_of_line(after)?));
        }
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        let value = match self {
            Self::Node | Self::Dotenv => line.split('#').next().unwrap_or_default(),
            Self::Compose => line.split(" #").next().unwrap_or_default(),
            Self::Dotenvy | Self::Python | Self::Shell | Self::Systemd => {
                let blank_before = |(at, _): &(usize, &str)| {
                    line.get(..*at).unwrap_or_default().ends_with(char::is_whitespace)
                };
                let comment = line.match_indices('#').find(blank_before);
                comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
            }
        };
        let value = value.trim_end_matches([' ', '\t']);
        if value.trim() != value {
            return Err(ODD_BLANK);
        }
        if (self == Self::Compose && value.contains('$')) || (self == Self::Python && value.contains("${")) {
            return Err(VARIABLE);
        }
        if self == Self::Compose && value.contains("\\\\") {
            return Err(ODD_ESCAPE);
        }
        Ok((Zeroizing::new(value.to_owned()), after))
    }

    /// A value up to its closing quote, and what follows that.
    fn read_quoted(self, text: &str, quote: char) -> Result<(Zeroizing<String>, &str), &'static str> {
        // The quote is taken along, and both stay.
        let escaped = matches!(self, Self::Dotenv | Self::Python).then_some(quote);
        let end = closing(text, quote, escaped, self == Self::Compose && quote == '"').ok_or(OPEN_QUOTE)?;
        let (raw, after) = text.split_at_checked(end).ok_or(OPEN_QUOTE)?;
        let value = match (self, quote) {
            (Self::Node, '"') => Zeroizing::new(raw.replace("\\n", "\n")),
            (Self::Dotenv, '"') => {
                let value = Zeroizing::new(raw.replace("\\n", "\n"));
                Zeroizing::new(value.replace("\\r", "\r"))
            }
            (Self::Python, _) => unescaped_by_python(raw, quote),
            (Self::Compose, '"') => unescaped_by_compose(raw)?,
            // It takes a backslash before the closing quote for its escape.
            (Self::Compose, _) if raw.ends_with('\\') => return Err(ODD_ESCAPE),
            _ => Zeroizing::new(raw.to_owned()),
        };
        if self == Self::Python && value.contains("${") {
            return Err(VARIABLE);
        }
        Ok((value, after.get(1..).unwrap_or_default()))
    }
}

/// Where the closing quote is, past those with a backslash before them that count as escaped.
fn closing(text: &str, quote: char, escaped: Option<char>, all: bool) -> Option<usize> {
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Some(at);
        }
        if c == '\\' && characters.peek().is_some_and(|(_, next)| all || Some(*next) == escaped) {
            characters.next();
        }
    }
    None
}

fn unescaped_by_compose(text: &str) -> Result<Zeroizing<String>, &'static str> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        value.push(match c {
            '$' => return Err(VARIABLE),
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"' | '$')) => c,
                _ => return Err(ODD_ESCAPE),
            },
            c => c,
        });
    }
    Ok(value)
}

/// The escapes of python-dotenv, `parser.py`: two in single quotes, those of a string literal of one letter in double.
fn unescaped_by_python(text: &str, quote: char) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let escaped = match (c, characters.clone().next()) {
            ('\\', Some(c @ ('\\' | '\''))) => Some(c),
            ('\\', Some(c)) if quote == '"' => match c {
                '"' => Some('"'),
                'a' => Some('\u{7}'),
                'b' => Some('\u{8}'),
                'f' => Some('\u{c}'),
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                'v' => Some('\u{b}'),
                _ => None,
            },
            _ => None,
        };
        if escaped.is_some() {
            characters.next();
        }
        value.push(escaped.unwrap_or(c));
    }
    value
}

/// What follows a value to the end of its line: nothing, or a comment.
fn end_of_line(text: &str) -> Result<&str, &'static str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let rest = line.trim_start_matches([' ', '\t']);
    let is_comment = rest.starts_with('#') && rest.len() < line.len();
    if rest.is_empty() || is_comment { Ok(after) } else { Err(GLUED) }
}

/// A word as a shell reads it, put together of pieces with and without quotes.
fn read_word(text: &str) -> Result<(Zeroizing<String>, &str), &'static str> {
    let mut size = 0;
    let after = each_of_word(text, |c| size += c.len_utf8())?;
    // Never grows, so that no copy is left behind.
    let mut value = Zeroizing::new(String::with_capacity(size));
    each_of_word(text, |c| value.push(c))?;
    Ok((value, after))
}

/// Hands over each character of a word, and gives what follows its line.
fn each_of_word(text: &str, mut push: impl FnMut(char)) -> Result<&str, &'static str> {
    let mut characters = text.chars();
    let mut quote = None;
    loop {
        let rest = characters.as_str();
        let Some(c) = characters.next() else { break };
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => push(c),
            (_, '$' | '`') => return Err(VARIABLE),
            (Some(_), '\\') => match characters.clone().next() {
                Some('\n') => return Err(ODD_ESCAPE),
                Some(c @ ('\\' | '"' | '$' | '`')) => {
                    push(c);
                    characters.next();
                }
                _ => push('\\'),
            },
            (Some(_), c) => push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '\\') => match characters.next() {
                Some(c) if c != '\n' => push(c),
                _ => return Err(ODD_ESCAPE),
            },
            (None, ' ' | '\t' | '\n') => return end_of_line(rest),
            (None, c) if c.is_alphanumeric() || "_@%+=:,./-#^]}".contains(c) => push(c),
            // A ~ is a home directory at the beginning and behind a colon.
            _ => return Err(UNQUOTED),
        }
    }
    if quote.is_some() { Err(OPEN_QUOTE) } else { Ok("") }
}
