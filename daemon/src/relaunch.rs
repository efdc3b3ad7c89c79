//! Starting the daemon's own program again in the same process, which is how locking empties memory: wiping what is
//! known to hold secrets leaves the copies that nobody knows of, a new image has none.
//!
//! Kept across it: the process id, the listening sockets with the peers that wait on them, the lock on the vault, denials
//! that the audit log does not have yet, the connections whose answer is to be sent by the new image, each with a pipe
//! that holds the answer's bytes, and those of units that were not refused to the end.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::inherited::{VARIABLE, named};
use crate::process;

/// What passes from one image to the next.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The API's listening socket.
    pub(crate) api: Socket,
    /// The listening socket that units load credentials from, if there is one.
    pub(crate) credentials: Option<Socket>,
    /// The listening socket over which values are taken, if there is one.
    pub(crate) uses: Option<Socket>,
    /// The locked lock file.
    pub(crate) lock: OwnedFd,
    /// Denials that are not in the audit log yet.
    pub(crate) unwritten: Unwritten,
    /// Connections of units that are still to be refused.
    pub(crate) refused: Vec<OwnedFd>,
    /// Replies to be sent once the new image is ready.
    pub(crate) answers: HandoffReplies,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The socket.
    pub(crate) listener: OwnedFd,
    /// Where its file is from.
    pub(crate) origin: Origin,
}

/// Where the file of a listening socket is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// systemd made it.
    Handed,
    /// The daemon made it.
    Made,
    /// The daemon made it, and its name does not lead to the socket any more.
    Gone,
}

impl Origin {
    /// What the name of a descriptor ends with that is such a socket.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Handed => "",
            Self::Made => "-made",
            Self::Gone => "-gone",
        }
    }

    /// A descriptor's name without its end, and what that says.
    fn named(name: &str) -> (&str, Self) {
        let ending = |origin: Self| name.strip_suffix(origin.suffix()).map(|name| (name, origin));
        ending(Self::Made).or_else(|| ending(Self::Gone)).unwrap_or((name, Self::Handed))
    }
}

/// Replies that are still to be sent. Whatever becomes of the image that has them, their callers get them when this is
/// dropped: what they tell has been done.
#[derive(Debug, Default)]
pub(crate) struct HandoffReplies(pub(crate) Vec<HandoffReply>);

impl Drop for HandoffReplies {
    fn drop(&mut self) {
        for answer in self.0.drain(..) {
            if let Err(error) = answer.send() {
                tracing::debug!(%error, "a caller closed its connection before the answer to its lock");
            }
        }
    }
}

/// Denials on their way to the next image: bytes in memory, in a file without a name.
#[derive(Debug)]
pub(crate) struct Unwritten(OwnedFd);

impl Unwritten {
    /// Keeps these bytes.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create("unwritten", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(Self(file.into()))
    }

    /// The bytes that were kept. Nothing keeps the next image from starting: what cannot be read is lost.
    pub(crate) fn read(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = File::from(self.0).read_to_end(&mut bytes) {
            tracing::warn!(%error, "denials are lost for the audit log");
        }
        bytes
    }
}

/// A connection whose last answer is sent by the next image.
#[derive(Debug)]
pub(crate) struct HandoffReply {
    pipe: OwnedFd,
    stream: OwnedFd,
}

/// An answer's bytes, kept where the next image finds them.
#[derive(Debug)]
pub(crate) struct KeptReply(OwnedFd);

impl KeptReply {
    /// Keeps these bytes; they must fit into a pipe, 64 KiB.
    pub(crate) fn new(answer: &[u8]) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        File::from(write).write_all(answer)?;
        Ok(Self(read))
    }
}

impl HandoffReply {
    /// The answer that this connection is still to get.
    pub(crate) fn new(stream: impl Into<OwnedFd>, KeptReply(pipe): KeptReply) -> Self {
        Self { pipe, stream: stream.into() }
    }

    /// Sends the answer and ends the connection.
    fn send(self) -> io::Result<()> {
        let mut answer = Vec::new();
        File::from(self.pipe).read_to_end(&mut answer)?;
        let mut stream = UnixStream::from(self.stream);
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(&answer)
    }
}

impl Handover {
    /// Replaces this process's image by a fresh one of the same program, with the same arguments. Returns only if the system
    /// refuses.
    pub(crate) fn exec(&self) -> io::Error {
        // A signal to lock would end the new image before it can handle it; what it asks for is being done.
        process::ignore_lock_signal();
        for (_, fd) in self.named() {
            if let Err(error) = rustix::io::fcntl_setfd(fd, FdFlags::empty()) {
                return error.into();
            }
        }
        let mut arguments = std::env::args_os();
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env(VARIABLE, self.describe());
        // They speak of what systemd handed to the first image, and would contradict what this one hands over.
        for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(variable);
        }
        command.exec()
    }

    /// What the image before handed over, if it did. Must be called before there are threads, once.
    pub(crate) fn take() -> Option<Self> {
        let named = named(std::env::var(VARIABLE).ok()?.as_str(), std::process::id())?;
        let (mut api, mut credentials, mut uses) = (None, None, None);
        let (mut lock, mut unwritten, mut pipe) = (None, None, None);
        let (mut refused, mut answers) = (Vec::new(), HandoffReplies::default());
        for (name, number) in named {
            let fd = process::adopt(number)?;
            match name.as_str() {
                "lock" => lock = Some(fd),
                "unwritten" => unwritten = Some(Unwritten(fd)),
                "refused" => refused.push(fd),
                "pipe" => pipe = Some(fd),
                "stream" => answers.0.push(HandoffReply { pipe: pipe.take()?, stream: fd }),
                name => {
                    let (name, origin) = Origin::named(name);
                    let socket = Some(Socket { listener: fd, origin });
                    match name {
                        "api" => api = socket,
                        "credentials" => credentials = socket,
                        "use" => uses = socket,
                        _ => return None,
                    }
                }
            }
        }
        let (api, lock, unwritten) = (api?, lock?, unwritten?);
        Some(Self { api, credentials, uses, lock, unwritten, refused, answers })
    }

    fn named(&self) -> impl Iterator<Item = (String, &OwnedFd)> {
        let sockets = [("api", Some(&self.api)), ("credentials", self.credentials.as_ref())];
        let sockets =
            sockets.into_iter().chain([("use", self.uses.as_ref())]).filter_map(|(name, socket)| {
                socket.map(|socket| (format!("{name}{}", socket.origin.suffix()), &socket.listener))
            });
        let refused = self.refused.iter().map(|stream| ("refused", stream));
        let answers = &self.answers.0;
        let answers = answers.iter().flat_map(|answer| [("pipe", &answer.pipe), ("stream", &answer.stream)]);
        let own = [("lock", &self.lock), ("unwritten", &self.unwritten.0)];
        let others = own.into_iter().chain(refused).chain(answers);
        sockets.chain(others.map(|(name, fd)| (name.to_owned(), fd)))
    }

    fn describe(&self) -> String {
        let mut text = std::process::id().to_string();
        for (name, fd) in self.named() {
            text.push_str(&format!(" {name}={}", fd.as_raw_fd()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_peer_by_way_of_a_pipe() {
        let (mut peer, stream) = UnixStream::pair().unwrap();
        let kept = KeptReply::new(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        HandoffReply::new(stream, kept).send().unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n");
    }
}
