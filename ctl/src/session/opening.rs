//! How a locked vault is opened on the way to an answer: by a key that a person types, or one that is given.

use secrets_client::{Answer, Call, Method};
use secrets_local::sessions;
use secrets_proto::vault::{KeyList, UnlockRequest, VaultState, VaultStatus};
use secrets_proto::{ErrorType, SensitiveString};

use super::{QUICK, Session, TRIES, no_vault};
use crate::failure::{Exit, Failure};
use crate::output::{self, Hidden};
use crate::{input, prompt, throw_away, unconfirmed};

/// Said while a key provider is waited for, which may be a device.
pub(crate) fn touching(key_provider: &str) -> String {
    format!("waiting for key provider {key_provider}; touch it if it blinks")
}

/// The other way to a passphrase.
const UNLOCK_FROM_FILE: &str = "or read it from a file: secretctl unlock --passphrase-file FILE";

impl Session {
    /// Opens the vault if it is locked, by asking for the passphrase. Only one command on a terminal asks; it and those
    /// that wait for it go on when the vault is open, no matter who has opened it.
    pub(crate) fn open_vault(&self) -> Result<(), Failure> {
        let is_open = || {
            let status = self.glance::<VaultStatus>(&Call::status(), QUICK);
            status.is_ok_and(|status| status.state == VaultState::Unlocked)
        };
        if self.has_opened()? {
            return Ok(());
        }
        self.open_with(&Typed::PASSPHRASE, &is_open)
    }

    /// Opens the vault if it is locked, by asking for the recovery key, as [`open_vault`](Self::open_vault) asks for the
    /// passphrase. One that is open already is asked about all the same: whether the key is right.
    pub(crate) fn open_with_recovery_key(&self) -> Result<(), Failure> {
        self.open_with(&Typed::RECOVERY_KEY, &|| false)
    }

    fn open_with(&self, typed: &Typed, is_open: &dyn Fn() -> bool) -> Result<(), Failure> {
        // Until a key has been checked: others would ask meanwhile.
        let Some(_alone) = prompt::alone_unless(is_open) else { return Ok(()) };
        let mut attempt = 1;
        while attempt <= TRIES {
            let is_open_now = self.has_opened()?;
            if is_open_now && typed.is_needless_when_open {
                return Ok(());
            }
            if !is_open_now && throw_away::is_asked(self.runtime_dir()) {
                let text = "the throw-away vault is locked, and nobody has a key of it; end it with: secretctl stop; then join once more";
                return Err(Failure::new(Exit::Locked, text));
            }
            let key = {
                let _alone = Hidden::start();
                (self.ask)(typed.question, is_open).map_err(|error| unasked(error, typed))?
            };
            let Some(key) = key else {
                output::say("unlocked by another command");
                return Ok(());
            };
            if key.is_empty() {
                attempt += 1;
                output::say("nothing was typed; try again");
                continue;
            }
            match self.unlock(&(typed.request)(key)) {
                Err(failure) if typed.is_wrong(&failure) => {
                    // What has not the form of a key was mistyped, and need not be another key.
                    let what = match failure.kind() {
                        Some(ErrorType::ValidationError) => failure.message().to_owned(),
                        _ => format!("wrong {}", typed.what),
                    };
                    let is_last = attempt == TRIES;
                    output::say(&if is_last { what } else { format!("{what}; try again") });
                    attempt += 1;
                }
                outcome => return outcome.map(drop),
            }
        }
        Err(Failure::new(Exit::NotAllowed, typed.three_wrong))
    }

    /// Whether the vault is open; fails if there is none.
    fn has_opened(&self) -> Result<bool, Failure> {
        match self.status()?.state {
            VaultState::Unlocked => Ok(true),
            VaultState::Locked => Ok(false),
            VaultState::Uninitialized => Err(Failure::new(Exit::Locked, no_vault())),
        }
    }

    /// Opens the vault with a given key.
    pub(crate) fn unlock(&self, request: &UnlockRequest) -> Result<Answer, Failure> {
        let call = Call::new(Method::POST, "/vault/unlock").json(request)?;
        let note = request.key_provider.as_deref().map(|name| format!("{}…", touching(name)));
        let ask = || self.call_slowly(&call, note.as_deref().unwrap_or("checking…"));
        let answer = match ask() {
            // It was locking at that moment, perhaps because the machine has just woken up.
            Err(failure) if failure.kind() == Some(ErrorType::VaultLockedError) => ask(),
            answer => answer,
        };
        let answer = answer.map_err(input::naming_key_file(request.key_file.as_deref()))?;
        // Who opens the vault may be the one who has not got its recovery key.
        if let Ok(KeyList { keys }) = self.glance(&Call::get("/vault/keys"), QUICK)
            && let Some(notice) = unconfirmed::notice(&keys)
        {
            output::say(&notice);
        }
        self.end_stopped_sessions();
        Ok(answer)
    }

    /// Ends the sessions that were stopped while the vault was locked. What fails is left for the next time.
    fn end_stopped_sessions(&self) {
        let Some(runtime) = self.runtime_dir() else { return };
        for id in sessions::ended(runtime) {
            let end = Call::new(Method::DELETE, &format!("/use/sessions/{id}"));
            match self.call_as_is(&end) {
                Err(failure) if failure.kind() != Some(ErrorType::NotFoundError) => {}
                Ok(_) | Err(_) => sessions::forget_ended(runtime, id),
            }
        }
    }
}

/// A key that a person types.
struct Typed {
    what: &'static str,
    question: &'static str,
    request: fn(SensitiveString) -> UnlockRequest,
    /// What is said where there is no terminal.
    no_terminal: &'static str,
    /// Whether nothing is asked once the vault is open.
    is_needless_when_open: bool,
    /// The other way to it.
    from_file: &'static str,
    three_wrong: &'static str,
}

impl Typed {
    const PASSPHRASE: Self = Self {
        what: "passphrase",
        question: "passphrase of the vault: ",
        request: |key| UnlockRequest { passphrase: Some(key), ..UnlockRequest::default() },
        no_terminal: "the vault is locked, and there is no terminal to ask for the passphrase; run: secretctl unlock",
        is_needless_when_open: true,
        from_file: UNLOCK_FROM_FILE,
        three_wrong: "three wrong passphrases, the vault stays locked; if the passphrase is lost, use the recovery key: secretctl unlock --recovery",
    };
    const RECOVERY_KEY: Self = Self {
        what: "recovery key",
        question: "recovery key: ",
        request: |key| UnlockRequest { recovery_key: Some(key), ..UnlockRequest::default() },
        no_terminal: "there is no terminal to ask on; name a file with --recovery-key-file",
        is_needless_when_open: false,
        from_file: "name a file with --recovery-key-file",
        three_wrong: "three wrong recovery keys, the vault stays locked; a rotation prints a new one, and the old one no longer works",
    };

    /// Whether the daemon says that it is not the key, or none at all.
    fn is_wrong(&self, failure: &Failure) -> bool {
        failure.kind() == Some(ErrorType::WrongKeyError)
            || self.what != Self::PASSPHRASE.what && failure.kind() == Some(ErrorType::ValidationError)
    }
}

fn unasked(error: prompt::Error, typed: &Typed) -> Failure {
    if matches!(error, prompt::Error::NoTerminal) {
        return Failure::new(Exit::Locked, typed.no_terminal);
    }
    Failure::new(Exit::Other, error.told("nothing was done, the vault stays locked", typed.from_file))
}
