//! What the browser shows, and what keys do to it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a key that means nothing here does nothing")]

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::widgets::ListState;
use secrets_proto::approval::Approval;
use secrets_proto::audit::{AuditAction, AuditEntry, AuditOutcome};
use secrets_proto::printable::without_numbers;
use secrets_proto::secret::{SecretDetail, SecretVersion};
use secrets_proto::{SecretValue, Timestamp};

use crate::age::DAY;
use crate::rows::{Projects, Row, rows};
use crate::screen::is_interrupt;

/// What is to be done for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing but another picture.
    None,
    /// Leave.
    Leave,
    /// Ask for everything again.
    Load,
    /// Ask for what is told of the selected secret.
    Detail,
    /// Show the selected secret's value.
    Show,
    /// Copy it.
    Copy,
    /// Run `secretctl` with these words.
    Client(Vec<String>),
}

/// What keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Focus {
    /// The list of secrets.
    #[default]
    Secrets,
    /// The filter above it.
    Filter,
    /// The history of one.
    Versions,
    /// The audit log.
    Audit,
}

/// What is shown.
#[derive(Default)]
pub(super) struct State {
    pub(super) focus: Focus,
    pub(super) secrets: Vec<SecretDetail>,
    pub(super) rows: Vec<Row>,
    pub(super) projects: Projects,
    pub(super) list: ListState,
    pub(super) filter: String,
    pub(super) versions: Vec<SecretVersion>,
    pub(super) version: ListState,
    /// How often the selected secret was used on each day, today last.
    pub(super) uses: Vec<u64>,
    pub(super) audit: Vec<AuditEntry>,
    /// What waits for a person, the oldest first.
    pub(super) asks: Vec<Approval>,
    /// The value that is shown now.
    pub(super) value: Option<SecretValue>,
    pub(super) message: String,
    pub(super) is_locked: bool,
}

impl State {
    /// The secret under the cursor.
    pub(super) fn selected(&self) -> Option<&SecretDetail> {
        match self.rows.get(self.list.selected()?)? {
            Row::Secret(index) => self.secrets.get(*index),
            Row::Group(..) => None,
        }
    }

    /// Whether the audit log is what is shown.
    pub(super) fn shows_audit(&self) -> bool {
        self.focus == Focus::Audit
    }

    /// Says this until the next key.
    pub(super) fn say(&mut self, message: &str) {
        self.message = without_numbers(message).into_owned();
    }

    /// Takes what the daemon has; the cursor stays on its secret.
    pub(super) fn loaded(&mut self, secrets: Vec<SecretDetail>) {
        let kept = self.selected().map(|detail| detail.secret.id);
        self.is_locked = false;
        self.secrets = secrets;
        self.filtered();
        let of_kept = |row: &Row| match row {
            Row::Secret(index) => {
                kept.is_some() && self.secrets.get(*index).map(|detail| detail.secret.id) == kept
            }
            Row::Group(..) => false,
        };
        if let Some(at) = self.rows.iter().position(of_kept) {
            self.list.select(Some(at));
        }
    }

    /// The vault is locked: nothing of it is shown any more.
    pub(super) fn locked(&mut self) {
        let message = std::mem::take(&mut self.message);
        *self = Self { is_locked: true, message, ..Self::default() };
    }

    /// Counts uses by days from what the audit log says.
    pub(super) fn count_uses(&mut self, entries: &[AuditEntry], now: Timestamp, days: i64) {
        self.uses = vec![0; usize::try_from(days).unwrap_or(0)];
        for entry in entries.iter().filter(|entry| is_use(entry)) {
            let ago = (now.as_second() - entry.time.as_second()).max(0) / DAY;
            let at = usize::try_from(days - 1 - ago).ok().and_then(|at| self.uses.get_mut(at));
            if let Some(count) = at {
                *count += entry.count;
            }
        }
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Effect {
        self.message.clear();
        if is_interrupt(key) {
            return Effect::Leave;
        }
        if self.is_locked {
            return match key.code {
                KeyCode::Char('u') => client(["unlock"]),
                KeyCode::Char('q') | KeyCode::Esc => Effect::Leave,
                _ => Effect::None,
            };
        }
        match self.focus {
            Focus::Secrets => self.key_on_secrets(key.code),
            Focus::Filter => self.key_on_filter(key.code),
            Focus::Versions => self.key_on_versions(key.code),
            Focus::Audit => match key.code {
                KeyCode::Char('q') => Effect::Leave,
                KeyCode::Esc | KeyCode::Char('a') => {
                    self.focus = Focus::Secrets;
                    Effect::Load
                }
                _ => Effect::None,
            },
        }
    }

    fn key_on_secrets(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Effect::Leave,
            KeyCode::Char('/') => self.focus = Focus::Filter,
            KeyCode::Char('a') => {
                self.focus = Focus::Audit;
                return Effect::Load;
            }
            KeyCode::Char('l') => return client(["lock"]),
            KeyCode::Char('p') => {
                if let Some(ask) = self.asks.first() {
                    return client(["approve", &ask.id.to_string()]);
                }
            }
            KeyCode::Char('d') => {
                if let Some(ask) = self.asks.first() {
                    return client(["deny", &ask.id.to_string()]);
                }
            }
            KeyCode::Char('v') if self.selected().is_some() => return Effect::Show,
            KeyCode::Char('c') if self.selected().is_some() => return Effect::Copy,
            KeyCode::Char('r') => {
                if let Some(detail) = self.selected() {
                    return client(["update", detail.secret.name.as_str()]);
                }
            }
            KeyCode::Enter | KeyCode::Tab if !self.versions.is_empty() && self.selected().is_some() => {
                self.focus = Focus::Versions;
                self.version.select_first();
            }
            _ => return self.moved(code),
        }
        Effect::None
    }

    fn moved(&mut self, code: KeyCode) -> Effect {
        let Some(at) = self.list.selected() else { return Effect::None };
        let last = self.rows.len().saturating_sub(1);
        let to = match code {
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1),
            KeyCode::PageUp => at.saturating_sub(10),
            KeyCode::PageDown => at.saturating_add(10),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return Effect::None,
        };
        self.list.select(Some(to.min(last)));
        self.versions.clear();
        self.uses.clear();
        Effect::Detail
    }

    fn key_on_filter(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Enter | KeyCode::Down => self.focus = Focus::Secrets,
            KeyCode::Esc => {
                self.filter.clear();
                self.focus = Focus::Secrets;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if letter.is_ascii_alphanumeric() || letter == '_' => {
                self.filter.push(letter)
            }
            _ => return Effect::None,
        }
        self.filtered();
        Effect::Detail
    }

    fn key_on_versions(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Esc | KeyCode::Tab | KeyCode::Left => self.focus = Focus::Secrets,
            KeyCode::Up | KeyCode::Char('k') => self.version.select_previous(),
            KeyCode::Down | KeyCode::Char('j') => {
                let last = self.versions.len().saturating_sub(1);
                self.version.select(self.version.selected().map(|at| at.saturating_add(1).min(last)));
            }
            KeyCode::Char('q') => return Effect::Leave,
            KeyCode::Char('b') | KeyCode::Enter => {
                let version = self.version.selected().and_then(|at| self.versions.get(at));
                if let (Some(detail), Some(version)) = (self.selected(), version) {
                    if version.current {
                        self.say("this is the present value");
                        return Effect::None;
                    }
                    let number = version.version.to_string();
                    return client(["rollback", detail.secret.name.as_str(), &number]);
                }
            }
            _ => {}
        }
        Effect::None
    }

    fn filtered(&mut self) {
        self.rows = rows(self.secrets.iter().map(|detail| detail.secret.name.as_str()), &self.filter);
        self.list.select(self.rows.iter().position(|row| matches!(row, Row::Secret(_))));
    }
}

fn client<const N: usize>(words: [&str; N]) -> Effect {
    Effect::Client(words.map(str::to_owned).to_vec())
}

/// Whether an entry says that a value was handed over or put into a request.
fn is_use(entry: &AuditEntry) -> bool {
    let actions = [AuditAction::Reveal, AuditAction::CredentialLoad, AuditAction::Use];
    entry.outcome == AuditOutcome::Ok && actions.contains(&entry.action)
}
