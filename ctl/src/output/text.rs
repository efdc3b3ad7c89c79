//! Text from others among our own: it stays on its line and in its column, so that none of it can pass for more than it
//! is.

use std::borrow::Cow;

use secrets_local::wrapping::width_of;
use unicode_width::UnicodeWidthChar;

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

/// Printable text on as many lines of this width as it takes, those after the first indented. Lines end between words, and
/// within a word that is wider than a line. Without a width it is one line.
pub(crate) fn folded(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(room) = width.and_then(|width| width.checked_sub(indent)).filter(|room| *room > 1) else {
        return text.to_owned();
    };
    let (mut lines, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        let (line, more) = split(rest, room);
        // The last, or a character that is wider than the line.
        if more.is_empty() || line.is_empty() {
            lines.push_str(rest);
            return lines;
        }
        let between = if more.starts_with(' ') { None } else { line.rfind(' ').filter(|at| *at > 0) };
        let (line, more) = rest.split_at(between.unwrap_or(line.len()));
        lines.push_str(line.trim_end_matches(' '));
        lines.push_str(&format!("\n{:indent$}", ""));
        rest = more.trim_start_matches(' ');
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
    fn lines_after_the_first_are_indented() {
        assert_eq!(folded("abcdefgh", Some(6), 2), "abcd\n  efgh");
        assert_eq!(folded("日本語x", Some(6), 2), "日本\n  語x");
        assert_eq!(folded("abcdefgh", None, 2), "abcdefgh");
        assert_eq!(folded("ab cd ef", Some(6), 2), "ab\n  cd\n  ef");
        assert_eq!(folded("abcd   efghij k", Some(8), 2), "abcd\n  efghij\n  k");
        for width in 0..4 {
            folded("日本語x", Some(width), 2);
        }
    }
}
