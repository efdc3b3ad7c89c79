//! Names that a person ticks, on standard output, one a line.

#![expect(clippy::wildcard_enum_match_arm, reason = "a key that means nothing here does nothing")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{List, ListItem, ListState, Paragraph};
use secrets_proto::secret::Secret;
use secrets_proto::{Timestamp, Uuid};

use crate::daemon::{Daemon, Refused};
use crate::rows::{Projects, Row, group, rows, with_depth};
use crate::screen::{Input, Screen, is_interrupt};
use crate::{Arguments, CANCELLED, age, failed};

/// How long nothing may happen before it is looked for again.
const PAUSE: Duration = Duration::from_secs(60);

/// What is on the screen.
struct Picker {
    title: String,
    projects: Projects,
    secrets: Vec<Secret>,
    /// Those about which a person decides.
    guarded: BTreeSet<Uuid>,
    filter: String,
    ticked: BTreeSet<usize>,
    rows: Vec<Row>,
    list: ListState,
}

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Stay,
    Done,
    Cancel,
}

/// Picks names and prints them.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let daemon = match Daemon::find(arguments) {
        Ok(daemon) => daemon,
        Err(reason) => return failed(&reason),
    };
    let details = match daemon.details() {
        Ok(secrets) if secrets.is_empty() => {
            return failed("there are no secrets yet; store one with: secretctl set NAME");
        }
        Ok(secrets) => secrets,
        Err(Refused::Ask(_)) => return failed("a person must allow that first"),
        Err(Refused::Locked) => return failed("the vault is locked; run: secretctl unlock"),
        Err(Refused::Other(reason)) => return failed(&reason),
    };
    let guarded = details.iter().filter(|detail| detail.guarded).map(|detail| detail.secret.id).collect();
    let secrets = details.into_iter().map(|detail| detail.secret).collect();
    let mut picker = Picker::new(arguments.title.clone(), arguments.projects.clone(), secrets, guarded);
    let answer = match File::options().write(true).open("/dev/tty").and_then(|tty| give_up_stdout(&tty)) {
        Ok(answer) => answer,
        Err(error) => return failed(&format!("there is no terminal to pick on: {error}")),
    };
    let step = Screen::open().and_then(|mut screen| picker.ask(&mut screen));
    match step {
        Ok(Step::Done) => print(answer, &picker.picked()),
        Ok(Step::Stay | Step::Cancel) => ExitCode::from(CANCELLED),
        Err(error) => failed(&format!("there is no terminal to pick on: {error}")),
    }
}

/// Makes the terminal the standard output, and gives what that was: crossterm asks the terminal for the cursor's place on
/// standard output, whatever terminal it is told to draw on.
fn give_up_stdout(tty: &File) -> io::Result<File> {
    let answer = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(tty)?;
    Ok(answer.into())
}

fn print(mut answer: File, names: &[&str]) -> ExitCode {
    let mut text = names.join("\n");
    text.push('\n');
    let printed = answer.write_all(text.as_bytes());
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Picker {
    fn new(title: String, projects: Projects, secrets: Vec<Secret>, guarded: BTreeSet<Uuid>) -> Self {
        let mut picker = Self {
            title,
            projects,
            secrets,
            guarded,
            filter: String::new(),
            ticked: BTreeSet::new(),
            rows: Vec::new(),
            list: ListState::default(),
        };
        picker.filtered();
        picker
    }

    fn ask(&mut self, screen: &mut Screen) -> io::Result<Step> {
        loop {
            screen.draw(|frame| self.draw(frame))?;
            match screen.wait(PAUSE)? {
                Input::Key(key) => match self.key(key) {
                    Step::Stay => {}
                    step => return Ok(step),
                },
                Input::Stop => screen.stop()?,
                Input::Changed | Input::Nothing => {}
                Input::End => return Ok(Step::Cancel),
            }
        }
    }

    /// The names that are ticked, or the one under the cursor if none is.
    fn picked(&self) -> Vec<&str> {
        let name = |index: usize| self.secrets.get(index).map(|secret| secret.name.as_str());
        if self.ticked.is_empty() {
            return self.under_cursor().and_then(name).into_iter().collect();
        }
        self.ticked.iter().copied().filter_map(name).collect()
    }

    fn under_cursor(&self) -> Option<usize> {
        match self.rows.get(self.list.selected()?)? {
            Row::Secret(index) => Some(*index),
            Row::Group(..) => None,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Step {
        if is_interrupt(key) {
            return Step::Cancel;
        }
        match key.code {
            KeyCode::Esc if self.filter.is_empty() => return Step::Cancel,
            KeyCode::Esc => {
                self.filter.clear();
                self.filtered();
            }
            KeyCode::Enter if !self.picked().is_empty() => return Step::Done,
            KeyCode::Up => self.list.select_previous(),
            KeyCode::Down => self.list.select_next(),
            KeyCode::PageUp => self.list.scroll_up_by(10),
            KeyCode::PageDown => self.list.scroll_down_by(10),
            KeyCode::Home => self.list.select_first(),
            KeyCode::End => self.list.select_last(),
            KeyCode::Char(' ') => self.tick(),
            KeyCode::Backspace => {
                self.filter.pop();
                self.filtered();
            }
            KeyCode::Char(letter) if letter.is_ascii_alphanumeric() || letter == '_' => {
                self.filter.push(letter);
                self.filtered();
            }
            _ => {}
        }
        self.list.select(self.list.selected().map(|at| at.min(self.rows.len().saturating_sub(1))));
        Step::Stay
    }

    /// Ticks or clears what is under the cursor; a heading stands for its group.
    fn tick(&mut self) {
        let Some(row) = self.list.selected().and_then(|at| self.rows.get(at)) else { return };
        let meant: Vec<usize> = match *row {
            Row::Secret(index) => vec![index],
            Row::Group(first, _) => {
                let of =
                    |index: usize| self.secrets.get(index).and_then(|secret| group(secret.name.as_str()));
                self.rows
                    .iter()
                    .filter_map(|row| match row {
                        Row::Secret(index) if of(*index) == of(first) => Some(*index),
                        Row::Secret(_) | Row::Group(..) => None,
                    })
                    .collect()
            }
        };
        if meant.iter().all(|index| self.ticked.contains(index)) {
            self.ticked.retain(|index| !meant.contains(index));
        } else {
            self.ticked.extend(meant);
        }
        self.list.select_next();
    }

    fn filtered(&mut self) {
        self.rows = rows(self.secrets.iter().map(|secret| secret.name.as_str()), &self.filter);
        let first = self.rows.iter().position(|row| matches!(row, Row::Secret(_)));
        self.list.select(first);
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, list, foot] =
            Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)])
                .areas(frame.area());
        let what = if self.filter.is_empty() {
            "type to filter".to_owned()
        } else {
            format!("filter: {}", self.filter)
        };
        let title = Line::styled(self.title.clone(), Modifier::BOLD);
        frame.render_widget(Paragraph::new(vec![title, Line::styled(what, Modifier::DIM)]), head);
        let now = Timestamp::now();
        let items: Vec<ListItem<'_>> =
            with_depth(&self.rows).map(|(row, is_member)| self.item(row, is_member, now)).collect();
        if items.is_empty() {
            frame.render_widget(Paragraph::new("no name matches; Esc shows all"), list);
        }
        let items = List::new(items).highlight_symbol("> ").highlight_style(Modifier::REVERSED);
        frame.render_stateful_widget(items, list, &mut self.list);
        let keys = "Space tick · Enter take · Esc leave";
        let count =
            if self.ticked.is_empty() { String::new() } else { format!("{} ticked · ", self.ticked.len()) };
        frame.render_widget(Paragraph::new(Line::styled(format!("{count}{keys}"), Modifier::DIM)), foot);
    }

    fn item(&self, row: Row, is_member: bool, now: Timestamp) -> ListItem<'static> {
        match row {
            Row::Group(first, count) => {
                let name = self.secrets.get(first).and_then(|secret| group(secret.name.as_str()));
                let heading = self.projects.heading(name.unwrap_or_default(), count);
                ListItem::new(Line::styled(heading, Modifier::BOLD))
            }
            Row::Secret(index) => {
                let Some(secret) = self.secrets.get(index) else { return ListItem::new("") };
                let mark = if self.ticked.contains(&index) { "[x] " } else { "[ ] " };
                let name = match is_member {
                    true => format!("  {mark}{:30}", secret.name.as_str()),
                    false => format!("{mark}{:32}", secret.name.as_str()),
                };
                let age = age::between(secret.updated_at, now);
                let guarded = if self.guarded.contains(&secret.id) { "  guarded: you are asked" } else { "" };
                let rest = format!("  {:18}  {age}{guarded}", secret.masked_value);
                ListItem::new(Line::from(vec![Span::raw(name), Span::styled(rest, Modifier::DIM)]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> Secret {
        let now = Timestamp::now();
        let name = secrets_proto::SecretName::parse(name).unwrap();
        let id = Uuid::nil();
        Secret {
            id, name, provider: None, masked_value: "••••".to_owned(), created_at: now, updated_at: now
        }
    }

    fn picker() -> Picker {
        Picker::new(
            "title".to_owned(),
            Projects::default(),
            ["ALONE", "AWS_KEY", "AWS_TOKEN", "OTHER"].map(secret).to_vec(),
            BTreeSet::new(),
        )
    }

    fn typed(picker: &mut Picker, keys: &[KeyCode]) -> Step {
        let mut step = Step::Stay;
        for key in keys {
            step = picker.key((*key).into());
        }
        step
    }

    #[test]
    fn enter_takes_what_is_ticked_or_under_the_cursor() {
        use KeyCode::{Char, Down, Enter, Esc};
        let mut one = picker();
        assert_eq!(typed(&mut one, &[Enter]), Step::Done);
        assert_eq!(one.picked(), ["ALONE"]);
        let mut ticked = picker();
        typed(&mut ticked, &[Char(' '), Down, Down, Char(' ')]);
        assert_eq!(ticked.picked(), ["ALONE", "AWS_TOKEN"]);
        // A heading stands for its group, and takes its ticks back as one.
        let mut group = picker();
        typed(&mut group, &[Down, Char(' ')]);
        assert_eq!(group.picked(), ["AWS_KEY", "AWS_TOKEN"]);
        typed(&mut group, &[KeyCode::Up, Char(' ')]);
        assert!(group.ticked.is_empty());
        let mut filtered = picker();
        typed(&mut filtered, &[Char('t'), Char('o'), Char('k')]);
        assert_eq!(filtered.picked(), ["AWS_TOKEN"]);
        assert_eq!(typed(&mut filtered, &[Esc]), Step::Stay);
        assert_eq!(typed(&mut filtered, &[Esc]), Step::Cancel);
        let mut nothing = picker();
        assert_eq!(typed(&mut nothing, &[Char('z'), Char('z'), Enter]), Step::Stay);
    }
}
