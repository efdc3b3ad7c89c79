//! `keyring`: the command of Python's keyring, as far as pip, uv and others run it: `get`, `set`, `del`, with its
//! options, exit codes and output (keyring, `keyring/cli.py`). What is not there is exit code 1 and no word.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use secrets_proto::secret::SecretDetail;
use secrets_proto::{SecretName, SecretValue, SensitiveString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::helper::{self, login::Login, place::Place};
use crate::session::Session;
use crate::{environment, handover, output, prompt};

/// Python's keyring command; pip and uv run this
#[derive(Debug, Args)]
#[command(after_help = "\
For pip (--keyring-provider subprocess) and uv a link to secretctl must be called
keyring and come first in PATH, and the index must name the user.
The password for https://pypi.example.com/simple/ is the secret
KEYRING__PYPI_EXAMPLE_COM: the password alone, whose user --note user=NAME can
say, or {\"Username\":\"me\",\"Secret\":\"…\"}, which is what set stores. Of a host, .
becomes _, - becomes __, and the : before a port ___. Another user is not
answered, and is not overwritten. Inside proxy run the answer is the secret's
placeholder.

Example:
  ln -s \"$(command -v secretctl)\" ~/.local/bin/keyring
  secretctl keyring set https://pypi.example.com/simple/ me < password")]
pub(crate) struct KeyringArgs {
    /// What get is to find: the password of a user, or a user with the password
    #[arg(long, value_name = "MODE", default_value = "password")]
    pub(crate) mode: Mode,
    /// How get prints it: one line each, or a JSON object
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    pub(crate) output: Format,
    /// get, set or del
    #[arg(value_name = "OPERATION")]
    pub(crate) operation: Operation,
    /// The address or host that the password is for
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// The user whose password it is
    #[arg(value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// What `get` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Password,
    Creds,
}

/// How `get` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Plain,
    Json,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    Get,
    Set,
    Del,
}

/// How the names of these secrets begin.
const PREFIX: &str = helper::KEYRING;

/// What `--output json` prints.
#[derive(Serialize)]
struct Credential<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    password: &'a str,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &KeyringArgs,
) -> Result<(), Failure> {
    let user = args.user.as_deref().filter(|user| !user.is_empty());
    let name = Place::parse(&args.service)?.without_path().name(PREFIX)?;
    let needed = || Failure::new(Exit::Usage, "USER is missing; see: secretctl keyring --help");
    match (args.operation, args.mode) {
        (Operation::Get, Mode::Creds) => get(open, &name, user, args),
        (Operation::Get, Mode::Password) => get(open, &name, Some(user.ok_or_else(needed)?), args),
        (Operation::Set, _) => set(open, &name, user.ok_or_else(needed)?),
        (Operation::Del, _) => del(open, &name, user.ok_or_else(needed)?),
    }
}

fn get(
    open: impl FnOnce() -> Result<Session, Failure>,
    name: &SecretName,
    user: Option<&str>,
    args: &KeyringArgs,
) -> Result<(), Failure> {
    helper::refuse_terminal("not printing a password to a terminal; pip and uv run this")?;
    // A client tries several spellings of an address: that one is unknown is nothing to tell.
    let unknown = || Failure::new(Exit::Other, "");
    if environment::in_session() {
        let placeholder = environment::placeholder(name).ok_or_else(unknown)?;
        return print(name, user, handover::in_one_line(name, &placeholder)?, args);
    }
    let place = Place::of_name(name, PREFIX).map(|place| place.authority());
    let found = helper::find(&open()?, name, "keyring", place.as_deref())?.ok_or_else(unknown)?;
    let login = Login::of(found.value, found.note.as_ref());
    if login.user.is_some() && user.is_some() && login.user.as_deref() != user {
        return Err(unknown());
    }
    print(name, user.or(login.user.as_deref()), handover::in_one_line(name, &login.secret)?, args)
}

fn print(name: &SecretName, user: Option<&str>, password: &str, args: &KeyringArgs) -> Result<(), Failure> {
    let username = match args.mode {
        Mode::Password => None,
        Mode::Creds => Some(user.ok_or_else(|| {
            let text = format!("{name} has no user name; set it: secretctl edit {name} --note user=NAME");
            Failure::new(Exit::Other, text)
        })?),
    };
    if args.output == Format::Json {
        return helper::answer_json(&Credential { username, password }, 1);
    }
    let mut lines = Zeroizing::new(String::with_capacity(password.len() + username.map_or(0, str::len) + 2));
    for line in username.into_iter().chain([password]) {
        lines.push_str(line);
        lines.push('\n');
    }
    output::answer(lines.as_bytes())
}

fn set(
    open: impl FnOnce() -> Result<Session, Failure>,
    name: &SecretName,
    user: &str,
) -> Result<(), Failure> {
    helper::refuse_session("keyring set")?;
    let value = Login::value(user, &password()?)?;
    let session = open()?;
    let before = helper::look_up(&session, name)?;
    if let Some(before) = &before
        && !is_users(&session, before, user)?
    {
        let text = format!("{name} is another user's; nothing was stored");
        return Err(Failure::new(Exit::Conflict, text));
    }
    helper::store(&session, name, value, before.as_ref())
}

fn del(
    open: impl FnOnce() -> Result<Session, Failure>,
    name: &SecretName,
    user: &str,
) -> Result<(), Failure> {
    helper::refuse_session("keyring del")?;
    let session = open()?;
    let found = helper::look_up(&session, name)?.ok_or_else(|| helper::absent(name))?;
    if !is_users(&session, &found, user)? {
        let text = format!("{name} is another user's; nothing was deleted");
        return Err(Failure::new(Exit::Conflict, text));
    }
    helper::remove(&session, &found)
}

/// Whether the secret is this user's. One that says no user may be anybody's: it was not stored from here.
fn is_users(session: &Session, detail: &SecretDetail, user: &str) -> Result<bool, Failure> {
    let found = helper::reveal(session, &detail.secret.name, "keyring", None, detail.note.clone())?;
    Ok(found.is_some_and(|found| Login::of(found.value, found.note.as_ref()).user.as_deref() == Some(user)))
}

/// The password from stdin, without the line end behind it; typed where stdin is a terminal.
fn password() -> Result<SensitiveString, Failure> {
    if std::io::stdin().is_terminal() {
        let typed = prompt::hidden("password: ")
            .map_err(|error| Failure::new(Exit::Other, error.told("nothing was stored", "pipe it in")))?;
        return Ok(typed);
    }
    let bytes = helper::read(SecretValue::MAX + 2)?;
    let wrong = |text: &str| Failure::new(Exit::Invalid, text);
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("the password on stdin is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains(|c: char| c.is_control()) {
        return Err(wrong(
            "the password has line breaks or other control characters, which keyring get cannot print",
        ));
    }
    Ok(SensitiveString::new(text.to_owned()))
}
