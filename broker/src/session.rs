//! One broker, from the message with its session to the end of the program, of the session or of the daemon.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use secrets_local::{hardening, passing};
use secrets_proto::Timestamp;
use secrets_proto::broker::{Begin, Begun, Variables};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing_subscriber::EnvFilter;

use crate::accept::Connections;
use crate::certificate::Authority;
use crate::decide::Daemon;
use crate::environment::Trust;
use crate::forward::Forwarder;
use crate::grants::{Allowed, Grants};
use crate::tunnel::Tunnels;
use crate::upstream::{self, Upstream};

/// How long the first message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often what requests have carried is forgotten.
const FORGET: Duration = Duration::from_millis(250);

/// How often it is looked whether the daemon is there.
const LOOK: Duration = Duration::from_secs(10);

/// For so many looks in a row the daemon may be away.
const AWAY: u32 = 3;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("secretsd-broker is started by: secretctl proxy run")]
    NotStarted,
    #[error("this process cannot protect its memory: {0}")]
    Hardening(#[source] Errno),
    #[error("{0}")]
    Roots(&'static str),
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
    let filter = EnvFilter::try_from_env("SECRETSD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_env_filter(filter).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).map_err(Error::Hardening)?;
    let control = control()?;
    let (message, descriptors) = passing::receive(&control).map_err(|_| Error::NotStarted)?;
    let begin: Begin = serde_json::from_slice(&message).map_err(|_| Error::NotStarted)?;
    drop(message);
    let mut descriptors = descriptors.into_iter();
    let (Some(listener), Some(program)) = (descriptors.next(), descriptors.next()) else {
        return Err(Error::NotStarted);
    };
    let ready = Broker::new(begin, listener.into(), program);
    let reply = match &ready {
        Ok((_, variables)) => {
            Begun::Serves(Variables { set: variables.set.clone(), remove: variables.remove.clone() })
        }
        Err(error) => Begun::Refused(error.to_string()),
    };
    let (broker, _) = {
        let reply = serde_json::to_vec(&reply).map_err(|_| Error::NotStarted)?;
        passing::send(&control, &reply, &[])?;
        drop(control);
        ready?
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(broker.serve());
    // A lookup of a name cannot be interrupted.
    runtime.shutdown_background();
    outcome
}

/// The socket that we were started with.
fn control() -> Result<UnixStream, Error> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let is_pair = rustix::net::sockopt::socket_domain(&input) == Ok(rustix::net::AddressFamily::UNIX);
    if !is_pair {
        return Err(Error::NotStarted);
    }
    // What stays as the standard input says nothing more.
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).map_err(io::Error::from)?;
    let control = UnixStream::from(input);
    control.set_read_timeout(Some(PATIENCE))?;
    Ok(control)
}

/// A session that is ready to be served.
struct Broker {
    tunnels: Arc<Tunnels>,
    listener: TcpListener,
    program: OwnedFd,
    ends_in: Duration,
    trust: Trust,
}

impl Broker {
    fn new(begin: Begin, listener: TcpListener, program: OwnedFd) -> Result<(Self, Variables), Error> {
        upstream::use_ring();
        let Begin { session, use_socket, socket, runtime, allow } = begin;
        let allow: Option<Vec<Allowed>> = allow.iter().map(|text| Allowed::parse(text)).collect();
        let allow = allow.ok_or(Error::Allow)?;
        let seconds = session.expires_at.as_second().saturating_sub(Timestamp::now().as_second()).max(0);
        let roots = upstream::roots().map_err(Error::Roots)?;
        let authority = Authority::new(seconds)?;
        let trust = Trust::write(&runtime, &authority, &roots)?;
        let placeholders: Vec<(String, String)> = session
            .secrets
            .iter()
            .map(|secret| (secret.name.to_string(), secret.placeholder.clone()))
            .collect();
        let port = listener.local_addr()?.port();
        let variables = trust.variables(port, &session.id.to_string(), &placeholders);
        let daemon = Daemon::new(&session, use_socket, socket);
        let grants = Grants::new(session.secrets, allow);
        let forwarder = Forwarder::new(grants, daemon, Upstream::new(roots));
        let tunnels = Arc::new(Tunnels::new(forwarder, authority));
        let ends_in = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Ok((Self { tunnels, listener, program, ends_in, trust }, variables))
    }

    /// Serves until the program has ended, the session is over, or the daemon is gone for good.
    async fn serve(self) -> Result<(), Error> {
        let Self { tunnels, listener, program, ends_in, trust } = self;
        listener.set_nonblocking(true)?;
        let connections = Connections::new(tokio::net::TcpListener::from_std(listener)?);
        let ended = end_of(program);
        tokio::select! {
            () = connections.serve(|stream, permit| tunnels.clone().serve(stream, permit)) => {}
            () = forget(&tunnels) => {}
            _ = ended => {}
            () = sleep(ends_in) => tracing::info!("the session is over"),
            () = absence(tunnels.daemon()) => tracing::warn!("the daemon is gone; the session ends"),
        }
        connections.drain().await;
        tunnels.daemon().end().await;
        drop(trust);
        Ok(())
    }
}

/// Tells when a program has ended, by a thread that waits for it: a pidfd (pidfd_open(2)) can be read from then.
fn end_of(program: OwnedFd) -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        while poll(&mut [PollFd::new(&program, PollFlags::IN)], None) == Err(Errno::INTR) {}
        let _ = tell.send(());
    });
    ended
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

/// Ends when the daemon has been away for too long.
async fn absence(daemon: &Daemon) {
    let mut away = 0;
    while away < AWAY {
        sleep(LOOK).await;
        away = if daemon.is_there().await { 0 } else { away + 1 };
    }
}
