//! How systemd reads an `EnvironmentFile=` (systemd.exec(5); its `src/basic/env-file.c`): a value is put together of
//! pieces, nothing is put in for a `$`, and a comment begins a line or is none. Compared with what systemd 252 gives a unit.

use zeroize::Zeroizing;

use super::read::{Entry, Fault, NO_EQUALS, OPEN_QUOTE};

const NAME: &str =
    "systemd ignores this line: a name has only letters, digits and underscores, and no export before it";
const COMMENT: &str =
    "systemd before version 254 takes this line for a part of the comment above, which ends in a backslash";
const CONTROL: &str = "systemd ignores a value with control characters";

/// Where in a line the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Line,
    Comment,
    Name,
    /// Before a piece of the value: blanks are passed over.
    Piece,
    Plain,
    Single,
    Double,
}

/// All entries in their order, and all lines that are none.
pub(super) fn read(text: &str) -> (Vec<Entry>, Vec<Fault>) {
    let mut reading = Reading::default();
    let mut at = At::Line;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let is_end = matches!(c, '\n' | '\r');
        at = match (at, c) {
            (At::Line, '#' | ';') => At::Comment,
            (At::Line, c) if is_blank(c) => At::Line,
            (At::Line, c) => {
                reading.begin();
                reading.name.push(c);
                At::Name
            }
            (At::Comment, '\\') if characters.as_str().starts_with('\n') => {
                reading.begin();
                reading.first += 1;
                reading.fault(COMMENT);
                At::Comment
            }
            (At::Comment, _) => {
                if is_end {
                    At::Line
                } else {
                    At::Comment
                }
            }
            (At::Name, '=') => At::Piece,
            (At::Name, _) if is_end => {
                reading.fault(NO_EQUALS);
                At::Line
            }
            (At::Name, c) => {
                reading.name.push(c);
                At::Name
            }
            (At::Piece | At::Plain, _) if is_end => {
                reading.end(at == At::Plain);
                At::Line
            }
            (At::Piece, '\'') => At::Single,
            (At::Piece, '"') => At::Double,
            (At::Piece, c) if is_blank(c) => At::Piece,
            (At::Piece | At::Plain, '\\') => {
                match characters.next() {
                    Some('\n') => reading.line += 1,
                    Some(c) => reading.push(c, true),
                    None => {}
                }
                At::Plain
            }
            (At::Piece | At::Plain, c) => {
                reading.push(c, !is_blank(c));
                At::Plain
            }
            (At::Single, '\'') | (At::Double, '"') => At::Piece,
            (At::Double, '\\') => {
                match characters.next() {
                    Some(c @ ('"' | '\\' | '`' | '$')) => reading.push(c, true),
                    Some('\n') => reading.line += 1,
                    Some(c) => {
                        reading.push('\\', true);
                        reading.push(c, true);
                    }
                    None => {}
                }
                At::Double
            }
            (At::Single | At::Double, c) => {
                reading.push(c, true);
                at
            }
        };
        reading.line += usize::from(c == '\n');
    }
    match at {
        At::Line | At::Comment => {}
        At::Name => reading.fault(NO_EQUALS),
        At::Piece | At::Plain => reading.end(at == At::Plain),
        At::Single | At::Double => reading.fault(OPEN_QUOTE),
    }
    (reading.entries, reading.faults)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

struct Reading {
    entries: Vec<Entry>,
    faults: Vec<Fault>,
    /// The line, from 1, and that on which the entry begins.
    line: usize,
    first: usize,
    name: String,
    value: Zeroizing<String>,
    /// How much of the value stays if it ends without quotes: blanks there do not count.
    solid: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            faults: Vec::new(),
            line: 1,
            first: 1,
            name: String::new(),
            value: Zeroizing::default(),
            solid: 0,
        }
    }
}

impl Reading {
    fn begin(&mut self) {
        self.first = self.line;
        self.name.clear();
        self.value = Zeroizing::default();
        self.solid = 0;
    }

    fn push(&mut self, c: char, is_solid: bool) {
        if self.value.capacity() - self.value.len() < c.len_utf8() {
            // What it grew out of is wiped.
            let mut larger = Zeroizing::new(String::with_capacity(2 * self.value.capacity() + 64));
            larger.push_str(&self.value);
            self.value = larger;
        }
        self.value.push(c);
        if is_solid {
            self.solid = self.value.len();
        }
    }

    fn end(&mut self, is_plain: bool) {
        let mut value = std::mem::take(&mut self.value);
        if is_plain {
            value.truncate(self.solid);
        }
        let name = self.name.trim_end_matches(is_blank);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return self.fault(NAME);
        }
        if value.chars().any(|c| c.is_ascii_control() && !matches!(c, '\n' | '\t')) {
            return self.fault(CONTROL);
        }
        self.entries.push(Entry { line: self.first, name: name.to_owned(), value });
    }

    fn fault(&mut self, reason: &'static str) {
        self.faults.push(Fault { line: self.first, name: None, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        let (entries, faults) = read(&format!("A={text}\nZAFTER=ok\n"));
        let first = entries.iter().find(|entry| entry.name == "A");
        assert!(faults.len() + usize::from(first.is_some()) == 1, "{text}");
        first.map(|entry| entry.value.to_string())
    }

    #[test]
    fn values_are_what_a_unit_gets() {
        for (text, expected) in [
            ("'it''s'", "its"),
            (r#""a\nb""#, r"a\nb"),
            ("a#b", "a#b"),
            ("a #b", "a #b"),
            (r#""$HOME/x""#, "$HOME/x"),
            (r"a\ b", "a b"),
            ("\"a\nb\"", "a\nb"),
            (r#""a\"b""#, "a\"b"),
            (r"'a\'b'", r"a\b'"),
            (" 1", "1"),
            ("1\r", "1"),
            ("`x`", "`x`"),
            (r"a\nb", "anb"),
            (r#""a\$b""#, "a$b"),
            (r#""C:\\new""#, r"C:\new"),
            (r#"a"b c"d"#, r#"a"b c"d"#),
            (r#""a"b"c""#, r#"ab"c""#),
            (r"'it'\''s'", "it''s'"),
            ("\"a\" # c", "a# c"),
            ("#abc", "#abc"),
            ("x  ", "x"),
            ("'x '  ", "x "),
            (r#"{"k": "v w"}"#, r#"{"k": "v w"}"#),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text}");
        }
        let (entries, faults) = read("# a\\\nA=x\n;b\nexport B=1\nC\nD=\"x\ny\"\nE=z");
        let read: Vec<_> = entries.iter().map(|entry| (entry.line, entry.name.as_str())).collect();
        assert_eq!(read, [(2, "A"), (6, "D"), (8, "E")]);
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!(read_faults("A='x"), [OPEN_QUOTE]);
        assert_eq!(read_faults("\u{feff}A=x"), [NAME]);
    }

    fn read_faults(text: &str) -> Vec<&'static str> {
        read(text).1.into_iter().map(|fault| fault.reason).collect()
    }
}
