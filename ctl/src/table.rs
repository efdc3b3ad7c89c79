//! Columns for eyes. What stands in a cell is on one line and has no two blanks in a row, which part columns.

use std::borrow::Cow;

use crate::output::{cut, in_one_line, width_of};

/// What is shown, and how wide it is.
type Cell<'a> = (Cow<'a, str>, usize);

/// How a row stands out, where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Red,
    Yellow,
}

/// Lays rows out under their header. The last column is not padded.
pub(crate) fn render<const N: usize>(
    header: [&str; N],
    rows: &[[impl AsRef<str>; N]],
    colour: bool,
) -> String {
    render_styled(&header, rows, colour, None, |_| None)
}

/// Lays rows out as [`render`] does; with colour, the rows that have a style stand out. The last column is free text if the
/// terminal's columns are given: it ends with the line of the terminal on which it begins, so that nothing of it can pass
/// for a row. A row has as many cells as the header.
pub(crate) fn render_styled<T: AsRef<str>>(
    header: &[&str],
    rows: &[impl AsRef<[T]>],
    colour: bool,
    columns: Option<usize>,
    style: impl Fn(usize) -> Option<Style>,
) -> String {
    let mut rows: Vec<Vec<Cell<'_>>> =
        rows.iter().map(|row| row.as_ref().iter().map(|cell| shown(cell.as_ref())).collect()).collect();
    let header: Vec<Cell<'_>> = header.iter().map(|cell| shown(cell)).collect();
    let mut widths = vec![0; header.len()];
    for row in rows.iter().chain([&header]) {
        for (widest, (_, width)) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(*width);
        }
    }
    let start: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
    if let Some(columns) = columns {
        let room = columns - start % columns;
        for (cell, width) in
            rows.iter_mut().filter_map(|row| row.last_mut()).filter(|(_, width)| *width > room)
        {
            *cell = Cow::Owned(cut(cell, room).into_owned());
            *width = room;
        }
    }
    let width = start + widths.last().map_or(0, |width| width + 2);
    let mut text = String::with_capacity((rows.len() + 1) * width * 2);
    line(&mut text, &header, &widths, colour.then_some("\x1b[1m"));
    for (at, row) in rows.iter().enumerate() {
        let style = style(at).filter(|_| colour).map(|style| match style {
            Style::Red => "\x1b[31m",
            Style::Yellow => "\x1b[33m",
        });
        line(&mut text, row, &widths, style);
    }
    text
}

fn shown(cell: &str) -> Cell<'_> {
    let cell = in_one_line(cell);
    let width = width_of(&cell);
    (cell, width)
}

fn line(text: &mut String, cells: &[Cell<'_>], widths: &[usize], mark: Option<&str>) {
    text.push_str(mark.unwrap_or_default());
    let start = text.len();
    // Blanks are written when something follows them.
    let mut blanks = 0;
    for ((cell, width), widest) in cells.iter().zip(widths) {
        if !cell.is_empty() {
            text.extend(std::iter::repeat_n(' ', blanks));
            blanks = 0;
        }
        text.push_str(cell);
        blanks += widest - width + 2;
    }
    // Those of a cell's own at the end are not.
    text.truncate(start + text.get(start..).map_or(0, |line| line.trim_end().len()));
    text.push_str(if mark.is_some() { "\x1b[0m\n" } else { "\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_cells_not_bytes() {
        let rows = [
            ["A", "sk-pro••••789", "x"],
            ["LONGER_NAME", "••••", "y"],
            ["B", "\u{fffd}b••••\nd", "z"],
            ["C", "", ""],
            ["", " ", ""],
        ];
        assert_eq!(
            render(["NAME", "MASKED", "U"], &rows, false),
            "NAME         MASKED         U\n\
             A            sk-pro••••789  x\n\
             LONGER_NAME  ••••           y\n\
             B            \u{fffd}b••••\u{fffd}d       z\n\
             C\n\n"
        );
    }

    #[test]
    fn free_text_ends_with_its_line_and_has_no_gaps() {
        let rows = [["A", &format!("x{}2026-04-15  B", " ".repeat(60))], ["日本", &"y".repeat(50)]];
        let lines = |columns| render_styled(&["T", "FOR"], &rows, false, columns, |_| None);
        assert_eq!(lines(None), format!("T     FOR\nA     x 2026-04-15 B\n日本  {}\n", "y".repeat(50)));
        assert_eq!(lines(Some(20)), format!("T     FOR\nA     x 2026-04-15 B\n日本  {}…\n", "y".repeat(13)));
        // It begins on the terminal's second line.
        assert_eq!(lines(Some(5)), "T     FOR\nA     x 2…\n日本  yyy…\n");
    }

    #[test]
    fn colour_marks_the_header_and_what_is_to_stand_out() {
        let rows = [["x"], ["y"]];
        assert_eq!(render(["A"], &rows, true), "\x1b[1mA\x1b[0m\nx\ny\n");
        let marked =
            |colour| render_styled(&["A"], &rows, colour, None, |at| (at == 1).then_some(Style::Red));
        assert_eq!(marked(true), "\x1b[1mA\x1b[0m\nx\n\x1b[31my\x1b[0m\n");
        assert_eq!(marked(false), "A\nx\ny\n");
    }
}
