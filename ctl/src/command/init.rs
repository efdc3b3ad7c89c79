//! `init`: makes the vault. The recovery key is the answer; everything said around it goes to stderr.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::SensitiveString;
use secrets_proto::vault::{InitReply, InitRequest, KeyList, VaultState};
use zeroize::Zeroizing;

use super::written_down;
use crate::failure::{Exit, Failure};
use crate::new_file::{self, NewFile};
use crate::once::{self, Once};
use crate::output::{self, Output};
use crate::session::Session;
use crate::{input, key_file, passphrase, prompt, throw_away, unconfirmed};

/// Create the vault and print its recovery key once
#[derive(Debug, Args)]
#[command(after_help = "\
Asks for a passphrase twice, unless a file is given; Enter alone makes one of
six words. At the end asks for the last group of the recovery key, as a sign
that it was written down, unless --yes is given.

Example:
  secretctl init
  secretctl init --key-file ~/.config/secretsd/key")]
pub(crate) struct InitArgs {
    /// Read the passphrase from this file (`-`: stdin), without a newline at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Use this key file instead of a passphrase; created if it does not exist
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Do not ask whether the recovery key was written down
    #[arg(long)]
    pub(crate) yes: bool,
}

const ONCE: Once = Once {
    what: "the creation of the vault",
    holds: "recovery key",
    cure: "create one with: secretctl key add --recovery",
};

const KEY_FILE_BYTES: usize = 32;

/// How often a person may mistype.
const TRIES: usize = 3;

/// The fewest characters of a passphrase that nobody is warned of.
const LONG_ENOUGH: usize = 12;

const SHORT: &str = "that is short: anyone with the vault file could guess it";

pub(crate) fn run(session: &Session, output: Output, args: &InitArgs) -> Result<(), Failure> {
    once::check_stdout()?;
    throw_away::refuse(session.runtime_dir())?;
    // Before a passphrase is made up twice for nothing. The daemon checks again.
    match session.status()?.state {
        VaultState::Uninitialized => {}
        VaultState::Locked => {
            return Err(Failure::new(
                Exit::Conflict,
                "the vault already exists; if you never saw its recovery key, secretctl key add --recovery creates one; unlock it with: secretctl unlock",
            ));
        }
        VaultState::Unlocked => {
            let keys = session.fetch(&Call::get("/vault/keys")).map(|list: KeyList| list.keys);
            let notice = keys.ok().and_then(|keys| unconfirmed::notice(&keys));
            let text = "the vault already exists, and is unlocked";
            let text = notice.map_or_else(|| text.to_owned(), |notice| format!("{text}; {notice}"));
            return Err(Failure::new(Exit::Conflict, text));
        }
    }
    let (request, made) = request(session, args)?;
    let outcome = ONCE.ask_to_confirm(|confirm| {
        let request = InitRequest { confirm, ..request.clone() };
        let call = Call::new(Method::POST, "/vault/init").json(&request)?;
        session
            .call_slowly(&call, "creating the vault…")
            .map_err(input::naming_key_file(request.key_file.as_deref()))
    });
    if let (Err(failure), Some(path)) = (&outcome, made) {
        // Only after a clear no: without an answer the vault may have been made with this key.
        if failure.is_refusal() {
            let _ = fs::remove_file(path);
        }
    }
    let answer = outcome?;
    output::say("vault created and unlocked; write down its recovery key, it is shown only once:");
    let reply: InitReply = answer.parse()?;
    ONCE.show(output, &answer, &reply.recovery_key)?;
    let asks = args.passphrase_file.is_none() && args.key_file.is_none() && !args.yes;
    if !asks || written_down::is_shown_back(&reply.recovery_key, output, "the vault is created")? {
        ONCE.confirm(session, reply.recovery_key_id)?;
    }
    output::say("next: secretctl import .env, or secretctl set NAME");
    Ok(())
}

/// The request, and the key file that had to be made for it.
fn request(session: &Session, args: &InitArgs) -> Result<(InitRequest, Option<PathBuf>), Failure> {
    let Some(path) = &args.key_file else {
        let passphrase = match &args.passphrase_file {
            Some(path) => {
                let passphrase = input::key(path, "--passphrase-file")?;
                if is_short(&passphrase) {
                    output::say(&format!("{SHORT}; use {LONG_ENOUGH} characters or more"));
                }
                passphrase
            }
            None => ask_new("name a file with --passphrase-file or --key-file")?,
        };
        return Ok((InitRequest { passphrase: Some(passphrase), ..InitRequest::default() }, None));
    };
    let (path, text) = key_file::path(session.runtime_dir(), path)?;
    let made = make_key_file(&path).map_err(|error| {
        let name = input::shown(&path).unwrap_or_else(|| "the key file".to_owned());
        Failure::new(Exit::Other, format!("cannot create {name}: {error}"))
    })?;
    Ok((InitRequest { key_file: Some(text), ..InitRequest::default() }, made.then_some(path)))
}

/// A new passphrase, typed twice, or made and typed once; `instead` says what to do where there is no terminal.
pub(super) fn ask_new(instead: &str) -> Result<SensitiveString, Failure> {
    let unasked = |error: prompt::Error| error.into_failure("nothing was created", instead);
    let _alone = prompt::alone();
    if prompt::can_ask() {
        output::say("type a passphrase, or press Enter to have one made");
    }
    for _ in 0..TRIES {
        let first = prompt::hidden("new passphrase: ").map_err(unasked)?;
        if first.expose().is_empty() {
            return ask_back(passphrase::make()?).map_err(unasked)?;
        }
        if prompt::hidden("repeat it: ").map_err(unasked)? != first {
            output::say("they differ; try again");
        } else if is_short(&first)
            && !prompt::confirm_unseen(&format!("{SHORT}; use it anyway?")).map_err(unasked)?
        {
            output::say(&format!("choose a longer one, {LONG_ENOUGH} characters or more"));
        } else {
            return Ok(first);
        }
    }
    Err(unconfirmed())
}

/// Shows a passphrase that was made, until it was typed once.
fn ask_back(made: SensitiveString) -> Result<Result<SensitiveString, Failure>, prompt::Error> {
    output::say("write this passphrase down, it is shown only once:");
    prompt::show(&made)?;
    for _ in 0..TRIES {
        if prompt::hidden("repeat it: ")? == made {
            return Ok(Ok(made));
        }
        output::say("they differ; try again");
    }
    Ok(Err(unconfirmed()))
}

fn unconfirmed() -> Failure {
    Failure::new(Exit::Invalid, "the same passphrase was not typed twice; nothing was created")
}

fn is_short(passphrase: &SensitiveString) -> bool {
    passphrase.expose().chars().count() < LONG_ENOUGH
}

/// Makes a key file if there is none; says whether it did. One that exists is the daemon's to judge.
pub(super) fn make_key_file(path: &Path) -> io::Result<bool> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(Path::new("/")))?;
    let mut new = NewFile::beside(path, new_file::PRIVATE)?;
    let mut key = Zeroizing::new([0; KEY_FILE_BYTES]);
    File::open("/dev/urandom")?.read_exact(&mut *key)?;
    new.file().write_all(&*key)?;
    match new.publish(false) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/key");
        assert!(make_key_file(&path).unwrap());
        let key = fs::read(&path).unwrap();
        assert_eq!(key.len(), KEY_FILE_BYTES);
        assert_ne!(key, [0; KEY_FILE_BYTES]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!make_key_file(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), key);
    }
}
