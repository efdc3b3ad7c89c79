//! Sessions with names: `proxy list`, `proxy stop` and `proxy env`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrets_local::sessions::{self, Place, names};
use secrets_proto::broker::{Note, SessionName};
use secrets_proto::vault::VaultState;
use serde::Serialize;

use super::variables::merged;
use crate::clock::Clock;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table::{self, Cut};
use crate::{environment, lasting, shell};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The session's name
    #[arg(value_name = "SESSION")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// The session's name
    #[arg(value_name = "SESSION")]
    name: String,
    /// For which shell: shell is sh, bash, zsh and dash
    #[arg(long, value_name = "FORMAT", default_value = "shell")]
    format: Format,
}

/// How variables are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Shell,
    Fish,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Requests are served.
    Running,
    /// Requests get no value as long as the vault is locked.
    Paused,
    /// Its broker is gone.
    Ended,
}

/// What `list --json` writes of a session.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    note: Note,
    state: State,
    /// How many requests have carried a value; null if its broker does not tell.
    uses: Option<u64>,
    control: PathBuf,
}

#[derive(Serialize)]
struct List {
    sessions: Vec<Listed>,
}

fn runtime(context: &Context) -> Result<PathBuf, Failure> {
    let paths = environment::paths(&context.globals)?;
    let runtime = paths.socket.parent().map(Path::to_owned);
    runtime.ok_or_else(|| Failure::new(Exit::Other, "the socket's path has no directory"))
}

fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec(value);
    output::answer_json_line(
        &text.map_err(|_| Failure::new(Exit::Other, "the answer cannot be written as JSON"))?,
    )
}

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    let output = context.output;
    let runtime = runtime(context)?;
    let found = names(&runtime).into_iter().filter_map(|name| {
        let place = Place::new(&runtime, &name);
        let (note, uses, runs) = match lasting::describe(&place.control) {
            Ok(described) => (described.note, Some(described.uses), true),
            Err(_) => (place.note()?, None, lasting::runs(&place.control)),
        };
        let state = if runs { State::Running } else { State::Ended };
        Some(Listed { note, state, uses, control: place.control })
    });
    let mut sessions: Vec<Listed> = found.collect();
    if sessions.iter().any(|listed| listed.state == State::Running) && !is_open(context) {
        sessions.iter_mut().filter(|listed| listed.state == State::Running).for_each(|listed| {
            listed.state = State::Paused;
        });
    }
    if output.json { json(&List { sessions }) } else { show(&sessions, output) }
}

/// Whether values can be used now. No daemon is started to find out.
fn is_open(context: &Context) -> bool {
    let status = environment::paths(&context.globals)
        .and_then(|paths| Session::new(paths, false))
        .and_then(|session| session.status_if_running());
    status.is_ok_and(|status| status.state == VaultState::Unlocked)
}

fn show(sessions: &[Listed], output: Output) -> Result<(), Failure> {
    if sessions.is_empty() {
        output::say("no session has a name; start one with: secretctl proxy start SESSION -s SELECTOR");
        return Ok(());
    }
    let is_seen = output::stdout_is_terminal();
    let clock = Clock::of_stdout();
    let row = |listed: &Listed| {
        let state = match listed.state {
            State::Running => "running",
            State::Paused if is_seen => "paused",
            State::Paused => "paused: the vault is locked",
            State::Ended => "ended",
        };
        let secrets: Vec<&str> = listed.note.secrets.iter().map(|name| name.as_str()).collect();
        vec![
            listed.note.named.name.to_string(),
            secrets.join(","),
            clock.shown(listed.note.named.started_at),
            clock.shown(listed.note.expires_at),
            listed.uses.map_or_else(|| "-".to_owned(), |uses| uses.to_string()),
            state.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = sessions.iter().map(row).collect();
    let all = [0, 1, 2, 3, 4, 5];
    let text = table::render_in_window(&COLUMNS, rows, &all, output::columns(), output.colour);
    output::answer(text.as_bytes())?;
    if is_seen && sessions.iter().any(|listed| listed.state == State::Paused) {
        output::say("a paused session gets no values until the vault is unlocked: secretctl unlock");
    }
    Ok(())
}

/// The columns, with how far each is cut in a narrow window.
const COLUMNS: [(&str, Cut); 6] = [
    ("SESSION", Cut::End(7)),
    ("SECRETS", Cut::End(7)),
    ("STARTED", Cut::Never),
    ("EXPIRES", Cut::Never),
    ("USES", Cut::Never),
    ("STATE", Cut::Never),
];

pub(super) fn stop(context: &Context, args: &StopArgs) -> Result<(), Failure> {
    let name = SessionName::parse(&args.name)?;
    let runtime = runtime(context)?;
    let place = Place::new(&runtime, &name);
    if place.note().is_none() && !place.control.exists() {
        let message = "there is no session of this name; see: secretctl proxy list";
        return Err(Failure::new(Exit::NotFound, message));
    }
    let paths = environment::paths(&context.globals)?;
    let turn = lasting::turn(&runtime)?;
    let note = place.note();
    let ran = lasting::end(&place, &name, paths.socket_is_default)?;
    drop(turn);
    output::say(&match ran {
        true => format!("the session {name} has ended"),
        false => format!("the session {name} had ended already; what it left is removed"),
    });
    // A broker that was killed could not end it, and none can while the vault is locked. The token that was in its memory
    // alone is gone with it.
    if let Some(note) = note
        && let Ok(session) = Session::new(paths, false)
        && !lasting::end_in_daemon(&session, note.session)
    {
        let _ = sessions::remember_ended(&runtime, note.session);
    }
    Ok(())
}

pub(super) fn env(context: &Context, args: &EnvArgs) -> Result<(), Failure> {
    let name = SessionName::parse(&args.name)?;
    let place = Place::new(&runtime(context)?, &name);
    let described = lasting::describe(&place.control)
        .map_err(|error| lasting::no_answer_by_name(&place, &name, &error))?;
    let wanted = merged(environment::for_child(false), described.variables);
    let (set, unset) = environment::changes(&wanted);
    if context.output.json {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let set: serde_json::Map<String, serde_json::Value> =
            set.iter().map(|(name, value)| (text(name), text(value).into())).collect();
        let unset: Vec<String> = unset.iter().map(|name| text(name)).collect();
        return json(&serde_json::json!({"set": set, "unset": unset}));
    }
    output::answer(written(args.format, &set, &unset).as_bytes())
}

/// Statements that change a shell's variables. What no shell can have as a variable is left out.
fn written(format: Format, set: &[(OsString, OsString)], unset: &[OsString]) -> String {
    let mut text = String::new();
    let (remove, put, between) = match format {
        Format::Shell => ("unset ", "export ", "="),
        Format::Fish => ("set -e ", "set -gx ", " "),
    };
    for name in unset.iter().filter_map(|name| name.to_str()).filter(|name| is_variable(name)) {
        text.push_str(&format!("{remove}{name}\n"));
    }
    for (name, value) in set {
        let Some((name, value)) = name.to_str().zip(value.to_str()).filter(|(name, _)| is_variable(name))
        else {
            continue;
        };
        text.push_str(&format!("{put}{name}{between}"));
        shell::quote(value, |piece| text.push_str(piece));
        text.push('\n');
    }
    text
}

fn is_variable(name: &str) -> bool {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_sound) && !name.starts_with(|first: char| first.is_ascii_digit()) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_told_of_each_change_in_its_own_words() {
        let set =
            [("KEY", "it's"), ("a.b", "x"), ("1A", "x")].map(|(name, value)| (name.into(), value.into()));
        let unset = ["ALL_PROXY".into(), "a-b".into()];
        assert_eq!(written(Format::Shell, &set, &unset), "unset ALL_PROXY\nexport KEY='it'\\''s'\n");
        assert_eq!(written(Format::Fish, &set, &unset), "set -e ALL_PROXY\nset -gx KEY 'it'\\''s'\n");
    }
}
