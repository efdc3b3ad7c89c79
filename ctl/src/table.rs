//! Columns for eyes. Widths are counted in characters: every character that gets here, the mask's
//! bullets included, is one cell wide.

use crate::output::printable;

/// Lays rows out under their header. The last column is not padded.
pub(crate) fn render<const N: usize>(header: [&str; N], rows: &[[String; N]], colour: bool) -> String {
    render_marked(header, rows, colour, |_| false)
}

/// The same; with colour, the rows of which `is_marked` says so stand out.
pub(crate) fn render_marked<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    colour: bool,
    is_marked: impl Fn(usize) -> bool,
) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let mut widths = header.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let titles = line(header.iter().copied(), &widths);
    let mut text = if colour { format!("\x1b[1m{titles}\x1b[0m\n") } else { format!("{titles}\n") };
    for (at, row) in rows.iter().enumerate() {
        let line = line(row.iter().map(String::as_str), &widths);
        text.push_str(&if colour && is_marked(at) {
            format!("\x1b[31m{line}\x1b[0m\n")
        } else {
            line + "\n"
        });
    }
    text
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.zip(widths) {
        text.push_str(&format!("{cell:<width$}  "));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_characters_not_bytes() {
        let rows = [
            ["A".into(), "sk-pro••••789".into(), "x".into()],
            ["LONGER_NAME".into(), "••••".into(), "y".into()],
            ["B".into(), "\u{fffd}b••••\nd".into(), "z".into()],
        ];
        assert_eq!(
            render(["NAME", "MASKED", "U"], &rows, false),
            "NAME         MASKED         U\n\
             A            sk-pro••••789  x\n\
             LONGER_NAME  ••••           y\n\
             B            \u{fffd}b••••\u{fffd}d       z\n"
        );
    }

    #[test]
    fn colour_marks_the_header_and_what_is_to_stand_out() {
        let rows = [["x".into()], ["y".into()]];
        assert_eq!(render(["A"], &rows, true), "\x1b[1mA\x1b[0m\nx\ny\n");
        let marked = |colour| render_marked(["A"], &rows, colour, |at| at == 1);
        assert_eq!(marked(true), "\x1b[1mA\x1b[0m\nx\n\x1b[31my\x1b[0m\n");
        assert_eq!(marked(false), "A\nx\ny\n");
    }
}
