//! What may stand between two characters of a value: on a screen what wraps lines and what sets colours, in files also
//! what people and formatters break a text with.

use crate::read::{self, Between, GAP_MAX, Read};

/// The most bytes of a join: deep indentation is part of it.
const JOIN_MAX: usize = 128;

/// How far before its line end a join may begin.
pub(crate) const BEFORE_LINE_END: usize = 24;

/// Where texts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// Output of programs.
    Screen,
    /// Files, with joins beside what is on a screen.
    Files,
}

impl Gaps {
    /// The gap that a text begins with.
    pub(crate) fn read(self, between: Between, rest: &[u8]) -> Read<()> {
        if self.may_join(between, rest) {
            let read = join(rest);
            if read != Read::Other {
                return read;
            }
        }
        read::gap(between, rest)
    }

    /// The most bytes between two characters.
    pub(crate) const fn most(self) -> usize {
        match self {
            Self::Screen => GAP_MAX,
            Self::Files => JOIN_MAX,
        }
    }

    /// The line end, with what indents the next line, that a text begins with and that may stand for a space: folded
    /// text of YAML 1.2.2, section 6.5, and paragraphs.
    pub(crate) fn fold(self, rest: &[u8]) -> Option<usize> {
        match (self, rest, join(rest)) {
            (Self::Files, [b'\n' | b'\r', ..], Read::Is(length, ())) => Some(length),
            _ => None,
        }
    }

    /// Figures in a column are no text; between quotes they may be one.
    fn may_join(self, between: Between, rest: &[u8]) -> bool {
        self == Self::Files
            && (between != Between::Figures || rest.first().is_some_and(|byte| is_quote(*byte)))
    }
}

/// A line end with what belongs to it, where the text goes on in the next line:
/// - indentation, and the marks of comments and quoted mail in front of a line;
/// - a backslash at the line's end (shells, C, YAML);
/// - a string that ends, and the next that begins, with an operator between them or without (`"abc" +`, `"def"`).
pub(crate) fn join(rest: &[u8]) -> Read<()> {
    let whole = rest;
    let rest = rest.get(..JOIN_MAX).unwrap_or(rest);
    let read = Reader { text: rest, at: 0 }.join();
    // One that is cut here is too long.
    if read == Read::Cut && rest.len() < whole.len() { Read::Other } else { read }
}

/// Where the join begins that has this line end.
pub(crate) fn begin_of_join(text: &[u8], line_end: usize) -> usize {
    let floor = line_end.saturating_sub(BEFORE_LINE_END);
    let byte = |at: usize| text.get(at).copied().unwrap_or_default();
    let back = |mut at: usize, is: fn(u8) -> bool| {
        while at > floor && is(byte(at - 1)) {
            at -= 1;
        }
        at
    };
    let end = if byte(line_end) == b'\n' { back(line_end, |byte| byte == b'\r') } else { line_end };
    if end > floor && byte(end - 1) == b'\\' && !(end > floor + 1 && is_blank(byte(end - 2))) {
        return end - 1;
    }
    let blanks = back(end, is_blank);
    let at = back(end, |byte| is_blank(byte) || is_operator(byte));
    if at > floor && is_quote(byte(at - 1)) { at - 1 } else { blanks }
}

/// Whether a join may have this before its line end.
pub(crate) const fn may_be_before_line_end(byte: u8) -> bool {
    matches!(byte, b'\\' | b'\r') || is_blank(byte) || is_operator(byte) || is_quote(byte)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn join(mut self) -> Read<()> {
        let is_string = match self.peek() {
            Some(first) if is_quote(first) => {
                self.at += 1;
                self.operator();
                true
            }
            Some(b'\\') => {
                self.at += 1;
                false
            }
            _ => {
                self.skip(is_blank);
                false
            }
        };
        match self.text.get(self.at..).unwrap_or_default() {
            [] | [b'\r'] => return Read::Cut,
            [b'\r', b'\n', ..] => self.at += 2,
            [b'\r' | b'\n', ..] => self.at += 1,
            _ => return Read::Other,
        }
        if is_string { self.string() } else { self.margin() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, is: fn(u8) -> bool) {
        while self.peek().is_some_and(is) {
            self.at += 1;
        }
    }

    fn operator(&mut self) {
        self.skip(|byte| is_blank(byte) || is_operator(byte));
    }

    /// How the next string begins, with Python's and Rust's letters in front.
    fn string(mut self) -> Read<()> {
        self.operator();
        self.skip(|byte| matches!(byte.to_ascii_lowercase(), b'f' | b'b' | b'r' | b'u' | b'l' | b'@' | b'$'));
        match self.peek() {
            None => Read::Cut,
            Some(quote) if is_quote(quote) => Read::Is(self.at + 1, ()),
            Some(_) => Read::Other,
        }
    }

    fn margin(mut self) -> Read<()> {
        self.skip(is_blank);
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += match rest {
            [] | [b'#' | b'>' | b'*' | b'/'] | [b'/', b'/'] => return Read::Cut,
            [b'#' | b'>' | b'*', b' ' | b'\t', ..] => 2,
            [b'/', b'/', b' ' | b'\t', ..] => 3,
            _ => 0,
        };
        self.skip(is_blank);
        if self.peek().is_none() { Read::Cut } else { Read::Is(self.at, ()) }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(crate) const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// What joins strings: of JavaScript, Java and Go, PHP and Perl, Lua, Visual Basic, Haskell, SQL, Elixir; lists of strings;
/// and the backslash that continues a line.
const fn is_operator(byte: u8) -> bool {
    matches!(byte, b'+' | b'.' | b'&' | b'_' | b'|' | b'<' | b'>' | b'~' | b',' | b'\\' | b'(' | b')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_is_read_from_its_beginning_and_found_from_its_line_end() {
        for text in [
            "\n",
            "\r\n",
            "\n    ",
            "\n\t# ",
            "\n // ",
            "\n > ",
            "  \n  ",
            "\\\n",
            "\\\r\n  ",
            "\" +\n  \"",
            "\"\n\"",
            "'\n    + '",
            "' .\r\n\t'",
            "\" \\\n  \"",
            "\"\n    f'",
            "\",\n\"",
            "\" & _\n \"",
            "\" ..\n\"",
        ] {
            let whole = format!("abc{text}xyz");
            assert_eq!(join(&whole.as_bytes()[3..]), Read::Is(text.len(), ()), "{text:?}");
            let line_end = whole.find('\n').unwrap();
            assert_eq!(begin_of_join(whole.as_bytes(), line_end), 3, "{text:?}");
            for cut in 1..text.len() {
                assert_eq!(join(&text.as_bytes()[..cut]), Read::Cut, "{text:?} {cut}");
            }
        }
        for text in ["\"x", "\" + \"x", "\\n", "  x", "\"\nx", "x", "a\n"] {
            assert_eq!(join(format!("{text}x").as_bytes()), Read::Other, "{text:?}");
        }
        assert_eq!(join(" ".repeat(1_000).as_bytes()), Read::Other);
    }
}
