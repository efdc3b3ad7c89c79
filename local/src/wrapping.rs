//! Text on a terminal: it ends its lines between words, whatever the width, and a command at its end stays one line that can
//! be pasted.

use std::os::fd::AsFd;

use unicode_width::UnicodeWidthStr;

/// Stands for a blank at which no line ends. In what is printable there is none.
const TIE: &str = "\u{a0}";

/// How far the further lines of a message stand to the right.
const INDENT: usize = 2;

/// How many cells a line of the terminal has that this is; nothing if it is none.
pub fn columns(of: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// How many cells printable text takes on a terminal.
pub fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// A printable message on as many lines of this width as its words take. A command of ours at its end is one word. What has
/// lines of its own stays as it is.
pub fn message(line: &str, columns: Option<usize>) -> String {
    if line.contains('\n') {
        return line.to_owned();
    }
    whole(0, line, columns, INDENT)
}

/// A line of an answer: a title, padded to so many cells, and a printable text beside it, on as many lines of this width as
/// its words take. A command of ours at its end is one word.
pub fn titled(title: &str, cells: usize, text: &str, columns: Option<usize>) -> String {
    let start = cells + 1;
    format!("{title:<cells$} {}\n", whole(start, text, columns, start))
}

/// Printable text on as many lines of this width as its words take, those after the first indented. A word that is wider
/// than a line is left to the terminal. Without a width it is one line.
pub fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    wrapped_from(indent, text, width, indent)
}

/// Text on lines as those of [`wrapped`], of which the first begins in this column.
pub fn wrapped_from(start: usize, text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.filter(|width| *width > indent + 1) else { return text.to_owned() };
    let (mut lines, mut used, mut room) = (String::with_capacity(text.len()), 0, width.saturating_sub(start));
    for word in text.split(' ') {
        let wide = width_of(word);
        if used > 0 && used + 1 + wide > room {
            lines.push_str(&format!("\n{:indent$}", ""));
            (used, room) = (0, width - indent);
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += wide;
    }
    lines
}

fn whole(start: usize, line: &str, columns: Option<usize>, indent: usize) -> String {
    wrapped_from(start, &unbroken(line), columns, indent).replace(TIE, " ")
}

/// A line in which a command at its end is one word.
fn unbroken(line: &str) -> String {
    let Some(at) = line.rfind(": secretctl ").map(|at| at + 2) else { return line.to_owned() };
    let (before, command) = line.split_at(at);
    if command.contains("; ") { line.to_owned() } else { format!("{before}{}", command.replace(' ', TIE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrapped("ab cd efg hi", Some(7), 2), "ab cd\n  efg\n  hi");
        assert_eq!(wrapped("abcdefghijk lm", Some(7), 2), "abcdefghijk\n  lm");
        assert_eq!(wrapped("ab cd", None, 2), "ab cd");
        assert_eq!(wrapped_from(0, "ab cd ef ghi", Some(7), 2), "ab cd\n  ef\n  ghi");
        assert_eq!(wrapped_from(0, "abcd ef ghi", Some(7), 2), "abcd ef\n  ghi");
        assert_eq!(wrapped("ab cd", Some(2), 2), "ab cd");
    }

    #[test]
    fn a_titles_text_stays_in_its_column() {
        let titled = |text: &str| titled("ab", 4, text, Some(20));
        assert_eq!(titled("cd"), "ab   cd\n");
        assert_eq!(titled("one two three four five"), "ab   one two three\n     four five\n");
        assert_eq!(titled("look at: secretctl list"), "ab   look at:\n     secretctl list\n");
    }

    #[test]
    fn a_command_at_the_end_of_a_message_is_not_broken() {
        let wrapped = |line: &str| message(line, Some(20));
        assert_eq!(wrapped("gone; undo with: secretctl get A"), "gone; undo with:\n  secretctl get A");
        assert_eq!(wrapped("a: secretctl restore ABCDEFGHIJ"), "a:\n  secretctl restore ABCDEFGHIJ");
        assert_eq!(wrapped("secretctl: what else is there"), "secretctl: what else\n  is there");
        assert_eq!(
            wrapped("error in the file:\n   | key = 1 and more"),
            "error in the file:\n   | key = 1 and more"
        );
        assert_eq!(secrets_proto::printable::printable(TIE), " ");
    }
}
