//! The log as a person at a terminal sees it: each entry on one line of the window, in the time of the place, with the
//! directory in which a program got its values.

use jiff::tz::TimeZone;
use secrets_proto::audit::{AuditEntry, AuditOutcome};

use crate::clock::Clock;
use crate::output::Output;
use crate::table::{self, Cut, Style};

/// The columns, with how far each is cut. `BY` is in the place of caller and token in a narrow window.
const COLUMNS: [(&str, Cut); 9] = [
    ("TIME", Cut::Never),
    ("BY", Cut::End(8)),
    ("CALLER", Cut::End(8)),
    ("TOKEN", Cut::End(5)),
    ("ACTION", Cut::End(6)),
    ("NAMES", Cut::End(16)),
    ("OUTCOME", Cut::End(7)),
    ("DIRECTORY", Cut::Beginning(9)),
    ("FOR", Cut::Rest(8)),
];

/// The columns that not every window has, by their places in a row.
const BY: usize = 1;
const CALLER: usize = 2;
const TOKEN: usize = 3;
const DIRECTORY: usize = 7;
const FOR: usize = 8;

/// A window of so many columns has no room for year and seconds, and none for caller and token both. In one of fewer a row
/// takes two lines.
const NARROW: std::ops::Range<usize> = 80..100;

/// Lays the entries out in a window of so many columns. `row` gives an entry's cells without directory.
pub(super) fn render(
    entries: &[AuditEntry],
    utc: bool,
    output: Output,
    columns: Option<usize>,
    row: impl Fn(&AuditEntry) -> [String; 7],
) -> String {
    let clock = Clock::in_zone(if utc { TimeZone::UTC } else { TimeZone::system() });
    let home = crate::environment::home();
    let home = home.as_ref().and_then(|home| home.to_str());
    let is_narrow = columns.is_some_and(|columns| NARROW.contains(&columns));
    let format = match columns {
        Some(_) if is_narrow => "%m-%d %H:%M",
        Some(columns) if columns < NARROW.start => "%m-%d %H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    let mut rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let [_, caller, token, action, names, outcome, what_for] = row(entry);
            let directory =
                entry.directory.as_ref().map_or_else(String::new, |path| short(path.as_str(), home));
            let by = by(&caller, &token);
            let time = clock.written(entry.time, format);
            // Why is in a wider window, and in JSON.
            let outcome = if is_narrow { in_a_word(outcome) } else { outcome };
            vec![time, by, caller, token, action, names, outcome, directory, what_for]
        })
        .collect();
    let is_empty = |at: usize| rows.iter().all(|row| row.get(at).is_some_and(String::is_empty));
    let gone = [
        (BY, !is_narrow),
        (CALLER, is_narrow),
        (TOKEN, is_narrow),
        (DIRECTORY, is_empty(DIRECTORY) && columns.is_some_and(|columns| columns >= NARROW.start)),
        (FOR, is_empty(FOR) && columns.is_some_and(|columns| columns >= NARROW.start)),
    ];
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|at| !gone.contains(&(*at, true))).collect();
    for row in &mut rows {
        *row = shown.iter().filter_map(|at| row.get(*at).cloned()).collect();
    }
    let (mut header, cuts): (Vec<&str>, Vec<Cut>) =
        shown.iter().filter_map(|at| COLUMNS.get(*at).copied()).unzip();
    if let Some(time) = header.first_mut().filter(|_| utc) {
        *time = "TIME (UTC)";
    }
    if let Some(columns) = columns {
        table::fit(&header, &mut rows, &cuts, columns);
    }
    let style = |at: usize| {
        let entry = entries.get(at)?;
        (entry.outcome == AuditOutcome::Denied).then_some(Style::Red)
    };
    table::render_styled(&header, &rows, output.colour, columns, style)
}

/// How it ended, without the reason.
fn in_a_word(outcome: String) -> String {
    outcome.split_once(':').map(|(word, _)| word.to_owned()).unwrap_or(outcome)
}

/// Who it was in a word: the token, if it is not the owner's, or else the program, without the number of its process.
fn by(caller: &str, token: &str) -> String {
    if !matches!(token, "owner" | "-") {
        return token.to_owned();
    }
    match caller.split_once('[').zip(caller.split_once(']')) {
        Some(((name, _), (_, rest))) => format!("{name}{rest}"),
        None => caller.to_owned(),
    }
}

/// A directory as people write it: `~` is home.
pub(crate) fn short(path: &str, home: Option<&str>) -> String {
    match home.filter(|home| *home != "/").and_then(|home| path.strip_prefix(home)) {
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::width_of;

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
            assert!(text.contains("04-15 12:00"), "{text}");
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
    fn a_narrow_window_has_what_tells_something() {
        let entries = [entry(&["OPENAI_API_KEY", "DATABASE_URL"], "/srv/a/long/path/to/some/shop")];
        let at = |columns, entries: &[AuditEntry]| {
            render(entries, true, PLAIN, Some(columns), |entry| super::super::row(entry, 1))
        };
        let text = at(80, &entries);
        assert!(text.starts_with("TIME (UTC)   BY         ACTION  NAMES"), "{text}");
        assert!(text.contains("04-15 12:00  secretctl  reveal  OPENAI_API_KEY,"), "{text}");
        assert!(text.contains("some/shop  run npm"), "{text}");
        let mut others = entries.clone();
        others[0].caller.comm = Some("curl".to_owned());
        assert!(at(80, &others).contains("  curl  reveal"));
        others[0].caller.token = "agent".to_owned();
        assert!(at(80, &others).contains("  agent  reveal"));
        assert!(at(120, &entries).contains("secretctl[4711]  owner"));
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
