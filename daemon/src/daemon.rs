//! The daemon's life: puts the stages together, says when it is ready, waits for its end, and clears up.

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::auth::{Auth, OwnerToken};
use crate::caller::Caller;
use crate::config::{self, Config, Limits};
use crate::listener::{self, Bound};
use crate::relaunch::{Answers, Handover};
use crate::server::{self, End, Server};
use crate::vault::{KdfCost, Key, KeySources, Settings, StartError, Vault};
use crate::{auth, process};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The process cannot be made safe.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The vault cannot be used.
    #[error(transparent)]
    Vault(#[from] StartError),
    /// There is no socket.
    #[error(transparent)]
    Listener(#[from] listener::Error),
    /// There is no token.
    #[error(transparent)]
    Auth(#[from] auth::OwnerTokenError),
    /// The server cannot be built.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The image could not be replaced after a lock.
    #[error("the vault is locked, but the daemon cannot start itself anew to empty its memory: {0}")]
    Relaunch(#[source] io::Error),
    /// The runtime or a signal handler cannot be set up.
    #[error("the system refuses what the daemon needs: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// The exit code that says this.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(config::Error::Usage(_)) => 2,
            Self::Vault(StartError::Running(_))
            | Self::Listener(listener::Error::Busy(_) | listener::Error::Shared(_)) => 3,
            Self::Config(
                config::Error::Line { .. }
                | config::Error::Absent(_)
                | config::Error::Files(_)
                | config::Error::Log,
            ) => 7,
            Self::Config(config::Error::Show(_) | config::Error::NoPlace { .. })
            | Self::Process(_)
            | Self::Vault(StartError::Files(_) | StartError::Thread(_))
            | Self::Listener(_)
            | Self::Auth(_)
            | Self::Server(_)
            | Self::Relaunch(_)
            | Self::System(_) => 1,
        }
    }
}

/// Runs until a signal ends it.
pub(crate) fn run() -> Result<(), Error> {
    // First of all what was handed over: whatever keeps this image from starting, who waits for the answer to a lock
    // gets it. It reads variables, so it comes before the first thread.
    let handover = Handover::take();
    let config = config::load()?;
    log_to_stderr(&config);
    // After a relaunch there is nothing to take from systemd: what it handed over has come with the handover.
    let handed = if handover.is_some() { None } else { Bound::from_systemd()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(live(config, handed, handover));
    // Not waiting for a key derivation that nobody will hear of: the vault is closed already.
    runtime.shutdown_background();
    outcome
}

async fn live(config: Config, handed: Option<Bound>, handover: Option<Handover>) -> Result<(), Error> {
    // First of all the handlers: a signal that comes early must not end the process half-way.
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lock = signal(SignalKind::user_defined1())?;
    let (before, held, answers) = match handover {
        Some(Handover { listener, made, lock, answers }) => (Some((listener, made)), Some(lock), answers),
        None => (None, None, Answers::default()),
    };
    let resumed = before.is_some();
    let vault = Vault::start(vault_settings(&config), held)?;
    // Only now: the vault's lock says that a socket which nobody answers on belongs to nobody.
    let bound = match (before, handed) {
        (Some((socket, made)), _) => Bound::from_relaunch(socket, made)?,
        (None, Some(bound)) => bound,
        (None, None) => Bound::new(&config.socket)?,
    };
    if !resumed {
        sweep(bound.path());
    }
    let token_path = config.token_path(bound.path());
    let (token, token_file) =
        if resumed { OwnerToken::resume(&token_path)? } else { OwnerToken::create(&token_path)? };
    let uid = rustix::process::geteuid().as_raw();
    let server = Server::new(Auth::new(token), vault.clone(), affordable(config.limits), uid)?;
    let listener = bound.listen()?;
    let kept = listener.socket.try_clone()?;
    let socket = UnixListener::from_std(listener.socket)?;

    // A relaunch was a lock, and must stay one.
    if config.credential.is_some() && !resumed {
        match vault.unlock(&Caller::daemon("credential"), Key::Credential).await {
            Ok(_) => tracing::info!("unlocked by the credential that systemd has handed over"),
            Err(error) => {
                tracing::warn!(%error, "the credential that systemd has handed over does not unlock")
            }
        }
    }
    tokio::spawn(lock_on_signal(lock, vault.clone()));
    tokio::spawn(feed_watchdog());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), resumed, "ready");
    notify(NotifyState::Ready);
    drop(answers);
    let (end, answers) = server
        .run(socket, async {
            tokio::select! {
                _ = term.recv() => End::Stop,
                _ = interrupt.recv() => End::Stop,
                () = vault.wiped() => End::Relaunch,
            }
        })
        .await;
    if end == End::Relaunch {
        // A signal that came while requests finished is not lost, and one that comes from here on ends the process,
        // which is locked already.
        process::unhandle_stop_signals();
        let stop = tokio::select! {
            biased;
            _ = term.recv() => true,
            _ = interrupt.recv() => true,
            // Until the runtime has looked for signals that were caught before.
            () = tokio::time::sleep(Duration::from_millis(1)) => false,
        };
        if !stop {
            let handover = Handover {
                listener: kept.into(),
                made: listener.file.is_ours(),
                lock: vault.lock_file()?,
                answers,
            };
            // What runs after a lock must not be this image: if it cannot be replaced, it ends.
            return Err(Error::Relaunch(handover.exec()));
        }
    }
    tracing::info!("stopping");
    notify(NotifyState::Stopping);
    vault.shutdown().await;
    drop(answers);
    token_file.remove();
    listener.file.remove();
    Ok(())
}

/// Removes the files of runs whose `secretctl` was killed. What stays is no reason not to start.
fn sweep(socket: &Path) {
    match socket.parent().map(run_files::sweep) {
        Some(Ok(0)) | None => {}
        Some(Ok(runs)) => tracing::info!(runs, "removed files with values that killed runs have left"),
        Some(Err(error)) => tracing::warn!(%error, "cannot remove the files that killed runs may have left"),
    }
}

fn vault_settings(config: &Config) -> Settings {
    Settings {
        data_dir: config.data_dir.clone(),
        state_dir: config.state_dir.clone(),
        kdf: KdfCost {
            memory_kib: config.kdf.memory_kib,
            passes: config.kdf.passes,
            lanes: config.kdf.lanes,
        },
        idle_lock: config.auto_lock.idle,
        max_lock: config.auto_lock.max,
        lock_is_final: true,
        keys: KeySources { credential: config.credential.clone(), providers: config.key_providers.clone() },
    }
}

/// Never so many connections that the vault is left without descriptors for its own files.
fn affordable(limits: Limits) -> Limits {
    let files = usize::try_from(process::raise_file_limit()).unwrap_or(usize::MAX);
    let most = (files.saturating_sub(OWN_FILES) / 4).saturating_mul(3).max(1);
    if most < limits.connections {
        tracing::warn!(most, "the limit of open files allows only so many connections");
    }
    Limits { connections: limits.connections.min(most), ..limits }
}

/// How many files the daemon itself may need at once.
const OWN_FILES: usize = 32;

async fn lock_on_signal(mut wanted: Signal, vault: Vault) {
    while poll_fn(|cx| wanted.poll_recv(cx)).await.is_some() {
        match vault.lock(&Caller::daemon("signal")).await {
            Ok(_) => tracing::info!("locked by a signal"),
            Err(error) => tracing::error!(%error, "cannot lock on a signal"),
        }
    }
}

/// Tells systemd that the daemon is alive, twice as often as it wants to know.
async fn feed_watchdog() {
    let Some(deadline) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((deadline / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        notify(NotifyState::Watchdog);
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}

fn log_to_stderr(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter);
    if config.journal { log.without_time().init() } else { log.init() }
}
