//! A picture of the browser's state. Colours are few, and none says what words do not say.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, List, ListItem, Paragraph, Row as TableRow, Sparkline, Table, Wrap};
use secrets_local::wrapping;
use secrets_proto::audit::{AuditEntry, AuditOutcome};
use secrets_proto::printable::printable;
use secrets_proto::reveal::Remark;
use secrets_proto::secret::{SecretDetail, SecretVersion};
use secrets_proto::{SecretValue, Timestamp};

use super::state::{Focus, State};
use crate::age;
use crate::rows::{Row, group, with_depth};

/// What is due within this many days is told apart.
const DUE: i64 = 30;

/// The most lines that a message takes, or the keys.
const MESSAGE: usize = 4;

/// A blank at which no line ends.
const TIE: &str = "\u{a0}";

/// How many lines an ask takes, with its frame.
const ASK: u16 = 4;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, now: Timestamp) {
    let words = match state.message.as_str() {
        // A key and what it does are one word.
        "" => keys(state).split(" · ").map(|key| key.replace(' ', TIE)).collect::<Vec<_>>().join(" · "),
        message => message.to_owned(),
    };
    let words = lines(&words, frame.area().width);
    let tall = words.len().try_into().unwrap_or(1);
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(3), Constraint::Length(tall)])
            .areas(frame.area());
    let count = match state.secrets.len() {
        1 => "1 secret".to_owned(),
        count => format!("{count} secrets"),
    };
    let title = if state.is_locked { "the vault is locked".to_owned() } else { count };
    frame.render_widget(Line::from(vec![Span::styled("secretsd  ", Modifier::BOLD), Span::raw(title)]), head);
    if state.is_locked {
        frame.render_widget(Paragraph::new("Press u to unlock it, q to leave."), body);
    } else if state.shows_audit() {
        audit(frame, body, &state.audit);
    } else {
        let tall = if state.asks.is_empty() { 0 } else { ASK };
        let [top, body] = Layout::vertical([Constraint::Length(tall), Constraint::Min(3)]).areas(body);
        asks(frame, top, state);
        let [left, right] = Layout::horizontal([Constraint::Percentage(45), Constraint::Min(30)]).areas(body);
        secrets(frame, left, state, now);
        detail(frame, right, state, now);
    }
    frame.render_widget(Paragraph::new(words), foot);
    if let Some(value) = &state.value {
        shown(frame, body, state, value);
    }
}

/// These words on lines of which none ends within one: what is to be done stands at their end. A blank that ties is one of
/// no end of a line.
fn lines(words: &str, width: u16) -> Vec<Line<'static>> {
    let text = wrapping::wrapped(words, Some(width.into()), 0).replace(TIE, " ");
    text.lines().take(MESSAGE).map(|line| Line::styled(line.to_owned(), Modifier::DIM)).collect()
}

fn keys(state: &State) -> &'static str {
    if state.is_locked {
        return "u unlock · q leave";
    }
    match state.focus {
        Focus::Secrets => "/ filter · v show · c copy · r replace · Enter history · a audit · l lock · q",
        Focus::Filter => "type to filter · Enter keep it · Esc all",
        Focus::Versions => "b go back to this value · Esc back · q leave",
        Focus::Audit => "Esc back · q leave",
    }
}

fn secrets(frame: &mut Frame<'_>, area: Rect, state: &mut State, now: Timestamp) {
    let title = match (state.focus, state.filter.as_str()) {
        (Focus::Filter, filter) => format!(" filter: {filter}_ "),
        (_, "") => " secrets ".to_owned(),
        (_, filter) => format!(" filter: {filter} "),
    };
    let items: Vec<ListItem<'_>> = with_depth(&state.rows)
        .filter_map(|(row, is_member)| match row {
            Row::Group(first, count) => {
                let name = group(state.secrets.get(first)?.secret.name.as_str())?;
                Some(ListItem::new(Line::styled(state.projects.heading(name, count), Modifier::BOLD)))
            }
            Row::Secret(index) => {
                let detail = state.secrets.get(index)?;
                let (word, style) = expiry(detail, now);
                let guarded = if detail.guarded { "guarded " } else { "" };
                let name = match is_member {
                    true => format!("  {:23} {guarded}", detail.secret.name.as_str()),
                    false => format!("{:25} {guarded}", detail.secret.name.as_str()),
                };
                Some(ListItem::new(Line::from(vec![Span::raw(name), Span::styled(word, style)])))
            }
        })
        .collect();
    let list = List::new(items).block(Block::bordered().title(title)).highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(list, area, &mut state.list);
}

/// The oldest ask, which is the one that can be answered, and how many there are.
fn asks(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(ask) = state.asks.first() else { return };
    let count = state.asks.len();
    let title = if count == 1 { " asks for approval ".to_owned() } else { format!(" 1 of {count} asks ") };
    let mut facts = ask.whereabouts();
    if let Some(reason) = &ask.reason {
        facts.insert(0, format!("reason: {}", printable(reason.as_str())));
    }
    let lines = vec![
        Line::styled(ask.question(), Modifier::BOLD),
        Line::raw(format!("p answer · d deny   {}", facts.join("   "))),
    ];
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

/// What a list says of a secret's end, if that is near or over.
fn expiry(detail: &SecretDetail, now: Timestamp) -> (String, Style) {
    match detail.expires_at {
        Some(time) if time <= now => ("expired".to_owned(), Style::from(Color::Red)),
        Some(time) if time <= now.saturating_add_seconds(DUE * age::DAY) => {
            (age::until(time, now), Style::from(Color::Yellow))
        }
        Some(_) | None => (String::new(), Style::default()),
    }
}

fn detail(frame: &mut Frame<'_>, area: Rect, state: &mut State, now: Timestamp) {
    let Some(detail) = state.selected().cloned() else {
        let words = if state.secrets.is_empty() {
            "no secrets yet; leave with q, then: secretctl set NAME"
        } else {
            "choose a secret with the arrow keys"
        };
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }).block(Block::bordered()), area);
        return;
    };
    let block = Block::bordered().title(format!(" {} ", detail.secret.name));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let facts = facts(&detail, now);
    let tall = u16::try_from(facts.len()).unwrap_or(u16::MAX);
    let [top, uses, versions] =
        Layout::vertical([Constraint::Length(tall), Constraint::Length(4), Constraint::Min(2)]).areas(inner);
    frame.render_widget(Paragraph::new(facts), top);
    let total: u64 = state.uses.iter().sum();
    let title = format!("uses in 30 days: {total}");
    frame.render_widget(Sparkline::default().block(Block::new().title(title)).data(&state.uses), uses);
    let items: Vec<ListItem<'_>> = state.versions.iter().map(|version| item(version, now)).collect();
    let focused = state.focus == Focus::Versions;
    let style = if focused { Style::from(Modifier::REVERSED) } else { Style::default() };
    let list = List::new(items).block(Block::new().title("history")).highlight_style(style);
    frame.render_stateful_widget(list, versions, &mut state.version);
}

fn facts(detail: &SecretDetail, now: Timestamp) -> Vec<Line<'static>> {
    let fact = |name: &str, text: String, style: Style| {
        Line::from(vec![Span::styled(format!("{name:9}"), Modifier::DIM), Span::styled(text, style)])
    };
    let plain = Style::default();
    let ago = |time: Timestamp| match age::between(time, now).as_str() {
        "now" => "just now".to_owned(),
        age => format!("{age} ago"),
    };
    let mut lines = vec![
        fact("mask", detail.secret.masked_value.clone(), plain),
        fact("changed", ago(detail.secret.updated_at), plain),
        fact("used", detail.last_used_at.map_or_else(|| "never".to_owned(), ago), plain),
    ];
    if let Some(provider) = &detail.secret.provider {
        lines.insert(0, fact("provider", provider.to_string(), plain));
    }
    if detail.guarded {
        lines.push(fact("guarded", "a person decides".to_owned(), plain));
    }
    if let Some(time) = detail.expires_at {
        let (_, style) = expiry(detail, now);
        lines.push(fact("expires", age::until(time, now), style));
    }
    if let Some(note) = &detail.note {
        lines.push(fact("note", printable(note.as_str()).into_owned(), plain));
    }
    lines
}

fn item(version: &SecretVersion, now: Timestamp) -> ListItem<'static> {
    let mark = if version.current { "  current" } else { "" };
    let age = age::between(version.created_at, now);
    ListItem::new(format!("{:>4}  {:18}  {age}{mark}", version.version, version.masked_value))
}

fn audit(frame: &mut Frame<'_>, area: Rect, entries: &[AuditEntry]) {
    let most = usize::from(area.height.saturating_sub(3));
    let newest: Vec<&AuditEntry> = entries.iter().rev().take(most).collect();
    let zone = TimeZone::system();
    let home = std::env::var("HOME").ok();
    let rows = newest.iter().map(|entry| {
        let is_denied = entry.outcome == AuditOutcome::Denied;
        let items = entry.items.iter().map(|item| format!("\"{}\"", printable(&item.label)));
        let names: Vec<String> = entry.names.iter().map(|name| name.to_string()).chain(items).collect();
        let caller = entry.caller.comm.clone().unwrap_or_else(|| format!("pid {}", entry.caller.pid));
        let directory = entry.directory.as_ref().map_or("", Remark::as_str);
        let row = TableRow::new([
            local(entry.time, &zone),
            entry.action.as_str().to_owned(),
            names.join(","),
            printable(&caller).into_owned(),
            shortened(&printable(directory), home.as_deref()),
            if is_denied { "denied".to_owned() } else { String::new() },
        ]);
        if is_denied { row.style(Style::from(Color::Red)) } else { row }
    });
    let widest = |text: fn(&AuditEntry) -> usize, least: u16, most: u16| {
        let widest = newest.iter().map(|entry| text(entry)).max().unwrap_or(0);
        Constraint::Length(u16::try_from(widest).unwrap_or(most).clamp(least, most))
    };
    let widths = [
        Constraint::Length(16),
        widest(|entry| entry.action.as_str().len(), 6, 13),
        Constraint::Fill(3),
        widest(|entry| entry.caller.comm.as_ref().map_or(9, String::len), 6, 12),
        Constraint::Fill(2),
        widest(|entry| if entry.outcome == AuditOutcome::Denied { 6 } else { 0 }, 0, 6),
    ];
    let header = TableRow::new(["TIME", "ACTION", "NAMES", "CALLER", "DIRECTORY", ""]).style(Modifier::BOLD);
    let table = Table::new(rows, widths).header(header);
    frame.render_widget(table.block(Block::bordered().title(" audit, newest first ")), area);
}

/// A time as the clock on the wall shows it: `2026-04-15 14:00`.
fn local(time: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_second(time.as_second()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// A directory by its end, which tells more than its beginning in a narrow column.
fn shortened(path: &str, home: Option<&str>) -> String {
    const MOST: usize = 24;
    let path = match home.filter(|home| home.len() > 1).and_then(|home| path.strip_prefix(home)) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    };
    let over = path.chars().count().saturating_sub(MOST);
    if over == 0 { path } else { format!("…{}", path.chars().skip(over + 1).collect::<String>()) }
}

/// The value, over everything else.
fn shown(frame: &mut Frame<'_>, area: Rect, state: &State, value: &SecretValue) {
    let name = state.selected().map(|detail| detail.secret.name.to_string()).unwrap_or_default();
    let lines: Vec<Line<'_>> = value.expose().lines().map(|line| Line::raw(printable(line))).collect();
    let block = Block::bordered().title(format!(" {name} ")).title_bottom(" any key hides it ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_a_directory_are_those_of_the_place() {
        let time = Timestamp::parse("2026-04-15T01:00:30Z").unwrap();
        assert_eq!(local(time, &TimeZone::fixed(jiff::tz::offset(-3))), "2026-04-14 22:00");
        assert_eq!(shortened("/home/me/shop", Some("/home/me")), "~/shop");
        assert_eq!(shortened("/home/meg", Some("/home/me")), "/home/meg");
        assert_eq!(shortened("/srv/a/very/long/path/to/a/shop", None), "…ery/long/path/to/a/shop");
    }
}
