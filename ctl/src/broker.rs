//! Starting a broker for one command. It must be no child of that command, which could wait for it, and hold nothing of the
//! terminal; so a process of our own starts it in a session of its own, and ends at once.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{PidfdFlags, getpid, pidfd_open, setsid};
use secrets_client::Paths;
use secrets_local::{descriptors, passing, places};
use secrets_proto::broker::{Begin, Begun, Variables};
use secrets_proto::session::Session;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::{environment, spawn};

/// The hidden command that starts a broker and ends.
pub(crate) const LAUNCH: &str = "__start-broker";

/// How long a broker may take until it serves.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Where a broker writes what it has to say.
const LOG: &str = "secretsd-broker.log";

/// A listener on the loopback that every program of this machine reaches. It is ours to choose, so that the broker serves
/// those alone who have been given one.
pub(crate) fn own_listener() -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| failed(&format!("no port: {error}")))
}

/// A broker that starts, and waits for its session. It ends when this is dropped before.
pub(crate) struct Starting {
    control: UnixStream,
    log: Option<spawn::Log>,
}

/// Starts a broker, which is soon ready: meanwhile a session can be begun for it.
///
/// # Errors
/// With the exit status of a `run` that failed before its command.
pub(crate) fn start() -> Result<Starting, Failure> {
    let (control, theirs) = UnixStream::pair().map_err(|error| failed(&error.to_string()))?;
    Ok(Starting { log: launch_apart(theirs.into())?, control })
}

/// Has a broker serve this process, and whatever it becomes, until it ends, on this listener. Gives what its environment
/// needs. One that learns gets our stderr, where it writes at the end what it has learned.
///
/// # Errors
/// With the exit status of a `run` that failed before its command.
pub(crate) fn serve(
    starting: Starting,
    session: Session,
    paths: &Paths,
    allow: Vec<String>,
    learn: bool,
    listener: &TcpListener,
) -> Result<Variables, Failure> {
    let Starting { control, log } = starting;
    let runtime = paths.socket.parent().ok_or_else(|| failed("the socket's path has no directory"))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| failed(&error.to_string()))?;
    let begin = Begin {
        session,
        use_socket: paths.socket.with_file_name(places::USE),
        socket: paths.socket.clone(),
        runtime: runtime.to_owned(),
        allow,
        learn,
    };
    let message =
        serde_json::to_vec(&begin).map(Zeroizing::new).map_err(|_| failed("its session is none"))?;
    let talk = || {
        control.set_read_timeout(Some(PATIENCE))?;
        control.set_write_timeout(Some(PATIENCE))?;
        let stderr = std::io::stderr();
        let descriptors = [listener.as_fd(), own.as_fd(), stderr.as_fd()];
        let count = if learn { 3 } else { 2 };
        passing::send(&control, &message, descriptors.get(..count).unwrap_or_default())?;
        passing::receive(&control)
    };
    let (reply, _) = talk().map_err(|error| {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return failed("it did not answer in time");
        }
        failed(log.as_ref().and_then(spawn::Log::last_word).as_deref().unwrap_or("it ended at once"))
    })?;
    understood(&reply)
}

/// Reads what a broker answers to the message with its session.
pub(crate) fn understood(reply: &[u8]) -> Result<Variables, Failure> {
    match serde_json::from_slice(reply) {
        Ok(Begun::Serves(variables)) => Ok(variables),
        Ok(Begun::Refused(reason)) => Err(failed(&reason)),
        Err(_) => Err(failed("it answers as another version does; install the same version of all programs")),
    }
}

/// Why no broker was started.
pub(crate) fn failed(reason: &str) -> Failure {
    Failure::new(Exit::RunFailed, format!("cannot start secretsd-broker: {reason}"))
}

/// Has the broker started by a process that ends at once. It gets this socket as its standard input.
pub(crate) fn launch_apart(control: OwnedFd) -> Result<Option<spawn::Log>, Failure> {
    let own = std::env::current_exe().map_err(|_| failed("its program is not found"))?;
    let program = spawn::find("secretsd-broker", own.parent(), &environment::program_dirs())
        .ok_or_else(|| failed("it is neither beside secretctl nor in PATH; install it"))?;
    let log = environment::state_dir().and_then(|dir| spawn::open_log(&dir, LOG).ok());
    let (log, stderr) = log.map_or((None, Stdio::null()), |(log, file)| (Some(log), Stdio::from(file)));
    let status = Command::new(own)
        .args([LAUNCH, "--"])
        .arg(program)
        .env_clear()
        .envs(environment::for_broker())
        .current_dir("/")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(stderr)
        .status()
        .map_err(|error| failed(&error.to_string()))?;
    if status.success() { Ok(log) } else { Err(failed("it cannot be executed")) }
}

/// Starts the broker, which keeps our standard input, in a session of its own.
pub(crate) fn launch(command: &[OsString]) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Exit::Usage, "no program given"));
    };
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Other, format!("cannot start: {error}"));
    setsid().map_err(|error| failed(&error))?;
    descriptors::pass_none_on().map_err(|error| failed(&error))?;
    Command::new(program).args(arguments).spawn().map(drop).map_err(|error| failed(&error))
}
