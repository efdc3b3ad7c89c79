//! `key`: the slots that open the vault, each with a key of its own. Their keys are never shown, but for a fresh
//! recovery key.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::Uuid;
use secrets_proto::selector::parse_id;
use secrets_proto::vault::{
    AddKeyReply, AddKeyRequest, KeyDoubt, KeyInfo, KeyKind, KeyList, RemoveKeyRequest,
};

use super::{init, kept, written_down};
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::once::{self, Once};
use crate::output::{self, Output};
use crate::session::{Session, touching};
use crate::{input, key_file, prompt, table};

/// List, add and remove the keys of the vault
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl key list
  secretctl key add --recovery")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

/// The commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys that open the vault, oldest first
    #[command(after_help = "Example:\n  secretctl key list")]
    List,
    /// Add a key that opens the vault
    #[command(after_help = "\
Example:
  secretctl key add --passphrase
  secretctl key add --key-file ~/.config/secretsd/key
  secretctl key add --recovery")]
    Add(KeyAddArgs),
    /// Remove a key; the last one stays
    #[command(after_help = "\
Example:
  secretctl key list
  secretctl key remove 2489e9ad-2ee2-4e00-8ec9-32d5f69181c0")]
    Remove(KeyRemoveArgs),
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(
    clap::ArgGroup::new("key")
        .args(["passphrase", "passphrase_file", "key_file", "recovery", "key_provider", "credential"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct KeyAddArgs {
    /// Add a passphrase; asks for it twice unless a file is given
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read the passphrase from this file (`-`: stdin), without a newline at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Add this key file; created if it does not exist
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase", "passphrase_file"])]
    pub(crate) key_file: Option<PathBuf>,
    /// Add a recovery key, which is printed once
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file", "key_file"])]
    pub(crate) recovery: bool,
    /// Add this key provider from the daemon's settings
    #[arg(long, value_name = "NAME", conflicts_with_all = ["passphrase", "passphrase_file", "key_file", "recovery"])]
    pub(crate) key_provider: Option<String>,
    /// Add the credential that systemd passes to the daemon
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file", "key_file", "recovery", "key_provider"])]
    pub(crate) credential: bool,
    /// Do not ask whether the recovery key was written down
    #[arg(long, requires = "recovery")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRemoveArgs {
    /// The key's id; `secretctl key list` lists them
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Do not ask before removing
    #[arg(long)]
    pub(crate) yes: bool,
}

const ONCE: Once = Once {
    what: "the adding of a recovery key",
    holds: "key",
    cure: "remove it and add another: secretctl key list, key remove, key add --recovery",
};

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &KeyArgs,
) -> Result<(), Failure> {
    match &args.command {
        KeyCommand::List => list(&open()?, output),
        KeyCommand::Add(args) => add(&open()?, output, args),
        KeyCommand::Remove(args) => remove(open, args),
    }
}

fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/vault/keys"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let KeyList { keys } = answer.parse()?;
    let rows: Vec<[String; 3]> = keys.iter().map(row).collect();
    output::answer(table::render(["ID", "KIND", "ADDED"], &rows, output.colour).as_bytes())
}

/// The slots of an open vault.
pub(super) fn slots(session: &Session) -> Result<Vec<KeyInfo>, Failure> {
    let KeyList { keys } = session.fetch(&Call::get("/vault/keys"))?;
    Ok(keys)
}

/// Reads a slot's id.
pub(super) fn id(text: &str) -> Result<Uuid, Failure> {
    parse_id(text).ok_or_else(|| {
        Failure::new(Exit::Invalid, "not a key id, which has 36 characters; see: secretctl key list")
    })
}

/// The failure that there is no such slot.
pub(super) fn missing() -> Failure {
    Failure::new(Exit::NotFound, "no such key; see: secretctl key list")
}

fn row(key: &KeyInfo) -> [String; 3] {
    [key.id.to_string(), called(key), Clock::of_stdout().shown(key.created_at)]
}

/// What people call a kind of key.
const fn kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Passphrase => "passphrase",
        KeyKind::KeyFile => "key file",
        KeyKind::Credential => "systemd credential",
        KeyKind::Recovery => "recovery key",
        KeyKind::KeyProvider => "key provider",
    }
}

/// What kind of key it is, with the name of a key provider, and whether perhaps nobody has it.
pub(super) fn called(key: &KeyInfo) -> String {
    match &key.key_provider {
        Some(name) => format!("{} {name}", kind(key.kind)),
        None if key.unconfirmed => format!("{} (not confirmed)", kind(key.kind)),
        None => kind(key.kind).to_owned(),
    }
}

fn add(session: &Session, output: Output, args: &KeyAddArgs) -> Result<(), Failure> {
    if args.recovery {
        once::check_stdout()?;
    } else if output.json {
        output::check_stdout()?;
    }
    // A passphrase should not be made up twice, nor a key file made, before it is known that the vault can be opened.
    session.open_vault()?;
    let (request, made) = new_key(session, args)?;
    // Nobody has them; they go when there is one that somebody has.
    let unconfirmed = if args.recovery { unconfirmed(session)? } else { Vec::new() };
    let request = AddKeyRequest { replaces: unconfirmed.first().map(|key| key.id), ..request };
    let call = |confirm, proof| {
        let request = AddKeyRequest { confirm, proof, ..request.clone() };
        Ok(Call::new(Method::POST, "/vault/keys").json(&request)?)
    };
    let make = |proof| call(false, proof);
    let outcome = match &args.key_provider {
        // The daemon runs it twice, to see whether it prints the same.
        Some(name) => {
            let note = format!("{}, and touch it again when asked again…", touching(name));
            session.call_proven_noted(&make, &note)
        }
        None if args.recovery => {
            ONCE.ask_to_confirm(|confirm| session.call_proven(&|proof| call(confirm, proof)))
        }
        None => session.call_proven(&make),
    };
    let outcome = outcome.map_err(input::naming_key_file(request.key_file.as_deref()));
    if let (Err(failure), Some(path)) = (&outcome, made) {
        // Only after a clear no: without an answer the vault may open with this key.
        if failure.is_refusal() {
            let _ = fs::remove_file(path);
        }
    }
    let answer = outcome?;
    let AddKeyReply { key, recovery_key, doubt } = answer.parse()?;
    if let Some(doubt) = doubt {
        let what = match doubt {
            KeyDoubt::OneByte => "one byte, again and again",
            KeyDoubt::Text => "text with spaces, like a message or a listing",
        };
        let id = key.id;
        output::say(&format!(
            "warning: the key provider printed {what}; if that is not the key: secretctl key remove {id}"
        ));
    }
    let Some(recovery_key) = recovery_key else {
        output::say(&format!("added a {}; its id is {}", called(&key), key.id));
        return if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) };
    };
    output::say(&format!("added a recovery key, id {}; write it down, it is shown only once:", key.id));
    ONCE.show(output, &answer, &recovery_key)?;
    // The first one is gone already, and the others go when there is one that somebody has.
    let mut gone = 1;
    if args.yes || written_down::is_shown_back(&recovery_key, output, "it is added")? {
        ONCE.confirm(session, Some(key.id).filter(|_| key.unconfirmed))?;
        gone = unconfirmed.len();
    }
    for other in unconfirmed.iter().take(gone).skip(1) {
        session.call(&Call::new(Method::DELETE, &format!("/vault/keys/{}", other.id)))?;
    }
    for other in unconfirmed.iter().take(gone) {
        let added = Clock::of_stderr().shown(other.created_at);
        output::say(&format!("removed the recovery key added {added}, which nobody had confirmed"));
    }
    Ok(())
}

/// The recovery keys of which nobody has confirmed that they were shown.
fn unconfirmed(session: &Session) -> Result<Vec<KeyInfo>, Failure> {
    Ok(slots(session)?.into_iter().filter(|key| key.unconfirmed).collect())
}

/// The request, and the key file that had to be made for it.
fn new_key(session: &Session, args: &KeyAddArgs) -> Result<(AddKeyRequest, Option<PathBuf>), Failure> {
    let none = AddKeyRequest::default();
    if args.recovery {
        return Ok((AddKeyRequest { recovery: true, ..none }, None));
    }
    if args.credential || args.key_provider.is_some() {
        let (credential, key_provider) = (args.credential, args.key_provider.clone());
        return Ok((AddKeyRequest { credential, key_provider, ..none }, None));
    }
    let Some(path) = &args.key_file else {
        let passphrase = match &args.passphrase_file {
            Some(path) => input::key(path, "--passphrase-file")?,
            None => init::ask_new("name a file with --passphrase-file")?,
        };
        return Ok((AddKeyRequest { passphrase: Some(passphrase), ..none }, None));
    };
    let (path, text) = key_file::path(session.runtime_dir(), path)?;
    let made = init::make_key_file(&path)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot create the key file: {error}")))?;
    Ok((AddKeyRequest { key_file: Some(text), ..none }, made.then_some(path)))
}

fn remove(open: impl FnOnce() -> Result<Session, Failure>, args: &KeyRemoveArgs) -> Result<(), Failure> {
    let id = id(&args.id)?;
    let session = open()?;
    let key = slots(&session)?.into_iter().find(|key| key.id == id).ok_or_else(missing)?;
    if !args.yes && !confirmed(&key)? {
        return Err(Failure::new(Exit::Other, "nothing was removed"));
    }
    session.call_proven(&|proof| {
        let call = Call::new(Method::DELETE, &format!("/vault/keys/{id}"));
        // An older daemon knows of no body here.
        Ok(if proof.is_some() { call.json(&RemoveKeyRequest { proof })? } else { call })
    })?;
    output::say(&format!("removed the {}; earlier backups still open with it", called(&key)));
    kept::remind("it may open");
    Ok(())
}

fn confirmed(key: &KeyInfo) -> Result<bool, Failure> {
    let question = format!("remove the {} added {}?", called(key), Clock::of_stderr().shown(key.created_at));
    prompt::confirm(&question).map_err(|error| match error {
        prompt::Error::NoTerminal => Failure::new(
            Exit::Usage,
            "removing a key cannot be undone and there is no terminal to ask on; use --yes",
        ),
        prompt::Error::Interrupted
        | prompt::Error::Cancelled
        | prompt::Error::Unprintable
        | prompt::Error::SeveralLines
        | prompt::Error::Io(_) => Failure::new(Exit::Other, error.to_string()),
    })
}
