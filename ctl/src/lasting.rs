//! Sessions with names, which outlast the process that begins them: starting their brokers, by systemd where it has our
//! units, and asking them. What is said over their sockets is in `secrets_proto::broker`.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{PidfdFlags, geteuid, getpid, pidfd_open};
use secrets_client::{Call, Method, Paths};
use secrets_local::sessions::Place;
use secrets_local::{files, passing, places};
use secrets_proto::broker::{Ask, Attach, Attached, Begin, Described, Named, Note, Order, SessionName, Told};
use secrets_proto::session::Session;
use secrets_proto::{ErrorType, Uuid};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::broker::{self, PATIENCE, failed, understood};
use crate::environment;
use crate::failure::{Exit, Failure};
use crate::session::Session as Asking;

/// The unit whose instances are the sockets on which brokers are started.
const UNIT: &str = "secretsd-broker@";

/// How long a broker has to end: what is under way in it takes 5 s at most, the daemon 5 s more.
const END: Duration = Duration::from_secs(15);

/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Nobody else begins, or cleans up, a session while this lives.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "its lock ends with it")] File);

/// Takes the turn to begin or to remove sessions below this directory.
///
/// # Errors
/// Where the directory is not ours alone, or somebody holds the turn for too long.
pub(crate) fn turn(runtime: &Path) -> Result<Turn, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Other, error.to_string());
    let dir = files::private_dir(&runtime.join(places::BROKERS)).map_err(|error| failed(&error))?;
    let dir = File::open(dir).map_err(|error| failed(&error))?;
    let end = Instant::now() + END;
    while let Err(error) = flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        if Instant::now() > end {
            return Err(failed(&format!("another secretctl begins or ends a session: {error}; try again")));
        }
        thread::sleep(LOOK);
    }
    Ok(Turn(dir))
}

/// Starts the broker of a session, which serves it from then on.
///
/// # Errors
/// With the reason, after which nothing of it is left but the session in the daemon.
pub(crate) fn start(
    session: Session,
    paths: &Paths,
    allow: Vec<String>,
    named: Named,
) -> Result<Note, Failure> {
    let runtime = paths.socket.parent().ok_or_else(|| failed("the socket's path has no directory"))?;
    let place = Place::new(runtime, &named.name);
    let note = Note {
        named: named.clone(),
        session: session.id,
        secrets: session.secrets.iter().map(|secret| secret.name.clone()).collect(),
        expires_at: session.expires_at,
    };
    let begin = Begin {
        session,
        use_socket: paths.socket.with_file_name(places::USE),
        socket: paths.socket.clone(),
        runtime: runtime.to_owned(),
        allow,
        learn: false,
    };
    let started = begun(&place, &note, Order::Begin(Box::new(begin), named), paths.socket_is_default);
    if started.is_err() {
        place.remove();
    }
    started.map(|()| note)
}

fn begun(place: &Place, note: &Note, order: Order, is_default: bool) -> Result<(), Failure> {
    place.prepare(note).map_err(|error| failed(&error.to_string()))?;
    let io = |error: io::Error| failed(&error.to_string());
    let control = private_socket(&place.control).map_err(io)?;
    // For programs that have the variables and no network of their own; it lasts as long as the session.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
    let log = if has_unit(is_default) {
        let unit = format!("{UNIT}{}.socket", note.named.name);
        manage(&["restart", &unit]).map_err(|why| failed(&why))?;
        None
    } else {
        let orders = private_socket(&place.orders).map_err(io)?;
        broker::launch_apart(orders.into())?
    };
    let reply = tell(&place.orders, &order, &[listener.as_fd(), control.as_fd()]).map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return failed("it did not answer in time");
        }
        let said = log.as_ref().and_then(crate::spawn::Log::last_word);
        failed(said.as_deref().unwrap_or("it ended at once; its log says why"))
    })?;
    understood(&reply).map(drop)
}

/// A socket that others cannot reach.
fn private_socket(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(socket)
}

fn has_unit(is_default: bool) -> bool {
    let unit = format!("{UNIT}.socket");
    is_default && environment::systemd_user_dirs().iter().any(|dir| dir.join(&unit).exists())
}

/// Has the user's service manager do something; says what it said if it does not.
pub(crate) fn manage(arguments: &[&str]) -> Result<(), String> {
    let said = |error: io::Error| format!("systemctl: {error}");
    let mut child = Command::new("systemctl")
        .args(["--user", "--quiet"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(said)?;
    let end = Instant::now() + END;
    let status = loop {
        match child.try_wait().map_err(said)? {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                break child.wait().map_err(said)?;
            }
            None => thread::sleep(LOOK),
        }
    };
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut text);
    }
    match text.lines().next() {
        _ if status.success() => Ok(()),
        Some(line) => Err(format!("systemctl: {line}")),
        None => Err("the user manager of systemd does not do it in time".to_owned()),
    }
}

/// Sends one message and waits for the answer.
fn tell(
    socket: &Path,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<Zeroizing<Vec<u8>>> {
    let stream = connect(socket)?;
    let message = serde_json::to_vec(message).map(Zeroizing::new)?;
    passing::send(&stream, &message, descriptors)?;
    Ok(passing::receive(&stream)?.0)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = connect_to_own(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Connects to a socket that no other user of this machine serves: what is told there becomes our environment.
fn connect_to_own(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    if files::is_anothers(uid_of(&stream)?, geteuid().as_raw()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(stream)
}

/// Whose the process at the other end is. Asked by tokio: rustix's call fails for a process of another pid namespace, which
/// has the number 0 here.
fn uid_of(stream: &UnixStream) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    stream.set_nonblocking(true)?;
    let peer = tokio::net::UnixStream::from_std(stream.try_clone()?)?.peer_cred();
    // Both share it.
    stream.set_nonblocking(false)?;
    Ok(peer?.uid())
}

/// Asks a session over its control socket.
///
/// # Errors
/// Where nobody answers: the session has ended, or there never was one.
pub(crate) fn describe(control: &Path) -> io::Result<Described> {
    match told(control, &Ask::Describe, &[])? {
        Told::Described(described) => Ok(described),
        Told::Attached(_) | Told::Refused(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn told(control: &Path, ask: &Ask, descriptors: &[BorrowedFd<'_>]) -> io::Result<Told> {
    Ok(serde_json::from_slice(&tell(control, ask, descriptors)?)?)
}

/// Whether a session has its broker. It may be too busy to answer what is asked.
pub(crate) fn runs(control: &Path) -> bool {
    UnixStream::connect(control).is_ok()
}

/// Hands a listener to a session, for this process and what it becomes. The files that the variables name are to be put
/// into `files_in`; without one they are those of the broker.
///
/// # Errors
/// Where nobody answers, or the session does not take it.
pub(crate) fn attach(
    control: &Path,
    listener: &TcpListener,
    files_in: Option<PathBuf>,
) -> Result<Attached, Failure> {
    let io = |error: io::Error| no_answer(control, &error);
    let port = listener.local_addr().map_err(io)?.port();
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| io(error.into()))?;
    let ask = Ask::Attach(Attach { port, files_in });
    match told(control, &ask, &[listener.as_fd(), own.as_fd()]).map_err(io)? {
        Told::Attached(attached) => Ok(attached),
        Told::Refused(why) => Err(Failure::new(Exit::NotAllowed, format!("the session refused: {why}"))),
        Told::Described(_) => Err(io(io::ErrorKind::InvalidData.into())),
    }
}

/// A new connection over which a program's connection to its proxy goes.
pub(crate) fn stream(control: &Path) -> io::Result<UnixStream> {
    let stream = connect_to_own(control)?;
    passing::send(&stream, &serde_json::to_vec(&Ask::Stream)?, &[])?;
    Ok(stream)
}

/// Why a session does not answer.
pub(crate) fn no_answer(control: &Path, error: &io::Error) -> Failure {
    const LATE: &str = "it did not answer in time";
    let known = [
        (io::ErrorKind::NotFound, Exit::NotFound, "there is no such session; see: secretctl proxy list"),
        (
            io::ErrorKind::ConnectionRefused,
            Exit::NotFound,
            "the session has ended: start it again; or the file of a forwarded socket is left: remove it",
        ),
        (
            io::ErrorKind::PermissionDenied,
            Exit::NotAllowed,
            "the socket is another user's; in a container, be the user that it belongs to",
        ),
        (
            io::ErrorKind::InvalidData,
            Exit::Other,
            "it answers as another version does; install the same version of both programs",
        ),
        (io::ErrorKind::WouldBlock, Exit::Other, LATE),
        (io::ErrorKind::TimedOut, Exit::Other, LATE),
    ];
    let shown = crate::shell::quoted(control);
    match known.into_iter().find(|(kind, ..)| *kind == error.kind()) {
        Some((_, exit, what)) => Failure::new(exit, format!("{shown}: {what}")),
        None => {
            Failure::new(Exit::NotFound, format!("{shown} does not answer: {error}; has the session ended?"))
        }
    }
}

/// Why a session of this machine does not answer, with how to have it again.
pub(crate) fn no_answer_by_name(place: &Place, name: &SessionName, error: &io::Error) -> Failure {
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        return no_answer(&place.control, error);
    }
    match place.note() {
        Some(note) => {
            let names: Vec<&str> = note.secrets.iter().map(|name| name.as_str()).collect();
            let text = format!(
                "session {name} has ended; start it again with: secretctl proxy start {name} -s {}",
                names.join(",")
            );
            Failure::new(Exit::NotFound, text)
        }
        None => Failure::new(
            Exit::NotFound,
            format!("no session {name} runs: it was stopped, or never started; see: secretctl proxy list"),
        ),
    }
}

/// Has the daemon end a session. Says whether it has, or knows of none.
pub(crate) fn end_in_daemon(asking: &Asking, session: Uuid) -> bool {
    match asking.call_as_is(&Call::new(Method::DELETE, &format!("/use/sessions/{session}"))) {
        Ok(_) => true,
        Err(failure) => failure.kind() == Some(ErrorType::NotFoundError),
    }
}

/// Ends a session's broker, if it runs, and removes what is left of it. Says whether it ran.
///
/// # Errors
/// Where it goes on all the same.
pub(crate) fn end(place: &Place, name: &SessionName, is_default: bool) -> Result<bool, Failure> {
    let runs = runs(&place.control);
    let still = |why: &str| Failure::new(Exit::Other, format!("the session's broker does not end: {why}"));
    if runs {
        let wait = || {
            let stream = UnixStream::connect(&place.orders)?;
            stream.set_read_timeout(Some(END))?;
            passing::send(&stream, &serde_json::to_vec(&Order::End)?, &[])?;
            // It closes the connection when it is done.
            (&stream).read_to_end(&mut Vec::new())
        };
        wait().map_err(|error| still(&error.to_string()))?;
    }
    if has_unit(is_default) {
        let (socket, service) = (format!("{UNIT}{name}.socket"), format!("{UNIT}{name}.service"));
        manage(&["stop", &socket, &service]).map_err(|why| still(&why))?;
    }
    place.remove();
    Ok(runs)
}
