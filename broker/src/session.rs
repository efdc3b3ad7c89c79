//! One broker, from the message with its session to the end of the program, of the session or of the daemon. It serves one
//! program, or, with a name, all that are sent to it, until its user ends it.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use secrets_local::clock::Clock;
use secrets_local::sessions::Place;
use secrets_local::{hardening, passing};
use secrets_proto::Timestamp;
use secrets_proto::broker::{Begin, Begun, Named, Note, Order, Variables};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::Level;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::accept::Connections;
use crate::certificate::Authority;
use crate::control::{Control, Programs, end_of};
use crate::decide::Daemon;
use crate::environment::Trust;
use crate::forward::Forwarder;
use crate::grants::{Allowed, Grants};
use crate::ready::{self, Ready};
use crate::tunnel::Tunnels;

/// How long the first order of a session with a name may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Libraries that write down at the level of debugging what hosts have said.
const WITH_WORDS_OF_HOSTS: [&str; 2] = ["h2", "hyper::proto::h2"];

/// How often what requests have carried is forgotten.
const FORGET: Duration = Duration::from_millis(250);

/// How often it is looked whether the daemon is there.
const LOOK: Duration = Duration::from_secs(10);

/// How often it is tried to end a session that cannot be ended while the vault is locked.
const AGAIN: Duration = Duration::from_secs(3);

/// For so many looks in a row the daemon may be away.
const AWAY: u32 = 3;

/// After so many looks it is asked whether the session was revoked; while the vault is locked, nobody can revoke it, and
/// each question is a refusal in the audit log.
const ASK: u32 = 6;
const ASK_WHILE_LOCKED: u32 = 60;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("secretsd-broker is started by: secretctl proxy run, secretctl proxy start")]
    NotStarted,
    #[error("this process cannot protect its memory: {0}")]
    Hardening(#[source] Errno),
    #[error(transparent)]
    Ready(#[from] ready::Error),
    #[error("--allow takes a host, or an address with its port")]
    Allow,
    #[error(transparent)]
    Certificate(#[from] crate::certificate::Error),
    #[error(transparent)]
    Files(#[from] run_files::Error),
    #[error("the session cannot be served: {0}")]
    Io(#[from] io::Error),
}

/// Serves the session that is sent over the standard input.
pub(crate) fn main() -> ExitCode {
    hardening::make_files_private();
    hardening::quiet_panics("secretsd-broker");
    log();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Has what happens written to the standard error, as far as `SECRETSD_LOG` asks for it.
fn log() {
    let asked = std::env::var_os("SECRETSD_LOG").filter(|asked| !asked.is_empty());
    let chosen = asked.and_then(|asked| asked.to_str()?.parse::<Targets>().ok());
    let chosen = chosen.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // These write down a host's last words (RFC 9113, section 6.8), which may be the value.
    let is_quiet = |target: &str| WITH_WORDS_OF_HOSTS.iter().any(|library| target.starts_with(library));
    let fit = filter_fn(move |about| *about.level() <= Level::INFO || !is_quiet(about.target()));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(chosen.and(fit))).init();
}

fn run() -> Result<(), Error> {
    hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).map_err(Error::Hardening)?;
    match input()? {
        Input::Launcher(control) => for_one_program(control),
        Input::Orders(orders) => with_a_name(orders),
    }
}

/// What the standard input is.
enum Input {
    /// The launcher's end of a connection.
    Launcher(UnixStream),
    /// Where the user's orders come in.
    Orders(UnixListener),
}

fn input() -> Result<Input, Error> {
    use rustix::net::{AddressFamily, sockopt};
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    if sockopt::socket_domain(&input) != Ok(AddressFamily::UNIX) {
        return Err(Error::NotStarted);
    }
    // What stays as the standard input says nothing more.
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).map_err(io::Error::from)?;
    if sockopt::socket_acceptconn(&input) == Ok(true) {
        return Ok(Input::Orders(input.into()));
    }
    Ok(Input::Launcher(UnixStream::from(input)))
}

fn for_one_program(control: UnixStream) -> Result<(), Error> {
    // While the launcher begins the session, for which somebody may be asked: it ends if its launcher does.
    let ready = Ready::new();
    let (message, descriptors) = match passing::receive(&control) {
        Ok(message) => message,
        // There is no session.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Err(_) => return Err(Error::NotStarted),
    };
    let begin: Begin = serde_json::from_slice(&message).map_err(|_| Error::NotStarted)?;
    drop(message);
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or(Error::NotStarted);
    let (listener, program) = (next()?, next()?);
    let learned = if begin.learn { Some(next()?) } else { None };
    let service = Service::new(ready, begin, listener.into());
    tell(&control, &service)?;
    drop(control);
    serve(service?.for_one(program, learned))
}

/// The first order begins the session; its sender has the token.
fn with_a_name(orders: UnixListener) -> Result<(), Error> {
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    if poll(&mut [PollFd::new(&orders, PollFlags::IN)], Some(&patience)) == Ok(0) {
        return Err(Error::NotStarted);
    }
    let (control, _) = orders.accept()?;
    control.set_read_timeout(Some(PATIENCE))?;
    let (message, descriptors) = passing::receive(&control).map_err(|_| Error::NotStarted)?;
    let Ok(Order::Begin(begin, named)) = serde_json::from_slice(&message) else {
        return Err(Error::NotStarted);
    };
    drop(message);
    let [listener, asks] = two(descriptors)?;
    let place = Place::new(&begin.runtime, &named.name);
    let service = Service::new(Ready::new(), *begin, listener.into());
    tell(&control, &service)?;
    drop(control);
    let ended = serve(service?.for_many(orders, asks.into(), named));
    place.remove();
    // Who has given the order to end waits until this is closed.
    ended.map(drop)
}

fn two(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 2], Error> {
    descriptors.try_into().map_err(|_| Error::NotStarted)
}

/// Tells the launcher what the program needs, or why there is no session.
fn tell(control: &UnixStream, service: &Result<Service, Error>) -> Result<(), Error> {
    let reply = match service {
        Ok(service) => Begun::Serves(service.variables()),
        Err(error) => Begun::Refused(error.to_string()),
    };
    let reply = serde_json::to_vec(&reply).map_err(|_| Error::NotStarted)?;
    Ok(passing::send(control, &reply, &[])?)
}

fn serve<T>(serving: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serving);
    // A lookup of a name cannot be interrupted.
    runtime.shutdown_background();
    outcome
}

/// A session that is ready to be served.
struct Service {
    tunnels: Arc<Tunnels>,
    listener: TcpListener,
    programs: Programs,
    ends_in: Duration,
    expires_at: Timestamp,
}

impl Service {
    fn new(ready: Result<Ready, ready::Error>, begin: Begin, listener: TcpListener) -> Result<Self, Error> {
        let Ready { upstream, authorities, keys } = ready?;
        let Begin { session, use_socket, socket, runtime, allow, learn } = begin;
        let allow: Option<Vec<Allowed>> = allow.iter().map(|text| Allowed::parse(text)).collect();
        let allow = allow.ok_or(Error::Allow)?;
        let seconds = session.expires_at.as_second().saturating_sub(Timestamp::now().as_second()).max(0);
        let authority = Authority::new(keys, seconds)?;
        let trust = Trust::write(&runtime, &authority, &authorities)?;
        let secrets = session.secrets.iter().map(|secret| (secret.name.clone(), secret.placeholder.clone()));
        let programs = Programs {
            trust,
            session: session.id,
            secrets: secrets.collect(),
            port: listener.local_addr()?.port(),
        };
        let expires_at = session.expires_at;
        let daemon = Daemon::new(&session, use_socket, socket);
        let mut grants = Grants::new(session.secrets, allow);
        grants.learns = learn;
        let forwarder = Forwarder::new(grants, daemon, upstream);
        let tunnels = Arc::new(Tunnels::new(forwarder, authority));
        let ends_in = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Ok(Self { tunnels, listener, programs, ends_in, expires_at })
    }

    fn variables(&self) -> Variables {
        self.programs.variables(self.programs.trust.dir(), self.programs.port)
    }

    fn connections(listener: TcpListener) -> io::Result<Connections> {
        listener.set_nonblocking(true)?;
        Connections::new(tokio::net::TcpListener::from_std(listener)?)
    }

    /// Serves until the program has ended, the session is over, or the daemon is gone for good. What was learned goes to
    /// `learned`.
    async fn for_one(self, program: OwnedFd, learned: Option<OwnedFd>) -> Result<(), Error> {
        let Self { tunnels, listener, programs, ends_in, .. } = self;
        let begun = Instant::now();
        let connections = Self::connections(listener)?;
        let ended = end_of(program);
        tokio::select! {
            () = connections.serve(|stream, permit| tunnels.clone().serve(stream, permit)) => {}
            () = forget(&tunnels) => {}
            _ = ended => {}
            () = over(ends_in) => tracing::info!("the session is over"),
            () = absence(tunnels.daemon()) => tracing::warn!("the daemon is gone; the session ends"),
        }
        connections.drain().await;
        if let Some(learned) = learned {
            // Its reader may be gone.
            let _ = std::fs::File::from(learned).write_all(tunnels.learned().as_bytes());
        }
        drop(programs);
        end(tunnels.daemon(), ends_in.saturating_sub(begun.elapsed())).await;
        Ok(())
    }

    /// Serves until the user ends it, the session is over or revoked, or the daemon is gone for good. Gives the connection
    /// over which the user has ended it.
    async fn for_many(
        self,
        orders: UnixListener,
        asks: UnixListener,
        named: Named,
    ) -> Result<Option<UnixStream>, Error> {
        let Self { tunnels, listener, programs, ends_in, expires_at } = self;
        let secrets = programs.secrets.iter().map(|(name, _)| name.clone()).collect();
        let note = Note { named, session: programs.session, secrets, expires_at };
        let connections = Arc::new(Self::connections(listener)?);
        for listener in [&orders, &asks] {
            listener.set_nonblocking(true)?;
        }
        let (orders, asks) =
            (tokio::net::UnixListener::from_std(orders)?, tokio::net::UnixListener::from_std(asks)?);
        let control = Arc::new(Control::new(tunnels.clone(), connections.clone(), programs, note));
        let mut terminated = signal(SignalKind::terminate())?;
        let mut last = None;
        tokio::select! {
            () = connections.serve(|stream, permit| tunnels.clone().serve(stream, permit)) => {}
            () = control.clone().serve(asks) => {}
            order = control.order(&orders) => last = Some(order),
            () = forget(&tunnels) => {}
            _ = terminated.recv() => tracing::info!("the session is ended"),
            () = over(ends_in) => tracing::info!("the session is over"),
            () = tunnels.daemon().over() => tracing::info!("the session was revoked or is over"),
            () = absence(tunnels.daemon()) => tracing::warn!("the daemon is gone; the session ends"),
        }
        // Nobody comes in from now on.
        control.close();
        connections.drain().await;
        tunnels.daemon().end().await;
        Ok(last.map(tokio::net::UnixStream::into_std).transpose()?)
    }
}

/// Ends the session. A locked vault cannot write that down: this waits for the next unlock, for as long as there is a daemon
/// and the session would last.
async fn end(daemon: &Daemon, most: Duration) {
    let ended = async {
        while !daemon.end().await {
            sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = sleep(most) => {}
        () = absence(daemon) => tracing::warn!("the session ends by itself when its time is over"),
    }
}

/// Forgets what requests have carried, a moment after the last.
async fn forget(tunnels: &Tunnels) {
    loop {
        tunnels.carried().await;
        loop {
            sleep(FORGET).await;
            if !tunnels.forget() {
                break;
            }
        }
    }
}

/// Waits for so long by the clocks that count sleep and go by the wall, whichever has gone further.
async fn over(ends_in: Duration) {
    let clock = Clock::new();
    let start = clock.now();
    loop {
        let left = ends_in.saturating_sub(clock.now().since(start));
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK)).await;
    }
}

/// Ends when the daemon has been away for too long. Asks it now and then whether it knows the session.
async fn absence(daemon: &Daemon) {
    let (mut away, mut looks) = (0, 0);
    while away < AWAY {
        sleep(LOOK).await;
        away = if daemon.is_there().await { 0 } else { away + 1 };
        looks += 1;
        if away == 0 && looks >= if daemon.was_locked() { ASK_WHILE_LOCKED } else { ASK } {
            looks = 0;
            daemon.ask_whether_over().await;
        }
    }
}
