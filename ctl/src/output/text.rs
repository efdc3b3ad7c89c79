//! Text from others among our own: it stays on its line and in its column, so that none of it can pass for more than it
//! is.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many cells printable text takes on a terminal.
pub(crate) fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Cuts printable text to so many cells, with a mark if that is not all of it.
pub(crate) fn cut(text: &str, room: usize) -> Cow<'_, str> {
    if width_of(text) <= room {
        return Cow::Borrowed(text);
    }
    let (start, _) = split(text, room.saturating_sub(1));
    Cow::Owned(format!("{start}…"))
}

/// Cuts the beginning of printable text as [`cut`] does its end.
pub(crate) fn cut_beginning(text: &str, room: usize) -> Cow<'_, str> {
    let mut over = width_of(text).saturating_sub(room);
    if over == 0 {
        return Cow::Borrowed(text);
    }
    // The mark takes a cell, too.
    over += 1;
    let mut gone = 0;
    let start = text.char_indices().find(|(_, character)| {
        let is_enough = gone >= over;
        gone += character.width().unwrap_or(0);
        is_enough
    });
    Cow::Owned(format!("…{}", start.and_then(|(at, _)| text.get(at..)).unwrap_or_default()))
}

/// Printable text on as many lines of this width as its words take, those after the first indented. A word that is wider
/// than a line is left to the terminal. Without a width it is one line.
pub(crate) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    wrapped_from(indent, text, width, indent)
}

/// Text on lines as those of [`wrapped`], of which the first begins in this column.
pub(crate) fn wrapped_from(start: usize, text: &str, width: Option<usize>, indent: usize) -> String {
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

/// Printable text on as many lines of this width as it takes, those after the first indented. Without a width it is one
/// line.
pub(crate) fn folded(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(room) = width.and_then(|width| width.checked_sub(indent)).filter(|room| *room > 1) else {
        return text.to_owned();
    };
    let (mut lines, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        let (line, more) = split(rest, room);
        lines.push_str(line);
        // A character that is wider than the line.
        if more.is_empty() || line.is_empty() {
            return lines;
        }
        lines.push_str(&format!("\n{:indent$}", ""));
        rest = more;
    }
}

/// The text up to so many cells, and the rest.
fn split(text: &str, room: usize) -> (&str, &str) {
    let mut width = 0;
    let end = text.char_indices().find(|(_, character)| {
        width += character.width().unwrap_or(0);
        width > room
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::in_one_line;

    #[test]
    fn blanks_are_single_whatever_they_are() {
        assert_eq!(in_one_line("a   b\u{a0}\u{3000} c "), "a b c ");
        assert_eq!(in_one_line("a\u{200b} \u{200b} b\nc"), "a\u{fffd} \u{fffd} b\u{fffd}c");
    }

    #[test]
    fn text_is_cut_by_its_cells() {
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcde", 4), "abc…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!((cut("ab", 1), cut("", 0)), ("…".into(), "".into()));
    }

    #[test]
    fn the_beginning_is_cut_by_cells_too() {
        assert_eq!(cut_beginning("abcd", 4), "abcd");
        assert_eq!(cut_beginning("abcde", 4), "…cde");
        assert_eq!(cut_beginning("日本語", 5), "…本語");
        assert_eq!(cut_beginning("日本語", 4), "…語");
        assert_eq!((cut_beginning("ab", 1), cut_beginning("", 0)), ("…".into(), "".into()));
    }

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
    fn lines_after_the_first_are_indented() {
        assert_eq!(folded("abcdefgh", Some(6), 2), "abcd\n  efgh");
        assert_eq!(folded("日本語x", Some(6), 2), "日本\n  語x");
        assert_eq!(folded("abcdefgh", None, 2), "abcdefgh");
        for width in 0..4 {
            folded("日本語x", Some(width), 2);
        }
    }
}
