//! `restore-vault`: a backup takes the vault's place. Whether it opens and is whole shows only once the daemon has it;
//! until then there is a way back, taken here or told.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{io, thread};

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_local::lock::{Holder, Lock, Locking};
use secrets_proto::vault::{UnlockRequest, VaultState, VaultStatus, VerifyRequest};
use secrets_proto::{ErrorType, Timestamp};

use super::unlock::{self, UnlockArgs};
use super::verify;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::vault_file::{self, Replaced, VaultDir};
use crate::{environment, input, prompt, throw_away};

/// Replace the vault with a backup
#[derive(Debug, Args)]
#[command(after_help = "\
Stop the daemon first: secretctl stop. The present vault
is kept next to the restored one. It is put back if the backup does not open or
is damaged.

Example:
  secretctl restore-vault ~/backups/vault-2026-04-15.db")]
pub(crate) struct RestoreVaultArgs {
    /// The backup, written by `secretctl backup`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The vault's directory [variable: SECRETSD_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: UnlockArgs,
}

/// How long a daemon may take to end, and how long it may still answer then.
const ENDING: Duration = Duration::from_secs(3);
const A_MOMENT: Duration = Duration::from_millis(300);

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RestoreVaultArgs,
) -> Result<(), Failure> {
    let backup = vault_file::open_backup(&args.file)?;
    let path = environment::data_dir(args.data_dir.as_deref())?;
    let mut session = open()?;
    if args.data_dir.is_some() {
        session = session.with_data_dir(&path);
    } else {
        throw_away::refuse(session.runtime_dir())?;
    }
    let dir = VaultDir::open(path)?;
    let name = input::shown(&args.file).unwrap_or_else(|| "the file".to_owned());
    if dir.is_the_vault(&backup) {
        return Err(Failure::new(Exit::Invalid, format!("{name} is the vault itself; name a backup of it")));
    }
    let lock = lock(&session, &dir)?;
    // Asked before anything is changed, so that giving up here loses nothing.
    let key = key(&session, args)?;
    let new = dir.bring_in(&lock, &backup).map_err(|error| {
        Failure::new(Exit::Other, format!("cannot copy {name}, nothing was changed: {error}"))
    })?;
    let replaced = dir.replace(&lock, &new, Timestamp::now());
    if let Err(error) = replaced.outcome() {
        let failure = Failure::new(Exit::Other, format!("cannot replace {}: {error}", dir.vault().display()));
        let _ = std::fs::remove_file(new);
        return Err(taken_back(&failure, replaced.undo(&lock), &replaced));
    }
    if let Some(kept) = replaced.kept() {
        output::say(&format!("the old vault is kept as {}", kept.display()));
    }
    drop(lock);
    match accept(&session, &dir, &key) {
        Ok(answer) => {
            output::say("vault restored and unlocked");
            verify::show(output, &answer)
        }
        Err(NotAccepted { failure, unclear: false }) => Err(way_back(&failure, &dir, &replaced)),
        Err(NotAccepted { failure, unclear: true }) => {
            let text = format!(
                "{failure}; the backup is in place, finish with: secretctl verify --accept-restore; or stop secretsd and go back with: {}",
                replaced.by_hand()
            );
            Err(Failure::new(failure.exit(), text))
        }
    }
}

/// The lock on the vault, which a daemon that has no vault yet gives up for it.
fn lock(session: &Session, dir: &VaultDir) -> Result<Lock, Failure> {
    let failed = |error| Failure::new(Exit::Other, format!("cannot lock the vault's directory: {error}"));
    let holder = match dir.lock().map_err(failed)? {
        Locking::Ours(lock) => return Ok(lock),
        Locking::Held(holder) => holder,
    };
    let running = in_use(&holder);
    let has_none = |status: VaultStatus| status.state == VaultState::Uninitialized;
    if dir.has_vault() || !session.status_if_running().is_ok_and(has_none) {
        return ended(session, dir).map_err(failed)?.ok_or(running);
    }
    let lock = vault_file::stop(holder).map_err(|_| running)?;
    output::say("secretsd was running without a vault; restarting it");
    Ok(lock)
}

/// The lock of a daemon that was told to stop just before: nobody should have to look whether it has. One that still
/// answers after a moment was not.
fn ended(session: &Session, dir: &VaultDir) -> io::Result<Option<Lock>> {
    let begin = Instant::now();
    loop {
        if let Locking::Ours(lock) = dir.lock()? {
            return Ok(Some(lock));
        }
        let waited = begin.elapsed();
        if waited > ENDING || waited > A_MOMENT && session.status_if_running().is_ok() {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn in_use(holder: &Holder) -> Failure {
    let noted = holder.noted();
    let how = match noted.is_elsewhere() {
        true => "it runs in another container or on another machine",
        false => "secretctl stop",
    };
    Failure::new(Exit::Conflict, format!("secretsd uses the vault; stop the daemon first: {how}"))
}

fn key(session: &Session, args: &RestoreVaultArgs) -> Result<UnlockRequest, Failure> {
    if let Some(request) = unlock::request(session, &args.key)? {
        return Ok(request);
    }
    let passphrase = prompt::hidden("passphrase of the backup: ").map_err(|error| {
        error.into_failure(
            "nothing was changed",
            "name a file with --passphrase-file, --key-file or --recovery-key-file",
        )
    })?;
    Ok(UnlockRequest { passphrase: Some(passphrase), ..UnlockRequest::default() })
}

struct NotAccepted {
    failure: Failure,
    /// Whether the daemon may have done it after all.
    unclear: bool,
}

impl From<Failure> for NotAccepted {
    fn from(failure: Failure) -> Self {
        Self { failure, unclear: false }
    }
}

/// Starts the daemon on the restored vault, opens it, and has it verified and accepted.
fn accept(session: &Session, dir: &VaultDir, key: &UnlockRequest) -> Result<Answer, NotAccepted> {
    session.status()?;
    // The daemon that answers must be one that has this vault.
    if let Ok(Locking::Ours(_)) = dir.lock() {
        let text = "the running daemon has another vault; stop it, or name its directory with --data-dir";
        return Err(Failure::new(Exit::Conflict, text).into());
    }
    session.unlock(key)?;
    let call = Call::new(Method::POST, "/vault/verify").json(&VerifyRequest { accept_restore: true });
    session.send(&call.map_err(Failure::from)?, verify::NOTE).map_err(|failure| {
        let unclear = matches!(failure.kind(), None | Some(ErrorType::GatewayTimeoutError));
        NotAccepted { failure, unclear }
    })
}

/// Stops the daemon that was started and puts the old vault back.
fn way_back(failure: &Failure, dir: &VaultDir, replaced: &Replaced) -> Failure {
    let lock = dir.lock().and_then(|locking| match locking {
        Locking::Ours(lock) => Ok(lock),
        Locking::Held(holder) => vault_file::stop(holder),
    });
    taken_back(failure, lock.and_then(|lock| replaced.undo(&lock)), replaced)
}

/// What to say after the old vault was put back, or was not.
fn taken_back(failure: &Failure, undone: io::Result<()>, replaced: &Replaced) -> Failure {
    let text = match undone {
        Ok(()) if replaced.kept().is_some() => {
            format!("{failure}; the backup was not restored, the old vault is back in place")
        }
        Ok(()) => format!("{failure}; the backup was not restored, there is still no vault"),
        Err(error) => format!(
            "{failure}; the backup was not restored, and going back failed: {error}; stop secretsd, then: {}",
            replaced.by_hand()
        ),
    };
    Failure::new(failure.exit(), text)
}
