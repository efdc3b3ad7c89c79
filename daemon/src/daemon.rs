//! The daemon's life: puts the stages together, says when it is ready, waits for its end, and clears up.

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::auth::{Auth, OwnerToken};
use crate::caller::Caller;
use crate::config::{self, Config, Limits, StartKey};
use crate::listener::{self, Bound, Handed, Listener};
use crate::relaunch::{HandoffReplies, Handover, Socket, Unwritten};
use crate::server::{End, Server};
use crate::systemd_credentials::{CredentialSocket, Policy};
use crate::triggers::Triggers;
use crate::vault::{KdfCost, Key, KeySources, Settings, StartError, Vault};
use crate::{auth, logind, process};

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
    let handed = if handover.is_some() { Handed::default() } else { Bound::from_systemd()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(live(config, handed, handover));
    // Not waiting for a key derivation that nobody will hear of: the vault is closed already.
    runtime.shutdown_background();
    outcome
}

async fn live(config: Config, handed: Handed, handover: Option<Handover>) -> Result<(), Error> {
    // First of all the handlers: a signal that comes early must not end the process half-way.
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lock = signal(SignalKind::user_defined1())?;
    let settings = vault_settings(&config);
    let triggers = Arc::clone(&settings.triggers);
    let (before, vault, refused, answers) = match handover {
        Some(Handover { api, credentials, lock, unwritten, refused, answers }) => {
            let vault = Vault::resume(settings, lock, &unwritten.read())?;
            (Some((api, credentials)), vault, refused, answers)
        }
        None => (None, Vault::start(settings, None)?, Vec::new(), HandoffReplies::default()),
    };
    let resumed = before.is_some();
    // Only now: the vault's lock says that a socket which nobody answers on belongs to nobody.
    let (bound, units) = match before {
        Some((api, units)) => (Bound::from_relaunch(api)?, units.map(Bound::from_relaunch).transpose()?),
        None => bind(&config, handed)?,
    };
    if !resumed {
        sweep(bound.path());
    }
    let token_path = config.token_path(bound.path());
    let (token, token_file) =
        if resumed { OwnerToken::resume(&token_path)? } else { OwnerToken::create(&token_path)? };
    let uid = rustix::process::geteuid().as_raw();
    let limits = affordable(config.limits);
    let auth = Auth::new(token, vault.clone(), limits.wrong_tokens);
    let config::CredentialSettings { socket: on, system_manager } = config.credentials;
    let credentials =
        CredentialSocket::new(vault.clone(), Policy { on, uid, system_manager }, limits.connections / UNITS);
    let server = Server::new(auth, vault.clone(), limits, uid);
    let (api, units) = (bound.listen()?, units.map(Bound::listen).transpose()?);
    let inherited = InheritedSockets { api: keep(&api)?, credentials: units.as_ref().map(keep).transpose()? };
    let socket = UnixListener::from_std(api.socket)?;
    let (unit_socket, unit_file) = match units {
        Some(Listener { socket, file }) => (Some(UnixListener::from_std(socket)?), Some(file)),
        None => (None, None),
    };

    let watch = logind::Watch { bus: config.system_bus.clone(), wanted: config.lock_on, uid };
    tokio::spawn(logind::watch(watch, vault.clone(), triggers));
    // A relaunch was a lock, and must stay one.
    if !resumed {
        unlock_at_start(&vault, &config).await;
    }
    tokio::spawn(lock_on_signal(lock, vault.clone()));
    tokio::spawn(feed_watchdog(vault.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), resumed, "ready");
    notify(NotifyState::Ready);
    drop(answers);
    let (ending, mut ended) = watch::channel(None);
    let api_served = server.run(socket, async {
        let end = tokio::select! {
            _ = term.recv() => End::Stop,
            _ = interrupt.recv() => End::Stop,
            () = vault.wiped() => End::Relaunch,
        };
        ending.send_replace(Some(end));
        end
    });
    let units_served = credentials.run(unit_socket, refused, async {
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        end.unwrap_or(End::Stop).drain()
    });
    let ((end, answers), refused) = tokio::join!(api_served, units_served);
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
            let InheritedSockets { api, credentials } = inherited;
            let (lock, unwritten) = (vault.lock_file()?, Unwritten::new(&vault.unwritten())?);
            let handover = Handover { api, credentials, lock, unwritten, refused, answers };
            // What runs after a lock must not be this image: if it cannot be replaced, it ends.
            return Err(Error::Relaunch(handover.exec()));
        }
    }
    tracing::info!("stopping");
    notify(NotifyState::Stopping);
    vault.shutdown().await;
    drop(answers);
    token_file.remove();
    api.file.remove();
    if let Some(file) = unit_file {
        file.remove();
    }
    Ok(())
}

/// The API's socket, and the one that units load credentials from: those that systemd handed over, or our own.
fn bind(config: &Config, handed: Handed) -> Result<(Bound, Option<Bound>), Error> {
    let api = handed.api.map_or_else(|| Bound::new(&config.socket), Ok)?;
    let units = match handed.credentials {
        Some(units) => Some(units),
        None if config.credentials.socket => match api.credentials_beside() {
            // Its name is longer than that of the API's, which is what was chosen.
            Err(error @ listener::Error::TooLong(_)) => {
                tracing::warn!(%error, "units cannot load credentials");
                None
            }
            bound => Some(bound?),
        },
        None => None,
    };
    Ok((api, units))
}

/// What the next image needs of the sockets.
struct InheritedSockets {
    api: Socket,
    credentials: Option<Socket>,
}

fn keep(listener: &Listener) -> io::Result<Socket> {
    Ok(Socket { listener: listener.socket.try_clone()?.into(), made: listener.file.is_ours() })
}

/// Opens the vault with the key that systemd hands over or the settings name, if there is one. What fails is logged, and
/// the vault stays locked.
async fn unlock_at_start(vault: &Vault, config: &Config) {
    let (name, key) = match (&config.credential, &config.unlock_at_start) {
        (Some(_), _) => ("credential", Key::Credential),
        (None, Some(StartKey::File(path))) => ("key file", Key::File(path.clone())),
        (None, Some(StartKey::Provider(name))) => ("key provider", Key::Provider(name.clone())),
        (None, None) => return,
    };
    match vault.unlock(&Caller::daemon(name), key).await {
        Ok(_) => tracing::info!(by = name, "unlocked at start"),
        Err(error) => tracing::warn!(%error, by = name, "the key for the start does not unlock"),
    }
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
        triggers: Arc::new(Triggers::new(config.lock_on.suspend, config.lock_on.session_lock)),
        keys: KeySources { credential: config.credential.clone(), providers: config.key_providers.clone() },
    }
}

/// Never so many connections that the vault is left without descriptors for its own files.
fn affordable(limits: Limits) -> Limits {
    let files = usize::try_from(process::raise_file_limit()).unwrap_or(usize::MAX);
    // Each takes two while nothing is written about its peer.
    let most = (files.saturating_sub(OWN_FILES) / 8).saturating_mul(3).max(1);
    if most < limits.connections {
        tracing::warn!(most, "the limit of open files allows only so many connections");
    }
    Limits { connections: limits.connections.min(most), ..limits }
}

/// For each so many connections to the API there may be one of a unit: it is there for a moment.
const UNITS: usize = 8;

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

/// Tells systemd that the daemon is alive, twice as often as it wants to know: this runtime, and the vault's thread,
/// without which nothing is served.
async fn feed_watchdog(vault: Vault) {
    let Some(deadline) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((deadline / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        if vault.answers().await {
            notify(NotifyState::Watchdog);
        }
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
