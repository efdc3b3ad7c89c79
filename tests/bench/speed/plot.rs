//! The pictures: plain SVG, readable on a light and on a dark page.

use std::fmt::Write;

use crate::grown::{Growth, Step};
use crate::report::Report;

const STYLE: &str = "<style>text{font:12px sans-serif;fill:#808080}line{stroke:#808080}\
                     .met{fill:#3a8f5c}.missed{fill:#c8553d}polyline{fill:none;stroke-width:2}</style>";

/// A bar for each goal, as long as the goal is met: at the line it is just met, beyond it better.
pub fn goals(report: &Report) -> String {
    const ROW: usize = 22;
    const LEFT: usize = 340;
    const UNIT: f64 = 110.0;
    /// Longer bars are cut.
    const MOST: f64 = 4.0;
    let rows: Vec<_> = report.rows.iter().filter_map(|row| row.margin.map(|margin| (row, margin))).collect();
    let height = (rows.len() + 2) * ROW;
    let mut svg = open(LEFT + (UNIT * MOST) as usize + 90, height);
    for (at, (row, margin)) in rows.iter().enumerate() {
        let y = (at + 1) * ROW;
        let (width, class) = (margin.min(MOST) * UNIT, if *margin >= 1.0 { "met" } else { "missed" });
        let (end, base) = (LEFT as f64 + width + 6.0, y + 12);
        let (x, what, ours) = (LEFT - 8, escape(&row.what), escape(&row.ours));
        writeln!(
            svg,
            "<text x='{x}' y='{base}' text-anchor='end'>{what}</text>\
             <rect class='{class}' x='{LEFT}' y='{y}' width='{width:.0}' height='16'/>\
             <text x='{end:.0}' y='{base}'>{ours}</text>"
        )
        .unwrap();
    }
    let goal = LEFT as f64 + UNIT;
    writeln!(
        svg,
        "<line x1='{goal}' x2='{goal}' y1='{ROW}' y2='{}'/><text x='{goal}' y='14' text-anchor='middle'>goal</text>\
         </svg>",
        height - ROW
    )
    .unwrap();
    svg
}

/// Both axes in powers of ten: what grows as the number of secrets rises with the grid's diagonal.
pub fn growth(growth: &Growth) -> String {
    const LEFT: f64 = 60.0;
    const TOP: f64 = 20.0;
    const DECADE: f64 = 90.0;
    type Line = (&'static str, &'static str, fn(&Step) -> f64);
    const LINES: [Line; 5] = [
        ("list", "#4472c4", |step| step.list),
        ("get", "#3a8f5c", |step| step.get),
        ("set", "#c8553d", |step| step.set),
        ("reveal", "#b8860b", |step| step.reveal),
        ("unlock", "#8e5ea2", |step| step.unlock),
    ];
    /// From 10 µs to 10 s.
    const DECADES: [&str; 7] = ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
    let (columns, rows) = (growth.0.len() - 1, DECADES.len() - 1);
    let (right, bottom) = (LEFT + DECADE * columns as f64, TOP + DECADE * rows as f64);
    let mut svg = open(right as usize + 90, bottom as usize + 40);
    for (at, name) in DECADES.iter().enumerate() {
        let y = bottom - DECADE * at as f64;
        writeln!(
            svg,
            "<line x1='{LEFT}' x2='{right}' y1='{y}' y2='{y}' stroke-opacity='.3'/>\
             <text x='{}' y='{}' text-anchor='end'>{name}</text>",
            LEFT - 6.0,
            y + 4.0
        )
        .unwrap();
    }
    let across = |at: usize| LEFT + DECADE * at as f64;
    for (at, step) in growth.0.iter().enumerate() {
        let (x, y) = (across(at), bottom + 18.0);
        writeln!(svg, "<text x='{x}' y='{y}' text-anchor='middle'>{}</text>", step.secrets).unwrap();
    }
    for (name, colour, time) in LINES {
        let up = |step: &Step| bottom - DECADE * (time(step) / 1e-5).log10();
        let points: Vec<_> = growth
            .0
            .iter()
            .enumerate()
            .map(|(at, step)| format!("{:.0},{:.0}", across(at), up(step)))
            .collect();
        let last = growth.0.last().map_or(0.0, up) + 4.0;
        writeln!(
            svg,
            "<polyline stroke='{colour}' points='{}'/><text x='{}' y='{last:.0}' style='fill:{colour}'>{name}</text>",
            points.join(" "),
            right + 6.0
        )
        .unwrap();
    }
    svg + "</svg>\n"
}

fn open(width: usize, height: usize) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}'>{STYLE}\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
