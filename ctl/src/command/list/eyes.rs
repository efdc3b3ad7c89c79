//! The list as a person at a terminal sees it: in groups, with ages instead of times, and what expires stands out.

use secrets_proto::Timestamp;
use secrets_proto::secret::SecretDetail;

use crate::output::Output;
use crate::table::{self, Cut, Style};
use crate::{age, mask};

/// From this long before a secret expires it stands out.
const DUE: i64 = 14 * 86_400;

/// Lays the secrets out, in groups by what their names begin with if they are `grouped`. `rows` and `columns` are those of the
/// terminal.
pub(super) fn render(
    secrets: &[SecretDetail],
    grouped: bool,
    output: Output,
    (rows, columns): (Option<usize>, Option<usize>),
    now: Timestamp,
) -> String {
    let groups = if grouped { groups(secrets) } else { Vec::new() };
    let is_grouped = groups.iter().any(|(title, _)| title.is_some());
    let order: Vec<&SecretDetail> = if is_grouped {
        groups.iter().flat_map(|(_, members)| members.iter().copied()).collect()
    } else {
        secrets.iter().collect()
    };
    // Groups are indented.
    let columns = columns.map(|columns| if is_grouped { columns.saturating_sub(2) } else { columns });
    let table = table(&order, output.colour, columns, now);
    let mut lines = table.lines();
    let mut text = String::new();
    if is_grouped {
        text.extend(lines.next().map(|header| format!("  {header}\n")));
        for (title, members) in &groups {
            text.push_str(&format!("{} ({})\n", title.unwrap_or("other"), members.len()));
            text.extend(lines.by_ref().take(members.len()).map(|line| format!("  {line}\n")));
        }
    } else {
        text.push_str(&table);
    }
    let shown = text.lines().count();
    text.push_str(&count(secrets.len()));
    let largest = groups.iter().filter_map(|(title, members)| Some((members.len(), (*title)?))).max();
    if let Some((_, prefix)) = largest.filter(|_| rows.is_some_and(|rows| shown + 2 > rows)) {
        text.push_str(&format!("; narrow down: secretctl list '{prefix}_*'"));
    }
    text.push('\n');
    text
}

fn count(secrets: usize) -> String {
    if secrets == 1 { "1 secret".to_owned() } else { format!("{secrets} secrets") }
}

/// A group's title and members; those that are alone share one without a title.
type Group<'a> = (Option<&'a str>, Vec<&'a SecretDetail>);

/// Two secrets or more whose names begin with the same word are a group; the others are one at the end. They come by name.
fn groups(secrets: &[SecretDetail]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut alone = Vec::new();
    let all: Vec<&SecretDetail> = secrets.iter().collect();
    for members in all.chunk_by(|one, other| first_word(one) == first_word(other)) {
        let title = members.first().map(|first| first_word(first));
        match title.filter(|title| members.len() > 1 && !title.is_empty()) {
            Some(title) => groups.push((Some(title), members.to_vec())),
            None => alone.extend(members),
        }
    }
    if !alone.is_empty() {
        groups.push((None, alone));
    }
    groups
}

/// What a name begins with: a project's own name, behind which there are two underscores, or a word.
fn first_word(detail: &SecretDetail) -> &str {
    let name = detail.secret.name.as_str();
    let of_project = name.split_once("__").map(|(project, _)| project).filter(|project| !project.is_empty());
    of_project.unwrap_or_else(|| name.split('_').next().unwrap_or_default())
}

/// How far columns are cut in a narrow window: times never.
const CUTS: [Cut; 3] = [Cut::End(24), Cut::End(8), Cut::End(6)];

fn table(secrets: &[&SecretDetail], colour: bool, columns: Option<usize>, now: Timestamp) -> String {
    let style = |at: usize| -> Option<Style> {
        let expires = secrets.get(at)?.expires_at?;
        if expires <= now {
            return Some(Style::Red);
        }
        (expires <= now.saturating_add_seconds(DUE)).then_some(Style::Yellow)
    };
    let is_used = secrets.iter().any(|detail| detail.last_used_at.is_some());
    let expires = secrets.iter().any(|detail| detail.expires_at.is_some());
    let stays = secrets.iter().any(|detail| detail.local);
    let mut rows: Vec<Vec<String>> = secrets
        .iter()
        .map(|detail| {
            let provider = detail.secret.provider.as_ref().map_or("-", |provider| provider.as_str());
            let since = |time: Option<Timestamp>| time.map(|time| age::since(time, now));
            let mut row = vec![
                detail.secret.name.to_string(),
                provider.to_owned(),
                mask::shown(&detail.secret.masked_value, Some(detail.size_class)).into_owned(),
                since(detail.value_changed_at).unwrap_or_else(|| "-".to_owned()),
            ];
            if is_used {
                row.push(since(detail.last_used_at).unwrap_or_else(|| "never".to_owned()));
            }
            if expires {
                row.push(detail.expires_at.map(|time| age::until(time, now)).unwrap_or_default());
            }
            if stays {
                row.push(if detail.local { "local" } else { "" }.to_owned());
            }
            row
        })
        .collect();
    let mut header = vec!["NAME", "PROVIDER", "MASKED", "AGE"];
    header.extend(is_used.then_some("USED"));
    header.extend(expires.then_some("EXPIRES"));
    header.extend(stays.then_some("STAYS"));
    if let Some(columns) = columns {
        table::fit(&header, &mut rows, &CUTS, columns);
    }
    table::render_styled(&header, &rows, colour, None, style)
}

#[cfg(test)]
mod tests {
    use secrets_proto::secret::SizeClass;

    use super::*;

    fn detail(name: &str, age: i64, used: Option<i64>, expires: Option<i64>) -> SecretDetail {
        let at = |second| Timestamp::from_second(second).unwrap();
        let text = format!(
            r#"{{"id":"2489e9ad-2ee2-4e00-8ec9-32d5f69181c0","name":"{name}","provider":null,"masked_value":"••••",
                "created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#
        );
        SecretDetail {
            secret: serde_json::from_str(&text).unwrap(),
            version: 1,
            last_used_at: used.map(|ago| at(NOW - ago)),
            expires_at: expires.map(|ahead| at(NOW + ahead)),
            note: None,
            size_class: SizeClass::Small,
            value_changed_at: Some(at(NOW - age)),
            guarded: false,
            conflict: false,
            local: false,
        }
    }

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;
    const PLAIN: Output = Output { json: false, colour: false };

    fn shown(secrets: &[SecretDetail], grouped: bool, output: Output, rows: Option<usize>) -> String {
        render(secrets, grouped, output, (rows, None), Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn secrets_are_in_groups_with_ages() {
        let secrets = [
            detail("AWS_KEY", 3 * DAY, None, None),
            detail("GH", 250 * DAY, None, None),
            detail("SHOP_A", 60, Some(120), None),
            detail("SHOP_B", 0, None, Some(3 * DAY + 1)),
        ];
        let text = shown(&secrets, true, PLAIN, None);
        let expected = "  NAME     PROVIDER  MASKED  AGE       USED   EXPIRES\n\
            SHOP (2)\n  SHOP_A   -         ••••    1 min     2 min\n  SHOP_B   -         ••••    now       never  in 3 d\n\
            other (2)\n  AWS_KEY  -         ••••    3 d       never\n  GH       -         ••••    8 months  never\n4 secrets\n";
        assert_eq!(text, expected);
        assert!(
            shown(&secrets, true, PLAIN, Some(5))
                .ends_with("4 secrets; narrow down: secretctl list 'SHOP_*'\n")
        );
        assert!(shown(&secrets, false, PLAIN, None).starts_with("NAME     PROVIDER"));
        let few = shown(&secrets[..2], true, PLAIN, None);
        assert_eq!(
            few,
            "NAME     PROVIDER  MASKED  AGE\nAWS_KEY  -         ••••    3 d\nGH       -         ••••    8 months\n2 secrets\n"
        );
    }

    #[test]
    fn a_secret_is_one_line_of_the_window() {
        let long = format!("SHOP_{}", "LONG_".repeat(12));
        let secrets = [
            detail(&format!("{long}A"), 0, Some(5), Some(90 * DAY)),
            detail(&format!("{long}B"), 0, None, None),
        ];
        let now = Timestamp::from_second(NOW).unwrap();
        let text = render(&secrets, true, PLAIN, (None, Some(80)), now);
        assert!(text.lines().all(|line| crate::output::width_of(line) <= 80), "{text}");
        assert!(text.contains("…") && text.contains("in 90 d"), "{text}");
        assert!(!render(&secrets, true, PLAIN, (None, Some(200)), now).contains('…'));
    }

    #[test]
    fn what_expires_stands_out() {
        let secrets = [
            detail("A", 0, None, Some(-1)),
            detail("B", 0, None, Some(DAY)),
            detail("C", 0, None, Some(15 * DAY)),
        ];
        let text = shown(&secrets, true, Output { json: false, colour: true }, None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("\x1b[31mA") && lines[1].contains("expired"), "{text:?}");
        assert!(lines[2].starts_with("\x1b[33mB") && lines[2].contains("in 24 h"), "{text:?}");
        assert!(lines[3].starts_with('C'), "{text:?}");
        assert!(!shown(&secrets, true, PLAIN, None).contains('\x1b'));
    }
}
