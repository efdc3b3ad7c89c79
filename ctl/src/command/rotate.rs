//! `rotate`: a new data key. The recovery key is the answer; everything said around it goes to stderr.

use std::path::PathBuf;

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::ErrorType;
use secrets_proto::vault::{InitRequest, RotateReply, UnlockRequest};

use super::{kept, written_down};
use crate::failure::Failure;
use crate::once::{self, Once};
use crate::output::{self, Output};
use crate::session::{LONG, Session};
use crate::{input, key_file, prompt};

/// Give the vault a new data key and recovery key
#[derive(Debug, Args)]
#[command(after_help = "\
Encrypts everything again. Afterwards only the given key and the new recovery
key open the vault; the recovery key is printed once, and all other keys are
removed. Do this if somebody else got a key, and replace the secrets too: they
may have been read.

Example:
  secretctl rotate")]
#[group(skip)]
#[command(group(clap::ArgGroup::new("key").args(["passphrase_file", "key_file"]).multiple(false)))]
pub(crate) struct RotateArgs {
    /// Read the passphrase from this file (`-`: stdin), without a newline at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Use this key file; it must open the vault
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Do not ask whether the recovery key was written down
    #[arg(long)]
    pub(crate) yes: bool,
}

const ONCE: Once = Once {
    what: "the rotation",
    holds: "recovery key",
    cure: "create one with: secretctl key add --recovery",
};

/// Said to a person who waits.
const NOTE: &str = "encrypting everything again…";

pub(crate) fn run(session: &Session, output: Output, args: &RotateArgs) -> Result<(), Failure> {
    once::check_stdout()?;
    let key = key(session, args)?;
    let answer = ONCE.ask_to_confirm(|confirm| rotate(session, &InitRequest { confirm, ..key.clone() }))?;
    let reply: RotateReply = answer.parse()?;
    let removed = match reply.keys_removed {
        0 => "no other key was removed".to_owned(),
        1 => "1 other key was removed".to_owned(),
        count => format!("{count} other keys were removed"),
    };
    output::say(&format!("vault rotated: it has a new data key; {removed}; see: secretctl key list"));
    kept::remind("the old data key and all old keys open");
    output::say("the old recovery key no longer works; write down the new one, it is shown only once:");
    ONCE.show(output, &answer, &reply.recovery_key)?;
    let asks = args.passphrase_file.is_none() && args.key_file.is_none() && !args.yes;
    if !asks || written_down::is_shown_back(&reply.recovery_key, output, "the vault is rotated")? {
        ONCE.confirm(session, reply.recovery_key_id)?;
    }
    Ok(())
}

fn key(session: &Session, args: &RotateArgs) -> Result<InitRequest, Failure> {
    if let Some(path) = &args.key_file {
        return Ok(InitRequest {
            key_file: Some(key_file::path(session.runtime_dir(), path)?.1),
            ..InitRequest::default()
        });
    }
    let passphrase = match &args.passphrase_file {
        Some(path) => input::key(path, "--passphrase-file")?,
        None => {
            output::say(
                "this encrypts the whole vault with a new key; only your passphrase and a new recovery key will open it",
            );
            prompt::hidden("passphrase of the vault: ").map_err(|error| {
                error.into_failure("nothing was rotated", "name a file with --passphrase-file or --key-file")
            })?
        }
    };
    Ok(InitRequest { passphrase: Some(passphrase), ..InitRequest::default() })
}

/// Rotates; a locked vault is opened with the same key before.
fn rotate(session: &Session, key: &InitRequest) -> Result<Answer, Failure> {
    let call = Call::new(Method::POST, "/vault/rotate").within(LONG).json(key)?;
    let send = || session.call_slowly(&call, NOTE).map_err(input::naming_key_file(key.key_file.as_deref()));
    match send() {
        Err(failure) if failure.kind() == Some(ErrorType::VaultLockedError) => {
            let InitRequest { passphrase, key_file, .. } = key.clone();
            session.unlock(&UnlockRequest { passphrase, key_file, ..UnlockRequest::default() })?;
            send()
        }
        outcome => outcome,
    }
}
