//! The table of results: what, the goal, the floor, ours, their ratio, and whether the goal is met.

use std::fmt::Write;

use crate::grown::Growth;

/// One measurement beside its goal.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What is to be reached.
    pub goal: String,
    /// What cannot be beaten, measured in the same run.
    pub floor: String,
    /// What came out.
    pub ours: String,
    /// Ours by the floor.
    pub ratio: Option<f64>,
    /// By how much the goal is met: 1 is just met, 2 twice as well. None where there is no goal.
    pub margin: Option<f64>,
}

impl Row {
    /// The middle ones of these times in seconds, the floor's and ours, which may take so many times as long.
    pub fn of_times(what: &str, goal: f64, rounds: &[(f64, f64)]) -> Self {
        let ratio = median(rounds.iter().map(|(floor, ours)| ours / floor).collect());
        Self {
            what: what.to_owned(),
            goal: format!("≤ {goal}×"),
            floor: time(median(rounds.iter().map(|(floor, _)| *floor).collect())),
            ours: time(median(rounds.iter().map(|(_, ours)| *ours).collect())),
            ratio: Some(ratio),
            margin: Some(goal / ratio),
        }
    }
}

/// All measurements of one run.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they were made.
    pub rows: Vec<Row>,
}

impl Report {
    /// Adds a row, and shows it at once.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}: {} (floor {}, goal {})", row.what, row.ours, row.floor, row.goal);
        self.rows.push(row);
    }

    /// The table in Markdown, which is readable as it is.
    pub fn table(&self) -> String {
        let head = ["what", "goal", "floor", "ours", "ratio", "met"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let ratio = row.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}×"));
            let met = row.margin.map_or("–", |margin| if margin >= 1.0 { "yes" } else { "no" });
            [&row.what, &row.goal, &row.floor, &row.ours, &ratio, met].map(String::from)
        });
        columns(&head, &rows.collect::<Vec<_>>())
    }
}

/// The page that is committed.
pub fn markdown(report: &Report, growth: &Growth, log: &str) -> String {
    format!(
        "# Measured by `make bench`\n\n{}\n\n{}\n![How far each goal is met](goals.svg)\n\n\
         ## Growth\n\nMiddle time of a request over one connection, and of an unlock with a key file.\n\n{}\n\
         ![Growth with the number of secrets](growth.svg)\n\n\
         With 100 secrets and a longer audit log:\n\n{log}",
        machine(),
        report.table(),
        growth.table()
    )
}

/// Aligned columns of Markdown.
pub fn columns<R: AsRef<[String]>>(head: &[String], rows: &[R]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(AsRef::as_ref).chain([head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(text, "| {cell:width$} ").unwrap();
        }
        text += "|\n";
    };
    line(head);
    line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    for row in rows {
        line(row.as_ref());
    }
    text
}

/// What this was measured on, as a sentence.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    format!(
        "{processors} × {model}, Linux {}. Absolute times are this machine's; each ratio is to a floor measured in \
         turns with it.",
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A time as people write it.
pub fn time(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{:.0} µs", seconds * 1e6),
        ..1e-1 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// A rate as people write it.
pub fn rate(per_second: f64) -> String {
    let digits = format!("{per_second:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + "/s"
}
