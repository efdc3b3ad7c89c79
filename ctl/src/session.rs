//! What commands talk to: sends a request, and on the way starts the daemon if none runs and asks for the
//! passphrase if the vault is locked. Commands see plain functions and no runtime.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use secrets_client::{Answer, Call, Client, Error, Limits, Method, Paths, TokenSource};
use secrets_local::peer::lineage;
use secrets_local::{files, sessions};
use secrets_proto::approval::{Approval, Decision, Proof};
use secrets_proto::vault::{KeyList, UnlockRequest, VaultState, VaultStatus};
use secrets_proto::{ErrorType, SensitiveString, Uuid};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

use crate::approval::{self, Patience, Ways};
use crate::failure::{Exit, Failure};
use crate::output::{Hidden, Waiting};
use crate::shell::quoted;
use crate::{environment, input, output, prompt, spawn, unconfirmed, vault_file};

/// Said while an answer is awaited that usually comes at once.
const WAITING: &str = "waiting for secretsd…";

/// How long a program waits for us that has something else to do.
const QUICK: Duration = Duration::from_secs(2);

/// How long somebody else's answer is waited for when a secret is guarded; by a program that has something else to do.
const WAIT: Duration = Duration::from_secs(60);
const QUICK_WAIT: Duration = Duration::from_secs(20);

/// How long the daemon may take for what it does with the whole vault.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// How often a person may mistype.
const TRIES: usize = 3;

/// Said while a key provider is waited for, which may be a device.
pub(crate) fn touching(key_provider: &str) -> String {
    format!("waiting for key provider {key_provider}; touch it if it blinks")
}

/// Said when there is no vault to open.
pub(crate) const NO_VAULT: &str = "there is no vault yet; create it with: secretctl init";

/// That there is no vault, or that a restore was interrupted, with what to do.
pub(crate) fn no_vault() -> String {
    let aside = environment::data_dir(None).ok().and_then(|dir| vault_file::put_aside(&dir));
    aside.map_or_else(|| NO_VAULT.to_owned(), |path| interrupted(&path))
}

/// That a restore was interrupted after it had put the vault aside as this file.
pub(crate) fn interrupted(aside: &Path) -> String {
    let name = aside.to_string_lossy();
    let name = output::printable(&name);
    format!(
        "a restore was interrupted, and the vault lies aside as {name}; restore again with: secretctl restore-vault FILE, or rename it (and its -wal, if there is one) to vault.db"
    )
}

/// The other way to a passphrase.
const UNLOCK_FROM_FILE: &str = "or read it from a file: secretctl unlock --passphrase-file FILE";

/// A way to ask for a passphrase, until it is needless.
type Ask = fn(&str, &dyn Fn() -> bool) -> Result<Option<SensitiveString>, prompt::Error>;

/// A line to the daemon.
pub(crate) struct Session {
    /// Taken apart by nobody but the end of the process, which is faster at it, or by [`Session::close`].
    runtime: ManuallyDrop<Runtime>,
    client: Client,
    paths: Paths,
    may_spawn: bool,
    /// The directory of the vault for a daemon that we start, if it is not the usual one.
    data_dir: Option<PathBuf>,
    ask: Ask,
    /// How an answer is waited for when a secret is guarded.
    patience: Patience,
    /// The most seconds that one request may wait.
    step: u64,
    /// The command that will be started with what is asked for.
    command: Option<String>,
    /// What runs us, for the person who decides about guarded secrets.
    runner: OnceCell<Vec<(&'static str, String)>>,
}

impl Session {
    /// A session with the daemon at these paths; connects when there is something to ask.
    pub(crate) fn new(paths: Paths, may_spawn: bool) -> Result<Self, Failure> {
        Self::with_limits(paths, may_spawn, Limits::default())
    }

    /// A session for programs that ask on the way to something else: no daemon is started, and nobody waits long.
    pub(crate) fn quick(paths: Paths) -> Result<Self, Failure> {
        let limits = Limits { connect: QUICK, answer: QUICK, ..Limits::default() };
        let session = Self::with_limits(paths, false, limits)?;
        let patience = Patience { wait: QUICK_WAIT, may_ask: false };
        Ok(Self { patience, step: 1, ..session })
    }

    /// Sets how long somebody else's answer is waited for when a secret is guarded.
    pub(crate) fn waiting(self, wait: Option<Duration>) -> Self {
        let wait = wait.unwrap_or(self.patience.wait);
        Self { patience: Patience { wait, ..self.patience }, ..self }
    }

    /// Says which command is to be started with what is asked for.
    pub(crate) fn for_command(self, program: &OsStr) -> Self {
        let command =
            environment::resolved(program).and_then(|path| path.into_os_string().into_string().ok());
        Self { command, ..self }
    }

    fn with_limits(paths: Paths, may_spawn: bool, limits: Limits) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Failure::new(Exit::Other, format!("cannot start: {error}")))?;
        let client = Client::new(paths.socket.clone(), paths.token.clone(), limits);
        let runtime = ManuallyDrop::new(runtime);
        let patience = Patience { wait: WAIT, may_ask: true };
        Ok(Self {
            runtime,
            client,
            paths,
            may_spawn,
            data_dir: None,
            ask: prompt::hidden_unless,
            patience,
            step: u64::MAX,
            command: None,
            runner: OnceCell::new(),
        })
    }

    /// Sets the directory of the vault for a daemon that the session starts.
    pub(crate) fn with_data_dir(self, dir: &Path) -> Self {
        Self { data_dir: Some(dir.to_owned()), ..self }
    }

    /// Ends the connection to the daemon, for a process that goes on without it.
    pub(crate) fn close(self) {
        drop(ManuallyDrop::into_inner(self.runtime));
    }

    /// Where the daemon is.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The directory of the daemon's socket.
    pub(crate) fn runtime_dir(&self) -> Option<&Path> {
        self.paths.socket.parent()
    }

    /// Sends a request. If the vault is locked and there is a terminal, opens it and sends it again.
    pub(crate) fn call(&self, call: &Call) -> Result<Answer, Failure> {
        self.call_noted(call, WAITING)
    }

    /// Sends a request that may take a while, as [`call`](Self::call) does; the note is what a person is told who
    /// waits.
    pub(crate) fn call_noted(&self, call: &Call, note: &str) -> Result<Answer, Failure> {
        self.opening(|| self.send(call, note))
    }

    /// Sends a request as [`call`](Self::call) does, for an answer that is passed on in pieces, of at most `limit`
    /// bytes in all.
    pub(crate) fn download(&self, call: &Call, limit: u64, note: &str) -> Result<Download<'_>, Failure> {
        let ask = || {
            let _waiting = Waiting::start(note);
            self.runtime.block_on(self.client.download(call, limit))
        };
        let body = self.opening(|| self.starting(ask))?;
        Ok(Download { runtime: &self.runtime, body })
    }

    /// Sends a request as [`call`](Self::call) does, and reads its answer as a whole.
    pub(crate) fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        Ok(self.call(call)?.parse()?)
    }

    /// Sends a request and leaves a locked vault locked.
    pub(crate) fn call_as_is(&self, call: &Call) -> Result<Answer, Failure> {
        let mut outcome = self.send(call, WAITING);
        // Again if need be: what was allowed once may have been for another process that asked the same.
        for _ in 0..2 * TRIES {
            match outcome {
                Err(failure) if failure.ask().is_some() => {
                    self.have_allowed(failure)?;
                    outcome = self.send(call, WAITING);
                }
                outcome => return outcome,
            }
        }
        outcome
    }

    /// Sends a request and leaves a locked vault locked; the note is what a person is told who waits.
    pub(crate) fn send(&self, call: &Call, note: &str) -> Result<Answer, Failure> {
        let call = &self.said(call);
        self.starting(|| {
            let _waiting = Waiting::start(note);
            self.runtime.block_on(self.client.send(call))
        })
    }

    /// Reads an answer that may be long in coming, of which nobody is told.
    pub(crate) fn fetch_quietly<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        let answer = self.runtime.block_on(self.client.send(call));
        Ok(answer.map_err(|error| self.explain(error))?.parse()?)
    }

    /// Answers an ask.
    pub(crate) fn decide(&self, ask: Uuid, decision: &Decision) -> Result<Approval, Failure> {
        let call = Call::new(Method::POST, &format!("/approvals/{ask}/decision")).json(decision)?;
        Ok(self.call_slowly(&call, "checking…")?.parse()?)
    }

    /// Does something with the ways to ask how an ask stands and to answer it.
    pub(crate) fn with_ways<T>(&self, work: impl FnOnce(&Ways<'_>) -> T) -> T {
        let get = |ask: Uuid, wait: u64| {
            let call = Call::get(&format!("/approvals/{ask}")).query("wait", &wait.to_string());
            self.fetch_quietly(&call)
        };
        let decide = |ask: Uuid, decision: &Decision| self.decide(ask, decision);
        work(&Ways { get: &get, decide: &decide, step: self.step })
    }

    /// Sends a request that takes a proof while a secret is guarded: only then the passphrase is asked for.
    pub(crate) fn call_proven(
        &self,
        make: &dyn Fn(Option<Proof>) -> Result<Call, Failure>,
    ) -> Result<Answer, Failure> {
        self.call_proven_noted(make, WAITING)
    }

    /// Sends such a request, which may take a while; the note is what a person is told who waits.
    pub(crate) fn call_proven_noted(
        &self,
        make: &dyn Fn(Option<Proof>) -> Result<Call, Failure>,
        note: &str,
    ) -> Result<Answer, Failure> {
        match self.call_noted(&make(None)?, note) {
            Err(failure) if failure.kind() == Some(ErrorType::WrongKeyError) => {
                output::say("a secret is guarded, so this takes the passphrase of the vault");
                let act = |proof| self.call_slowly(&make(Some(proof))?, "checking…");
                approval::proven(&act, &|| false)?.ok_or(failure)
            }
            outcome => outcome,
        }
    }

    /// The request, which says what it is asked for if it does more than ask.
    fn said(&self, call: &Call) -> Call {
        if call.is_get() {
            return call.clone();
        }
        let runner = self.runner.get_or_init(|| {
            let Some(own) = lineage::own() else { return Vec::new() };
            let facts = [("program", own.program), ("script", own.script), ("directory", own.directory)];
            facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
        });
        let facts = runner.iter().map(|(name, fact)| (*name, fact.as_str()));
        call.clone()
            .saying(self.command.as_deref().map(|command| ("command", command)).into_iter().chain(facts))
    }

    /// Sends a request that may take a while after somebody has typed, as [`send`](Self::send) does: meanwhile nothing
    /// that is typed is shown.
    pub(crate) fn call_slowly(&self, call: &Call, note: &str) -> Result<Answer, Failure> {
        let _silence = prompt::silence();
        self.send(call, note)
    }

    /// The vault's state.
    pub(crate) fn status(&self) -> Result<VaultStatus, Failure> {
        Ok(self.call_as_is(&Call::status())?.parse()?)
    }

    /// The state of the vault of a daemon that runs; none is started.
    pub(crate) fn status_if_running(&self) -> Result<VaultStatus, Failure> {
        Ok(self.runtime.block_on(self.client.send(&Call::status()))?.parse()?)
    }

    /// What a daemon that runs answers to this within that time; nothing is started, opened or asked for it.
    pub(crate) fn glance<T: DeserializeOwned>(&self, call: &Call, within: Duration) -> Result<T, Error> {
        let answer = async { timeout(within, self.client.send(call)).await };
        self.runtime.block_on(answer).map_err(|_| Error::Timeout)??.parse()
    }

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
            if self.has_opened()? && typed.is_needless_when_open {
                return Ok(());
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
                    if attempt < TRIES {
                        output::say(&format!("wrong {}, try again", typed.what));
                    }
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

    fn explain(&self, error: Error) -> Failure {
        if matches!(error, Error::NotListening(_) | Error::Connect { .. })
            && let Err(foreign) = self.check_places()
        {
            return foreign;
        }
        if let Error::NotListening(path) = &error
            && !self.paths.socket_is_default
        {
            let text = format!(
                "nothing listens on {}; start it with: secretsd --socket {}",
                path.display(),
                quoted(path)
            );
            return Failure::new(Exit::NoDaemon, text);
        }
        // What the daemon says of an access token is better than what is known here.
        let given = matches!(self.paths.token, TokenSource::Given(_)) && !self.paths.token.is_access_token();
        let failure = Failure::from(error);
        if given && failure.kind() == Some(ErrorType::AuthenticationError) {
            return Failure::new(failure.exit(), "SECRETSD_TOKEN is not this daemon's token; unset it");
        }
        failure
    }

    /// Asks, and if the vault is locked, opens it and asks again. If a person must allow it, has that done.
    fn opening<T>(&self, ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut outcome = ask();
        // Again if need be: a vault that is locking at that moment may still say that it is open.
        for _ in 0..2 * TRIES {
            match outcome {
                Err(failure) if failure.kind() == Some(ErrorType::VaultLockedError) => {
                    self.open_vault()?;
                    outcome = ask();
                }
                Err(failure) => {
                    self.have_allowed(failure)?;
                    outcome = ask();
                }
                outcome => return outcome,
            }
        }
        outcome
    }

    /// If a person must allow what was refused, has that done; anything else is the failure that it was.
    fn have_allowed(&self, failure: Failure) -> Result<(), Failure> {
        let Some(id) = failure.ask() else { return Err(failure) };
        // Who holds an access token answers nothing that it has asked.
        let may_ask = self.patience.may_ask && !self.paths.token.is_access_token();
        let patience = Patience { may_ask, ..self.patience };
        let settled = self.with_ways(|ways| approval::settle(ways, id, patience));
        settled.map_err(|told| told.because(failure))
    }

    /// Sends, and if nothing listens, starts the daemon and sends again.
    fn starting<T>(&self, send: impl Fn() -> Result<T, Error>) -> Result<T, Failure> {
        match send() {
            Err(Error::NotListening(_)) if self.may_spawn => {
                self.start_daemon()?;
                send()
            }
            outcome => outcome,
        }
        .map_err(|error| self.explain(error))
    }

    /// Whether the directories are ours: of what is another user's, nothing is used, and nothing is made there.
    fn check_places(&self) -> Result<(), Failure> {
        let data_dir = environment::data_dir(self.data_dir.as_deref()).ok();
        let runtime_dir = self.paths.socket.parent().map(Path::to_owned);
        for dir in [runtime_dir, data_dir, environment::state_dir()].into_iter().flatten() {
            files::check_place(&dir)
                .map_err(|error| Failure::new(Exit::NotAllowed, format!("nothing was done: {error}")))?;
        }
        Ok(())
    }

    fn start_daemon(&self) -> Result<(), Failure> {
        self.check_places()?;
        let _waiting = Waiting::start("starting secretsd…");
        let mut starting = spawn::start(&self.paths, self.data_dir.as_deref())?;
        let begin = Instant::now();
        self.runtime.block_on(async {
            loop {
                match self.client.probe().await {
                    Err(Error::NotListening(_)) => {}
                    outcome => return Ok(outcome?),
                }
                starting.check(begin.elapsed())?;
                sleep(Duration::from_millis(10)).await;
            }
        })
    }
}

/// An answer that is passed on in pieces.
pub(crate) struct Download<'a> {
    runtime: &'a Runtime,
    body: secrets_client::Download,
}

impl Download<'_> {
    /// The next piece, until all is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.runtime.block_on(self.body.next())?)
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
        three_wrong: "three wrong passphrases; if it is lost: secretctl unlock --recovery",
    };
    const RECOVERY_KEY: Self = Self {
        what: "recovery key",
        question: "recovery key: ",
        request: |key| UnlockRequest { recovery_key: Some(key), ..UnlockRequest::default() },
        no_terminal: "there is no terminal to ask on; name a file with --recovery-key-file",
        is_needless_when_open: false,
        from_file: "name a file with --recovery-key-file",
        three_wrong: "three wrong recovery keys; a newer one may have taken its place, with: secretctl rotate",
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

#[cfg(test)]
mod tests;
