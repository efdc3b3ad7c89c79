//! `passwd`: a new passphrase in the place of an old one, in one step. The old one is asked for even if the vault is
//! open: an unattended terminal must not be enough.

use std::path::{Path, PathBuf};

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::vault::{AddKeyRequest, KeyInfo, KeyKind, UnlockRequest};
use secrets_proto::{ErrorType, SensitiveString, Uuid};

use super::{init, kept, key};
use crate::approval::proof_of;
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{input, output, prompt};

/// Change the passphrase
#[derive(Debug, Args)]
#[command(after_help = "\
The vault's other keys stay. Earlier backups still open with the old passphrase.

Example:
  secretctl passwd")]
pub(crate) struct PasswdArgs {
    /// Read the present passphrase from this file (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) old_passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from this file (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Which passphrase to replace, if there are several; see `secretctl key list`
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
}

/// How often a person may mistype.
const TRIES: usize = 3;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &PasswdArgs) -> Result<(), Failure> {
    let wanted = args.id.as_deref().map(key::id).transpose()?;
    let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if is_stdin(&args.old_passphrase_file) && is_stdin(&args.new_passphrase_file) {
        return Err(Failure::new(
            Exit::Usage,
            "stdin can hold only one passphrase; name a file for the other",
        ));
    }
    let session = open()?;
    let _alone = args.old_passphrase_file.is_none().then(prompt::alone);
    let old = check_old(&session, args)?;
    let slot = choose(key::slots(&session)?, wanted)?;
    let new = match &args.new_passphrase_file {
        Some(path) => input::key(path, "--new-passphrase-file")?,
        None => init::ask_new("name a file with --new-passphrase-file")?,
    };
    let request = AddKeyRequest { passphrase: Some(new), replaces: Some(slot), ..AddKeyRequest::default() };
    let send = |request: &AddKeyRequest| session.call(&Call::new(Method::POST, "/vault/keys").json(request)?);
    match send(&request) {
        // A secret is guarded: the passphrase that was checked is the proof.
        Err(failure) if failure.kind() == Some(ErrorType::WrongKeyError) => {
            send(&AddKeyRequest { proof: Some(proof_of(old)), ..request })?
        }
        outcome => outcome?,
    };
    output::say(
        "passphrase changed; earlier backups still open with the old one, see: secretctl rotate --help",
    );
    kept::remind("the old passphrase opens");
    Ok(())
}

/// Has the present passphrase checked; a person may mistype it.
fn check_old(session: &Session, args: &PasswdArgs) -> Result<SensitiveString, Failure> {
    let check = |passphrase: SensitiveString| {
        let request = UnlockRequest { passphrase: Some(passphrase.clone()), ..UnlockRequest::default() };
        session.unlock(&request).map(|_| passphrase)
    };
    let is_wrong = |failure: &Failure| failure.kind() == Some(ErrorType::WrongKeyError);
    if let Some(path) = &args.old_passphrase_file {
        return check(input::key(path, "--old-passphrase-file")?).map_err(|failure| {
            match is_wrong(&failure) {
                true => Failure::new(failure.exit(), "wrong passphrase; nothing was changed"),
                false => failure,
            }
        });
    }
    for attempt in 1..=TRIES {
        let typed = prompt::hidden("present passphrase: ").map_err(|error| {
            error.into_failure("nothing was changed", "name a file with --old-passphrase-file")
        })?;
        match check(typed) {
            Err(failure) if is_wrong(&failure) => {
                if attempt < TRIES {
                    output::say("wrong passphrase, try again");
                }
            }
            outcome => return outcome,
        }
    }
    let text = "three wrong passphrases, nothing was changed; if it is lost, use the recovery key: secretctl unlock --recovery";
    Err(Failure::new(Exit::NotAllowed, text))
}

/// The slot to replace: the one that was named, or the only one, or the one that a person chooses.
fn choose(mut slots: Vec<KeyInfo>, wanted: Option<Uuid>) -> Result<Uuid, Failure> {
    slots.retain(|slot| slot.kind == KeyKind::Passphrase);
    if let Some(wanted) = wanted {
        let found = slots.iter().find(|slot| slot.id == wanted);
        return found.map(|slot| slot.id).ok_or_else(|| {
            Failure::new(Exit::NotFound, "no passphrase with this id; see: secretctl key list")
        });
    }
    if let [only] = slots.as_slice() {
        return Ok(only.id);
    }
    if slots.is_empty() {
        let text = "the vault has no passphrase; add one with: secretctl key add --passphrase";
        return Err(Failure::new(Exit::NotFound, text));
    }
    let several = || {
        let text = "the vault has several passphrases; choose one with --id, see: secretctl key list";
        Failure::new(Exit::Usage, text)
    };
    let clock = Clock::of_stderr();
    let shown: Vec<String> =
        (1..).zip(&slots).map(|(n, slot)| format!("{n}) added {}", clock.shown(slot.created_at))).collect();
    let answer =
        prompt::line(&format!("replace which passphrase? {}: ", shown.join("  "))).map_err(|_| several())?;
    let number: Option<usize> = answer.parse().ok();
    let chosen = number.and_then(|number| slots.get(number.checked_sub(1)?));
    chosen.map(|slot| slot.id).ok_or_else(several)
}
