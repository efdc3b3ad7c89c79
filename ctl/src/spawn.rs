//! Starting the daemon when none runs. It must outlive us, belong to no terminal, and not end up as a
//! child of the command that `run` becomes; so an intermediate process of our own, the nurse, makes a new
//! session, starts it there, reports if it ends at once, and leaves when we need it no more.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{Access, FlockOperation, OFlags, access, flock};
use secrets_client::Paths;
use secrets_local::{files, places};

use crate::failure::{Exit, Failure};
use crate::shell::quoted;
use crate::{environment, holder};

/// The hidden command that makes a process the nurse.
pub(crate) const NURSE: &str = "__start-daemon";

/// What the daemon exits with when another one has the vault.
const ALREADY_RUNNING: i32 = 3;

/// The daemon's log.
const DAEMON_LOG: &str = "secretsd.log";

/// How long a daemon that we started may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// How long one that had a socket may take until it has bound it again.
const REBIND_DEADLINE: Duration = Duration::from_secs(2);

/// From this size on, a log is put aside before the next daemon starts.
const LONG_LOG: u64 = 1 << 20;

/// How much of the log is searched for the reason why a daemon did not start.
const LAST_WORDS: u64 = 64 << 10;

const SOCKET_UNIT: &str = "secretsd.socket";

/// Said where systemd is to start the daemon, and does not yet.
pub(crate) const UNIT_NOT_STARTED: &str =
    "secretsd's socket unit is installed but not started; run: systemctl --user start secretsd.socket";

/// A daemon that is being started.
#[derive(Debug)]
pub(crate) struct Starting {
    nurse: Child,
    /// Or why there can be none.
    log: Result<Log, String>,
    socket: PathBuf,
    data_dir: Option<PathBuf>,
}

/// Where the daemon writes what it has to say.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// How long it was before.
    start: u64,
}

/// Starts the daemon for this socket, unless systemd is supposed to.
pub(crate) fn start(paths: &Paths, data_dir: Option<&Path>) -> Result<Starting, Failure> {
    if is_left_to_systemd(paths) {
        return Err(no_daemon(UNIT_NOT_STARTED));
    }
    let own = std::env::current_exe().map_err(|_| no_daemon("cannot find secretsd; start it yourself"))?;
    let Some(program) = find("secretsd", own.parent(), &environment::program_dirs()) else {
        return Err(no_daemon("secretsd is not running and not in PATH; install it, or start it yourself"));
    };
    let log =
        environment::state_dir().map(|dir| open_log(&dir, DAEMON_LOG).map_err(|error| error.to_string()));
    let (log, stderr) = match log.unwrap_or_else(|| Err("its directory is unknown".to_owned())) {
        Ok((log, file)) => (Ok(log), Stdio::from(file)),
        Err(why) => (Err(why), Stdio::null()),
    };
    let mut command = Command::new(own);
    command.arg(NURSE).arg("--").arg(program);
    if !paths.socket_is_default {
        command.arg("--socket").arg(&paths.socket);
    }
    if let Some(dir) = data_dir {
        command.arg("--data-dir").arg(dir);
    }
    let nurse = command
        .env_clear()
        .envs(environment::for_daemon())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|error| no_daemon(&format!("cannot start secretsd: {error}; start it yourself")))?;
    let data_dir = environment::data_dir(data_dir).ok();
    Ok(Starting { nurse, log, socket: paths.socket.clone(), data_dir })
}

impl Starting {
    /// Whether there is reason to go on waiting for a daemon that does not listen yet. Another one that is about to
    /// listen on our socket is as good.
    pub(crate) fn check(&mut self, waited: Duration) -> Result<(), Failure> {
        match self.nurse.try_wait() {
            Ok(Some(status)) if status.code() == Some(ALREADY_RUNNING) => self.check_other(waited),
            Ok(Some(status)) => Err(self.describe(&format!("it exited at once with {}", outcome(status)))),
            _ if waited > START_DEADLINE => Err(self.describe("it is running but does not listen")),
            _ => Ok(()),
        }
    }

    /// The vault is in use: by one that starts just now, or that listens where we do not look.
    fn check_other(&self, waited: Duration) -> Result<(), Failure> {
        let holder = self.data_dir.as_deref().and_then(holder::of);
        let Some(holder) = holder else {
            return if waited > START_DEADLINE { Err(self.describe("another one runs")) } else { Ok(()) };
        };
        let used = format!("the vault is in use by secretsd{holder}");
        if holder.is_elsewhere() {
            return Err(no_daemon(&format!(
                "{used}; share that daemon's runtime directory, or stop it where it runs"
            )));
        }
        match holder.socket() {
            Some(socket) if !holder::is_same_socket(socket, &self.socket) => {
                Err(no_daemon(&format!("{used}; use that one with --socket {}", quoted(socket))))
            }
            Some(_) if waited > REBIND_DEADLINE => Err(no_daemon(&format!(
                "{used}, which was removed and could not be bound again; its log says why, and so does: secretctl doctor"
            ))),
            None if waited > START_DEADLINE => Err(self.describe("another one has the vault")),
            _ => Ok(()),
        }
    }

    /// The daemon's own last word if it had one, else `what` we know.
    fn describe(&self, what: &str) -> Failure {
        let log = match &self.log {
            Ok(log) => log,
            Err(why) => {
                return no_daemon(&format!(
                    "cannot start secretsd: {what}; its log cannot be written, {why}; run it in a terminal to see the reason: secretsd"
                ));
            }
        };
        let reason = log.last_word();
        let reason = reason.as_deref().unwrap_or(what);
        no_daemon(&format!("cannot start secretsd: {reason}; see its log: {}", log.path.display()))
    }
}

impl Drop for Starting {
    /// Lets the nurse go; the daemon then belongs to init.
    fn drop(&mut self) {
        drop(self.nurse.stdin.take());
        let _ = self.nurse.wait();
    }
}

/// The nurse's life: starts `command` in a session of its own and ends with it, or when stdin does.
/// Returns only if it could not be started.
pub(crate) fn nurse(command: &[OsString]) -> Failure {
    let Some((program, arguments)) = command.split_first() else {
        return Failure::new(Exit::Usage, "no program given");
    };
    if let Err(error) = rustix::process::setsid() {
        return Failure::new(Exit::Other, format!("cannot leave the terminal: {error}"));
    }
    let mut daemon = match Command::new(program).args(arguments).stdin(Stdio::null()).spawn() {
        Ok(daemon) => daemon,
        Err(error) => return Failure::new(Exit::Other, format!("cannot start secretsd: {error}")),
    };
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let status = daemon.wait().ok().and_then(|status| status.code()).unwrap_or(1);
    std::process::exit(status)
}

fn outcome(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn no_daemon(message: &str) -> Failure {
    Failure::new(Exit::NoDaemon, message)
}

/// Whether connecting to this socket could make systemd start a daemon that does not run.
pub(crate) fn may_be_activated(paths: &Paths) -> bool {
    // The daemon's token is gone when the daemon is.
    !paths.socket.with_file_name(places::TOKEN).exists() && systemd_has_it(&environment::systemd_user_dirs())
}

/// Whether the daemon of these paths is systemd's to start.
pub(crate) fn is_left_to_systemd(paths: &Paths) -> bool {
    paths.socket_is_default && systemd_has_it(&environment::systemd_user_dirs())
}

fn systemd_has_it(dirs: &[PathBuf]) -> bool {
    dirs.iter().any(|dir| dir.join(SOCKET_UNIT).exists())
}

/// A program of ours: beside this one, else in the search path.
pub(crate) fn find(name: &str, beside: Option<&Path>, search: &[PathBuf]) -> Option<PathBuf> {
    let places = beside.into_iter().chain(search.iter().map(PathBuf::as_path));
    places.map(|dir| dir.join(name)).find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// A log for the daemon's stderr; if there can be none, it goes without. Another daemon may be writing to it:
/// each holds a shared lock on it, which it inherits with the descriptor and which lasts as long as it does,
/// so that a log that has become long is put aside only when nobody writes to it.
pub(crate) fn open_log(dir: &Path, name: &str) -> Result<(Log, fs::File), files::Error> {
    let path = dir.join(name);
    let at = |error| files::Error::Io(path.clone(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
    let open = || {
        // A FIFO in its place is not waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags)
            .open(&path)
            .map_err(at)?;
        if file.metadata().map_err(at)?.is_file() {
            return Ok(file);
        }
        Err(files::Error::WrongKind(path.clone(), "regular file"))
    };
    let length = |file: &fs::File| file.metadata().map_or(0, |metadata| metadata.len());
    let mut file = open()?;
    if length(&file) > LONG_LOG && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        fs::rename(&path, dir.join(format!("{name}.old"))).map_err(at)?;
        file = open()?;
    }
    // Where there are no locks, a long log may be put aside while somebody writes to it.
    let _ = flock(&file, FlockOperation::NonBlockingLockShared);
    let start = length(&file);
    Ok((Log { path, start }, file))
}

impl Log {
    /// The last message that was written since the start; a failing program writes it under its name.
    pub(crate) fn last_word(&self) -> Option<String> {
        let mut file = fs::File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.start)).ok()?;
        let mut text = Vec::new();
        file.take(LAST_WORDS).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
        let message = |line: &str| {
            let line = line.strip_prefix("secretsd: ").or_else(|| line.strip_prefix("secretctl: "));
            line.map(|line| line.trim().to_owned())
        };
        text.lines().rev().find_map(message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    fn dir_with_program(mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secretsd");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    #[test]
    fn the_program_beside_ours_wins_and_must_be_executable() {
        let (beside, other) = (dir_with_program(0o755), dir_with_program(0o755));
        let search = [other.path().to_owned()];
        assert_eq!(find("secretsd", Some(beside.path()), &search).unwrap(), beside.path().join("secretsd"));
        let unusable = dir_with_program(0o644);
        assert_eq!(find("secretsd", Some(unusable.path()), &search).unwrap(), other.path().join("secretsd"));
        assert_eq!(find("secretsd", None, &[]), None);
    }

    #[test]
    fn a_socket_unit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().to_owned()];
        assert!(!systemd_has_it(&dirs));
        fs::write(dir.path().join(SOCKET_UNIT), "").unwrap();
        assert!(systemd_has_it(&dirs));
    }

    #[test]
    fn the_log_is_private_and_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let (log, mut first) = open_log(&state, DAEMON_LOG).unwrap();
        assert_eq!(fs::metadata(&log.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        first.write_all(b"secretsd: old\n").unwrap();
        let (log, mut second) = open_log(&state, DAEMON_LOG).unwrap();
        assert_eq!(log.last_word(), None);
        first.write_all(b"INFO first\n").unwrap();
        second.write_all(b"secretsd: cannot\nINFO secretsd: x\n").unwrap();
        assert_eq!(log.last_word().unwrap(), "cannot");
        let text = fs::read_to_string(&log.path).unwrap();
        assert_eq!(text, "secretsd: old\nINFO first\nsecretsd: cannot\nINFO secretsd: x\n");
    }

    #[test]
    fn a_long_log_is_put_aside_when_nobody_writes_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut writer) = open_log(dir.path(), DAEMON_LOG).unwrap();
        writer.write_all(&vec![b'x'; 2 << 20]).unwrap();
        // Anyone who has it open, a daemon after its client's end too, keeps it in its place.
        let heir = writer.try_clone().unwrap();
        drop(writer);
        assert_ne!(open_log(dir.path(), DAEMON_LOG).unwrap().0.start, 0);
        drop(heir);
        // A process that another test is just forking has it open for a moment, too.
        let end = Instant::now() + Duration::from_secs(10);
        while open_log(dir.path(), DAEMON_LOG).unwrap().0.start != 0 {
            assert!(Instant::now() < end, "a log that nobody holds is kept");
        }
        assert_eq!(fs::metadata(log.path).unwrap().len(), 0);
        assert_eq!(fs::metadata(dir.path().join("secretsd.log.old")).unwrap().len(), 2 << 20);
    }

    #[test]
    fn a_daemon_that_ends_at_once_is_reported_unless_another_runs() {
        let starting = |code: &str| {
            let nurse = Command::new("/bin/sh").args(["-c", &format!("exit {code}")]).spawn().unwrap();
            let mut starting = Starting {
                nurse,
                log: Err("there is none".to_owned()),
                socket: PathBuf::new(),
                data_dir: None,
            };
            starting.nurse.wait().unwrap();
            starting.check(Duration::ZERO)
        };
        assert!(starting("3").is_ok());
        let failure = starting("1").unwrap_err();
        assert_eq!(failure.exit(), Exit::NoDaemon);
        assert!(failure.message().contains("status 1"));
    }
}
