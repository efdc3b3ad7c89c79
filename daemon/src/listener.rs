//! The socket: ours, bound so that nobody can connect before it is closed to others, or systemd's, checked to be so.
//! It knows nothing of what is spoken over it.

mod standing;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use secrets_local::files;
use secrets_local::places::{CREDENTIALS, USE};

use self::standing::{Identity, identity};
use crate::relaunch::{Origin, Socket};

pub(crate) use self::standing::Standing;

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel has room for 107 bytes.
    #[error("{0} is too long for a socket: at most 107 bytes; choose a shorter one with --socket")]
    TooLong(PathBuf),
    /// The path has no directory or no name.
    #[error("{0} does not name a socket")]
    Nameless(PathBuf),
    /// Somebody answers there already.
    #[error("another program listens on {0}; stop it, or choose another path with --socket")]
    Busy(PathBuf),
    /// Another daemon serves from the same directory, where its token lies.
    #[error(
        "another daemon answers on {0}, and both would use the same token file; choose a socket in a directory of its own"
    )]
    Shared(PathBuf),
    /// Something that is not a socket has the name.
    #[error("{0} exists and is not a socket; move it away or choose another path")]
    NotASocket(PathBuf),
    /// What systemd hands over is not what the socket unit should give.
    #[error("the socket from systemd {0}")]
    Handed(&'static str),
    /// The name no longer leads to the socket, which systemd bound.
    #[error(
        "systemd bound it; run: systemctl --user stop secretsd.service && systemctl --user restart secretsd.socket secretsd-credentials.socket"
    )]
    NotOurs,
    /// A path is not private.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// What systemd handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The API's socket.
    pub(crate) api: Option<Bound>,
    /// The socket that units load credentials from.
    pub(crate) credentials: Option<Bound>,
    /// The socket over which values are taken.
    pub(crate) uses: Option<Bound>,
}

/// A socket that has its name and mode, but that nobody can connect to yet.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: OwnedFd,
    path: PathBuf,
    /// Whether we made its file, and not systemd.
    ours: bool,
    file: Option<Identity>,
}

impl Bound {
    /// Binds a socket of our own. The vault's lock must be held: it says that a socket which nobody answers on was
    /// left by a daemon that is gone.
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::Nameless(path.to_owned()));
        };
        let parent = files::private_dir(parent)?;
        let path = parent.join(name);
        check_alone(&parent, &path)?;
        Self::bind(path)
    }

    /// Binds the socket that units load credentials from, in the directory of this one: who may use it has been
    /// found out for that.
    pub(crate) fn credentials_beside(&self) -> Result<Self, Error> {
        Self::bind(self.path.with_file_name(CREDENTIALS))
    }

    /// Binds the socket over which values are taken, in the directory of this one, where the owner's token lies too.
    pub(crate) fn use_beside(&self) -> Result<Self, Error> {
        Self::bind(self.path.with_file_name(USE))
    }

    /// Binds one of these sockets once more, after its name was lost.
    fn again(path: &Path) -> Result<Self, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::Nameless(path.to_owned()));
        };
        if name != CREDENTIALS && name != USE {
            return Self::new(path);
        }
        Self::bind(files::private_dir(parent)?.join(name))
    }

    fn bind(path: PathBuf) -> Result<Self, Error> {
        let address = SocketAddrUnix::new(&path).map_err(|_| Error::TooLong(path.clone()))?;
        let at = |errno: Errno| Error::Io(path.clone(), errno.into());
        let socket = stream_socket().map_err(at)?;
        match rustix::net::bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(&path, &address)?;
                rustix::net::bind(&socket, &address).map_err(at)?;
            }
            result => result.map_err(at)?,
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|error| Error::Io(path.clone(), error))?;
        Ok(Self { socket, ours: true, file: identity(&path), path })
    }

    /// The sockets that systemd handed over, if it did. Reads variables that must be read before there are threads.
    pub(crate) fn from_systemd() -> Result<Handed, Error> {
        let Ok(named) = sd_notify::listen_fds_with_names() else {
            return Err(Error::Handed("has an unknown name; check FileDescriptorName="));
        };
        let names: Vec<String> = named.map(|(_, name)| name).collect();
        let mut found = Handed::default();
        if names.is_empty() {
            return Ok(found);
        }
        let mut handed = listenfd::ListenFd::from_env();
        for (index, name) in names.iter().enumerate() {
            let socket = handed
                .take_unix_listener(index)
                .ok()
                .flatten()
                .ok_or(Error::Handed("is not a Unix stream socket; check ListenStream="))?;
            if name == "credentials" {
                found.credentials = Some(Self::adopt(socket)?);
            } else if name == "use" {
                found.uses = Some(Self::adopt(socket)?);
            } else if name == "api" || names.len() == 1 {
                found.api = Some(Self::adopt(socket)?);
            } else {
                tracing::warn!("systemd passed a socket that this version does not know");
            }
        }
        Ok(found)
    }

    /// The socket that the image before this one listened on.
    pub(crate) fn from_relaunch(Socket { listener, origin }: Socket) -> Result<Self, Error> {
        let socket = UnixListener::from(listener);
        let address = socket.local_addr().map_err(|_| Error::Handed("has no address"))?;
        let path = address.as_pathname().ok_or(Error::Handed("has no path"))?.to_owned();
        // Checked when it was bound. What became of its file since must not end the daemon while it locks.
        let file = if origin == Origin::Gone { None } else { identity(&path) };
        Ok(Self { socket: socket.into(), path, ours: origin != Origin::Handed, file })
    }

    /// Takes a listening socket over after checking that others cannot reach it.
    fn adopt(socket: UnixListener) -> Result<Self, Error> {
        if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            return Err(Error::Handed("does not listen; check Accept=no"));
        }
        let address = socket.local_addr().map_err(|_| Error::Handed("has no address"))?;
        let path =
            address.as_pathname().ok_or(Error::Handed("has no path; abstract sockets have no mode"))?;
        let parent = path.parent().ok_or_else(|| Error::Nameless(path.to_owned()))?;
        files::private_dir(parent)?;
        // By path: fstat on a socket says 0777 whatever its file's mode.
        files::check_private_socket(path)?;
        let path = path.to_owned();
        Ok(Self { socket: socket.into(), file: identity(&path), path, ours: false })
    }

    /// Where it is bound.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets peers connect. Needs a runtime.
    pub(crate) fn listen(self) -> Result<Standing, Error> {
        let (path, ours) = (self.path.clone(), self.ours);
        let (socket, file) = self.into_listener()?;
        Standing::new(socket, path.clone(), ours, file).map_err(|error| Error::Io(path, error))
    }

    /// The socket, non-blocking and listening, and its file.
    fn into_listener(self) -> Result<(UnixListener, Option<Identity>), Error> {
        let at = |error: io::Error| Error::Io(self.path.clone(), error);
        if self.ours {
            rustix::net::listen(&self.socket, BACKLOG).map_err(|errno| at(errno.into()))?;
        }
        let socket = UnixListener::from(self.socket.try_clone().map_err(at)?);
        socket.set_nonblocking(true).map_err(at)?;
        Ok((socket, self.file))
    }
}

/// How many peers may wait to be accepted.
const BACKLOG: i32 = 512;

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Makes sure that nobody answers on another socket in the directory; the credentials socket and the one for
/// uses are ours.
fn check_alone(directory: &Path, own: &Path) -> Result<(), Error> {
    let at = |error| Error::Io(directory.to_owned(), error);
    for entry in fs::read_dir(directory).map_err(at)? {
        let entry = entry.map_err(at)?;
        let path = entry.path();
        let other = entry.file_type().is_ok_and(|kind| kind.is_socket())
            && path != own
            && entry.file_name() != CREDENTIALS
            && entry.file_name() != USE;
        if other && std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(Error::Shared(path));
        }
    }
    Ok(())
}

/// Removes the socket file of a daemon that is gone; anything else that has the name is left alone.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), Error> {
    let at = |error| Error::Io(path.to_owned(), error);
    let metadata = fs::symlink_metadata(path).map_err(at)?;
    if !metadata.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    let probe = stream_socket().map_err(|errno| at(errno.into()))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(at),
        // Would block: it has more peers waiting than it takes.
        Ok(()) | Err(Errno::AGAIN) => Err(Error::Busy(path.to_owned())),
        Err(errno) => Err(at(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    fn private() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[tokio::test]
    async fn nobody_connects_before_listen_and_the_mode_is_set_by_then() {
        let dir = private();
        let path = dir.path().join("run/s.sock");
        let bound = Bound::new(&path).unwrap();
        let refused = UnixStream::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        let listener = bound.listen().unwrap();
        UnixStream::connect(&path).unwrap();
        listener.remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = private();
        let path = dir.path().join("s.sock");
        drop(UnixListener::bind(&path).unwrap());
        // A program that another test starts has the socket for a moment, between fork and exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        let bound = loop {
            match Bound::new(&path) {
                Err(Error::Busy(_)) if Instant::now() < deadline => std::thread::yield_now(),
                bound => break bound.unwrap(),
            }
        };
        let listener = bound.listen().unwrap();
        assert!(matches!(Bound::new(&path), Err(Error::Busy(_))));
        UnixStream::connect(&path).unwrap();
        drop(listener);
    }

    #[tokio::test]
    async fn two_daemons_do_not_share_a_directory() {
        let dir = private();
        let first = Bound::new(&dir.path().join("a.sock")).unwrap().listen().unwrap();
        assert!(matches!(Bound::new(&dir.path().join("b.sock")), Err(Error::Shared(_))));
        drop(first);
        Bound::new(&dir.path().join("b.sock")).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let dir = private();
        let path = dir.path().join("s.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Bound::new(&path), Err(Error::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(Bound::new(&path), Err(Error::NotASocket(_))));
    }

    #[test]
    fn a_directory_that_others_enter_and_a_path_that_is_too_long_are_refused() {
        let dir = private();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Bound::new(&open.join("s")), Err(Error::Files(files::Error::TooOpen { .. }))));
        assert!(matches!(Bound::new(&dir.path().join("x".repeat(108))), Err(Error::TooLong(_))));
    }

    #[tokio::test]
    async fn the_file_of_somebody_else_is_not_removed_at_the_end() {
        let dir = private();
        let path = dir.path().join("s.sock");
        let listener = Bound::new(&path).unwrap().listen().unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        listener.remove();
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_handed_socket_must_listen_and_be_closed_to_others() {
        let dir = private();
        let path = dir.path().join("s.sock");
        let socket = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = Bound::adopt(socket.try_clone().unwrap());
        assert!(matches!(refused, Err(Error::Files(files::Error::TooOpen { mode: 0o666, .. }))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let listener = Bound::adopt(socket).unwrap().listen().unwrap();
        listener.remove();
        assert!(path.exists(), "systemd's file is systemd's");
        let quiet = stream_socket().unwrap();
        rustix::net::bind(&quiet, &SocketAddrUnix::new(dir.path().join("q.sock")).unwrap()).unwrap();
        assert!(matches!(Bound::adopt(UnixListener::from(quiet)), Err(Error::Handed(_))));
    }
}
