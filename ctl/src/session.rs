//! What commands talk to: sends a request, and on the way starts the daemon if none runs and asks for the
//! passphrase if the vault is locked. Commands see plain functions and no runtime.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use secrets_client::{Answer, Call, Client, Error, Limits, Paths, TokenSource};
use secrets_local::files;
use secrets_local::peer::lineage;
use secrets_proto::vault::VaultStatus;
use secrets_proto::{ErrorType, SensitiveString};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

use crate::approval::Patience;
use crate::failure::{Exit, Failure};
use crate::output::Waiting;
use crate::shell::quoted;
use crate::{environment, output, prompt, spawn, vault_file};

mod allowing;
mod opening;

pub(crate) use opening::touching;

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

    fn explain(&self, error: Error) -> Failure {
        if matches!(error, Error::NotListening(_) | Error::Connect { .. })
            && let Err(foreign) = self.check_places()
        {
            return foreign;
        }
        if let Error::NotListening(path) = &error {
            return self.not_running(path);
        }
        // What the daemon says of an access token is better than what is known here.
        let given = matches!(self.paths.token, TokenSource::Given(_)) && !self.paths.token.is_access_token();
        let failure = Failure::from(error);
        if given && failure.kind() == Some(ErrorType::AuthenticationError) {
            return Failure::new(failure.exit(), "SECRETSD_TOKEN is not this daemon's token; unset it");
        }
        failure
    }

    /// That no daemon runs, with what a person types to start it.
    fn not_running(&self, socket: &Path) -> Failure {
        let text = if !self.paths.socket_is_default {
            format!(
                "nothing listens on {}; start it with: secretctl --socket {} unlock",
                socket.display(),
                quoted(socket)
            )
        } else if spawn::is_left_to_systemd(&self.paths) {
            spawn::UNIT_NOT_STARTED.to_owned()
        } else {
            "secretsd is not running; start it with: secretctl unlock".to_owned()
        };
        Failure::new(Exit::NoDaemon, text)
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

#[cfg(test)]
mod tests;
