//! The daemon's life: puts the stages together, says when it is ready, waits for its end, and clears up.

mod clock_steps;
mod keep;
mod path_watch;
mod set_up;

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use secrets_local::files;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::set_up::{Names, Stages, set_up};
use crate::auth::TokenFile;
use crate::caller::Caller;
use crate::config::{self, Config, StartKey};
use crate::listener::{self, Bound, Handed, Standing};
use crate::relaunch::{HandoffReplies, Handover, Unwritten};
use crate::server::End;
use crate::vault::{Key, StartError, Vault};
use crate::{auth, logind, memory, process, vault};

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
    /// The socket cannot be made.
    #[error(transparent)]
    Listener(#[from] listener::Error),
    /// The owner token cannot be made.
    #[error(transparent)]
    Auth(#[from] auth::OwnerTokenError),
    /// The image could not be replaced after a lock.
    #[error("the vault is locked, but the daemon cannot restart itself to wipe its memory: {0}")]
    Relaunch(#[source] io::Error),
    /// The runtime or a signal handler cannot be set up.
    #[error("the system refused a call that the daemon needs: {0}")]
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
    if handover.is_none() {
        check_places(&config, handed.api.is_some())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(live(config, handed, handover));
    // Not waiting for a key derivation that nobody will hear of: the vault is closed already.
    runtime.shutdown_background();
    outcome
}

/// Before anything is made: no directory may be in another user's.
fn check_places(config: &Config, is_handed: bool) -> Result<(), Error> {
    let runtime = config.socket.parent().filter(|_| !is_handed);
    for dir in [runtime, Some(&config.data_dir), Some(&config.state_dir)].into_iter().flatten() {
        files::check_place(dir).map_err(StartError::from)?;
    }
    Ok(())
}

/// Sets the stages up, serves, and ends.
async fn live(config: Config, handed: Handed, handover: Option<Handover>) -> Result<(), Error> {
    // First of all the handlers: a signal that comes early must not end the process half-way.
    let mut stop = StopSignals::new()?;
    let lock = signal(SignalKind::user_defined1())?;
    let (stages, answers) = set_up(&config, handed, handover)?;
    let vault = stages.vault.clone();
    let watch = logind::Watch { bus: config.system_bus.clone(), wanted: config.lock_on, uid: stages.uid };
    tokio::spawn(logind::watch(watch, vault.clone(), Arc::clone(&stages.triggers)));
    // A relaunch was a lock, and must stay one.
    if !stages.resumed {
        unlock_at_start(&vault, &config).await;
    }
    tokio::spawn(lock_on_signal(lock, vault.clone()));
    tokio::spawn(vault::exchange_by_itself(vault.clone()));
    tokio::spawn(memory::give_back_by_itself());
    watch_clock(vault.clone());
    tokio::spawn(feed_watchdog(vault.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), resumed = stages.resumed, "ready");
    notify(NotifyState::Ready);
    drop(answers);
    serve(stages, &mut stop).await
}

/// Serves until a signal or a lock ends it. After a lock it returns only if no next image can take over.
async fn serve(stages: Stages, stop: &mut StopSignals) -> Result<(), Error> {
    let Stages { vault, server, credential_socket, refused, use_server, mut names, lost, .. } = stages;
    let listening = |socket: &Option<Standing>| socket.as_ref().map(Standing::listening);
    let (api, units, uses) = (names.api.listening(), listening(&names.credentials), listening(&names.uses));
    let (ending, mut ended) = watch::channel(None);
    let api_served = server.run(api, async {
        let end = tokio::select! {
            () = stop.received() => {
                // Who waits for a person must not hold up the end.
                let _ = vault.end_waiting(&Caller::daemon("shutdown"));
                // As long as brokers can say how often they have used what they were lent.
                let _ = vault.end_leases(&Caller::daemon("shutdown")).await;
                End::Stop
            }
            () = vault.wiped() => End::Relaunch,
        };
        ending.send_replace(Some(end));
        end
    });
    let units_served = credential_socket.run(units, refused, async {
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        end.unwrap_or(End::Stop).drain()
    });
    let mut over = ending.subscribe();
    let uses_served = async {
        let Some(uses) = uses else { return HandoffReplies::default() };
        let end = use_server.run(uses, async {
            over.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(End::Stop)
        });
        end.await.1
    };
    let served = async { tokio::join!(api_served, units_served, uses_served) };
    let ((end, mut answers), refused, mut of_uses) = tokio::select! {
        over = served => over,
        never = keep::keep(&mut names, &lost) => never,
    };
    answers.0.append(&mut of_uses.0);
    let Names { api, credentials, uses, tokens } = names;
    if end == End::Relaunch && !stop.came_meanwhile().await {
        let handed_over = |socket: Option<Standing>| socket.map(Standing::into_handover);
        let (api, credentials, uses) = (api.into_handover(), handed_over(credentials), handed_over(uses));
        let (lock, unwritten) = (vault.lock_file()?, Unwritten::new(&vault.unwritten())?);
        let handover = Handover { api, credentials, uses, lock, unwritten, refused, answers };
        // What runs after a lock must not be this image: if it cannot be replaced, it ends.
        return Err(Error::Relaunch(handover.exec()));
    }
    tracing::info!("stopping");
    notify(NotifyState::Stopping);
    vault.shutdown().await;
    drop(answers);
    tokens.into_iter().for_each(TokenFile::remove);
    for socket in [Some(api), credentials, uses].into_iter().flatten() {
        socket.remove();
    }
    Ok(())
}

/// The signals that stop the daemon.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ready when one of them comes.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Whether one came while requests finished. One that comes from here on ends the process, which is locked already.
    async fn came_meanwhile(&mut self) -> bool {
        process::unhandle_stop_signals();
        tokio::select! {
            biased;
            () = self.received() => true,
            // Until the runtime has looked for signals that were caught before.
            () = tokio::time::sleep(Duration::from_millis(1)) => false,
        }
    }
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
    let what =
        if let Key::Provider(provider) = &key { format!("{name} `{provider}`") } else { name.to_owned() };
    match vault.unlock_at_start(&Caller::daemon(name), &what, key).await {
        Ok(()) => tracing::info!(by = name, "unlocked at start"),
        Err(error) => {
            tracing::warn!(%error, by = what, "the key for unlocking at start does not open the vault")
        }
    }
}

async fn lock_on_signal(mut wanted: Signal, vault: Vault) {
    while poll_fn(|cx| wanted.poll_recv(cx)).await.is_some() {
        match vault.lock(&Caller::daemon("signal")).await {
            Ok(_) => tracing::info!("locked by a signal"),
            Err(error) => tracing::error!(%error, "cannot lock on a signal"),
        }
    }
}

/// Has the vault look at the time whenever the wall clock was set or the machine has woken up: the timers that lock it stand
/// still in sleep.
fn watch_clock(vault: Vault) {
    // Without it the vault locks at the next request, or when its timer runs out.
    if let Err(error) = clock_steps::watch(move || vault.auto_lock.look()) {
        tracing::warn!(%error, "it goes unnoticed when the machine wakes up or the clock is set");
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
        tracing::debug!(%error, "cannot notify systemd");
    }
}

fn log_to_stderr(config: &Config) {
    let filter =
        config::what_to_log(&config.log).unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    if config.journal { registry.with(lines.without_time()).init() } else { registry.with(lines).init() }
}
