//! Columns for eyes. What stands in a cell is on one line and has no two blanks in a row, which part columns.

use std::borrow::Cow;

use crate::output::{cut, cut_beginning, in_one_line, width_of};

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

/// Lays rows out in a window of so many columns, if it is one. Where they do not fit, only the columns at these places are
/// shown, and cut as far as they may be.
pub(crate) fn render_in_window(
    columns: &[(&str, Cut)],
    mut rows: Vec<Vec<String>>,
    fewer: &[usize],
    window: Option<usize>,
    colour: bool,
) -> String {
    let mut columns = columns.to_vec();
    let header =
        |columns: &[(&str, Cut)]| columns.iter().map(|(title, _)| title.to_string()).collect::<Vec<_>>();
    if let Some(window) = window {
        let titles = header(&columns);
        let all = rows.iter().chain([&titles]).fold(vec![0; columns.len()], |widths, row| {
            widths
                .iter()
                .zip(row)
                .map(|(widest, cell): (&usize, _)| width_of(&in_one_line(cell)).max(*widest))
                .collect()
        });
        if all.iter().sum::<usize>() + 2 * all.len().saturating_sub(1) > window {
            columns = fewer.iter().filter_map(|at| columns.get(*at).copied()).collect();
            for row in &mut rows {
                *row = fewer.iter().filter_map(|at| row.get(*at).cloned()).collect();
            }
        }
        let (titles, cuts): (Vec<&str>, Vec<Cut>) = columns.iter().copied().unzip();
        fit(&titles, &mut rows, &cuts, window);
    }
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    render_styled(&titles, &rows, colour, None, |_| None)
}

/// How far a column may be cut, in cells, so that a row fits on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all.
    Never,
    /// Its end, down to this many.
    End(usize),
    /// Its beginning, down to this many: what the end of a path says is worth more.
    Beginning(usize),
    /// Not here: as the last column it has what is left of the line, and at least this many.
    Rest(usize),
}

/// Cuts cells until each row fits into so many columns, the widest columns first. Rows whose least is wider stay wider.
pub(crate) fn fit(header: &[&str], rows: &mut [impl AsMut<[String]>], cuts: &[Cut], columns: usize) {
    let mut widths: Vec<usize> = header.iter().map(|title| width_of(title)).collect();
    for row in rows.iter_mut() {
        for (widest, cell) in widths.iter_mut().zip(row.as_mut()) {
            *cell = in_one_line(cell).into_owned();
            *widest = (*widest).max(width_of(cell));
        }
    }
    for (width, how) in widths.iter_mut().zip(cuts) {
        if let Cut::Rest(least) = how {
            *width = (*width).min(*least);
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
    while over > 0 {
        let spare = |at: usize, width: usize| match cuts.get(at) {
            Some(Cut::End(least) | Cut::Beginning(least)) => width > *least,
            Some(Cut::Never | Cut::Rest(_)) | None => false,
        };
        let widest = widths.iter_mut().enumerate().filter(|(at, width)| spare(*at, **width));
        let Some((_, width)) = widest.max_by_key(|(_, width)| **width) else { break };
        *width -= 1;
        over -= 1;
    }
    for row in rows.iter_mut() {
        for ((cell, width), how) in row.as_mut().iter_mut().zip(&widths).zip(cuts) {
            *cell = match how {
                Cut::Never | Cut::Rest(_) => continue,
                Cut::End(_) => cut(cell, *width).into_owned(),
                Cut::Beginning(_) => cut_beginning(cell, *width).into_owned(),
            };
        }
    }
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
    fn the_widest_columns_are_cut_until_a_row_fits() {
        let header = ["NAME", "ID", "DIRECTORY", "FOR"];
        let cuts = [Cut::End(4), Cut::Never, Cut::Beginning(5), Cut::End(3)];
        let fitted = |columns| {
            let mut rows = [["A_LONG_NAME", "123456", "/srv/a/shop", "run npm"].map(str::to_owned)];
            fit(&header, &mut rows, &cuts, columns);
            rows[0].join("|")
        };
        assert_eq!(fitted(80), "A_LONG_NAME|123456|/srv/a/shop|run npm");
        assert_eq!(
            fitted(35),
            "A_LONG_N…|123456|…v/a/shop|run npm"
                .replace("A_LONG_N…", "A_LONG_…")
                .replace("…v/a/shop", "…/a/shop")
        );
        // No further than they may be cut.
        assert_eq!(fitted(10), "A_L…|123456|…shop|ru…");
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
