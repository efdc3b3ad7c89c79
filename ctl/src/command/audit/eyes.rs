//! The log as a person at a terminal sees it: each entry on one line of the window, in the time of the place, with the
//! directory in which a program got its values.

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use secrets_proto::Timestamp;
use secrets_proto::audit::{AuditEntry, AuditOutcome};

use crate::output::{Output, cut, in_one_line, width_of};
use crate::table::{self, Style};

/// The columns, with the fewest cells that each is cut to.
const COLUMNS: [(&str, usize); 8] = [
    ("TIME", 14),
    ("CALLER", 8),
    ("TOKEN", 5),
    ("ACTION", 6),
    ("NAMES", 8),
    ("OUTCOME", 7),
    ("DIRECTORY", 9),
    ("FOR", 8),
];

/// A window of fewer columns has no room for the year.
const NARROW: usize = 100;

/// Which columns are cut first.
const CUT: [usize; 6] = [4, 6, 1, 5, 2, 3];

/// Lays the entries out in a window of so many columns. `row` gives an entry's cells without directory.
pub(super) fn render(
    entries: &[AuditEntry],
    utc: bool,
    output: Output,
    columns: Option<usize>,
    row: impl Fn(&AuditEntry) -> [String; 7],
) -> String {
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    let home = crate::environment::home();
    let home = home.as_ref().and_then(|home| home.to_str());
    let is_narrow = columns.is_some_and(|columns| columns < NARROW);
    let mut rows: Vec<[String; 8]> = entries
        .iter()
        .map(|entry| {
            let [_, caller, token, action, names, outcome, what_for] = row(entry);
            let directory =
                entry.directory.as_ref().map_or_else(String::new, |path| short(path.as_str(), home));
            [at(entry.time, &zone, is_narrow), caller, token, action, names, outcome, directory, what_for]
        })
        .collect();
    if let Some(columns) = columns {
        fit(&mut rows, columns);
    }
    let mut header = COLUMNS.map(|(title, _)| title);
    if utc {
        header[0] = "TIME (UTC)";
    }
    let style = |at: usize| {
        let entry = entries.get(at)?;
        (entry.outcome == AuditOutcome::Denied).then_some(Style::Red)
    };
    table::render_styled(&header, &rows, output.colour, columns, style)
}

/// `2026-04-15 12:00:00`, there; in a narrow window without the year.
fn at(time: Timestamp, zone: &TimeZone, is_narrow: bool) -> String {
    let format = if is_narrow { "%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let instant = Instant::from_second(time.as_second()).unwrap_or(Instant::UNIX_EPOCH);
    instant.to_zoned_datetime(zone.clone()).strftime(format).to_string()
}

/// A directory as people write it: `~` is home.
pub(crate) fn short(path: &str, home: Option<&str>) -> String {
    match home.filter(|home| *home != "/").and_then(|home| path.strip_prefix(home)) {
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

/// Cuts cells until a row fits, those of names first; the last column has what is left.
fn fit(rows: &mut [[String; 8]], columns: usize) {
    let mut widths = COLUMNS.map(|(title, _)| title.len());
    for row in rows.iter() {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width_of(&in_one_line(cell)));
        }
    }
    let Some(((last, _), (_, least_of_last))) = widths.split_last().zip(COLUMNS.last()) else { return };
    let used: usize = widths.iter().map(|width| width + 2).sum::<usize>() - (*last + 2);
    let mut over = (used + (*last).min(*least_of_last)).saturating_sub(columns);
    for at in CUT {
        let (Some(width), Some((_, least))) = (widths.get_mut(at), COLUMNS.get(at)) else { continue };
        let less = over.min(width.saturating_sub(*least));
        *width -= less;
        over -= less;
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(at)) {
            *cell = cut(&in_one_line(cell), *width).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output { json: false, colour: false };

    fn entry(names: &[&str], directory: &str) -> AuditEntry {
        let names = names.join("\",\"");
        let json = format!(
            r#"{{"sequence":7,"time":"2026-04-15T12:00:00.123Z","action":"reveal",
            "caller":{{"uid":1,"pid":4711,"comm":"secretctl","token":"owner"}},"names":["{names}"],"purpose":"run",
            "command":"npm","directory":"{directory}","outcome":"ok"}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn an_entry_is_one_line_of_the_window() {
        let entries =
            [entry(&["OPENAI_API_KEY", "DATABASE_URL", "STRIPE_KEY"], "/srv/a/long/path/to/the/shop")];
        for columns in [80, 100, 120, 200] {
            let text = render(&entries, true, PLAIN, Some(columns), |entry| super::super::row(entry, 1));
            assert!(text.lines().all(|line| width_of(line) <= columns), "{columns}: {text}");
            assert!(text.lines().next().unwrap().starts_with("TIME (UTC)"), "{text}");
            assert!(text.contains("04-15 12:00:00  secret"), "{text}");
        }
        let text = render(&entries, true, PLAIN, Some(200), |entry| super::super::row(entry, 1));
        assert!(
            text.contains(
                "OPENAI_API_KEY,DATABASE_URL,STRIPE_KEY  ok       /srv/a/long/path/to/the/shop  run npm"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_time_is_that_of_the_place() {
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        let time = Timestamp::parse("2026-04-15T01:00:00Z").unwrap();
        assert_eq!(at(time, &zone, false), "2026-04-14 22:00:00");
        assert_eq!(at(time, &zone, true), "04-14 22:00:00");
    }

    #[test]
    fn home_is_short() {
        let home = Some("/home/me");
        for (path, text) in
            [("/home/me", "~"), ("/home/me/shop", "~/shop"), ("/home/meg", "/home/meg"), ("/srv", "/srv")]
        {
            assert_eq!(short(path, home), text);
        }
        assert_eq!(short("/srv", Some("/")), "/srv");
    }
}
