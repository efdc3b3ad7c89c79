//! Starting the daemon's own program again in the same process, which is how locking empties memory: wiping what is
//! known to hold secrets leaves the copies that nobody knows of, a new image has none.
//!
//! Kept across it: the process id, the listening socket with the peers that wait on it, the lock on the vault, denials
//! that the audit log does not have yet, and the connections whose answer is to be sent by the new image, each with a pipe that holds the answer's bytes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::process;

/// Tells the new image what it was handed: `pid listener made lock unwritten [pipe stream]…`, numbers apart by spaces.
pub(crate) const VARIABLE: &str = "SECRETSD_RELAUNCH";

/// What passes from one image to the next.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The listening socket.
    pub(crate) listener: OwnedFd,
    /// Whether the daemon made the socket's file, and not systemd.
    pub(crate) made: bool,
    /// The locked lock file.
    pub(crate) lock: OwnedFd,
    /// Denials that are not in the audit log yet.
    pub(crate) unwritten: Unwritten,
    /// Answers to be sent once the new image is ready.
    pub(crate) answers: Answers,
}

/// Answers that are still to be sent. Whatever becomes of the image that has them, their callers get them when this is
/// dropped: what they tell has been done.
#[derive(Debug, Default)]
pub(crate) struct Answers(pub(crate) Vec<Parting>);

impl Drop for Answers {
    fn drop(&mut self) {
        for answer in self.0.drain(..) {
            if let Err(error) = answer.send() {
                tracing::debug!(%error, "a caller did not wait to hear that the vault is locked");
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
pub(crate) struct Parting {
    pipe: OwnedFd,
    stream: OwnedFd,
}

/// An answer's bytes, kept where the next image finds them.
#[derive(Debug)]
pub(crate) struct Kept(OwnedFd);

impl Kept {
    /// Keeps these bytes; they must fit into a pipe, 64 KiB.
    pub(crate) fn new(answer: &[u8]) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        File::from(write).write_all(answer)?;
        Ok(Self(read))
    }
}

impl Parting {
    /// The answer that this connection is still to get.
    pub(crate) fn new(stream: impl Into<OwnedFd>, Kept(pipe): Kept) -> Self {
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
        for fd in self.descriptors() {
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
        let numbers = numbers(std::env::var(VARIABLE).ok()?.as_str(), std::process::id())?;
        let [listener, made, lock, unwritten, answers @ ..] = numbers.as_slice() else { return None };
        let answers = answers.chunks_exact(2).map(|pair| {
            let [pipe, stream] = pair else { return None };
            Some(Parting { pipe: process::adopt(*pipe)?, stream: process::adopt(*stream)? })
        });
        Some(Self {
            listener: process::adopt(*listener)?,
            made: *made == 1,
            lock: process::adopt(*lock)?,
            unwritten: Unwritten(process::adopt(*unwritten)?),
            answers: Answers(answers.collect::<Option<_>>()?),
        })
    }

    fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let answers = self.answers.0.iter().flat_map(|answer| [&answer.pipe, &answer.stream]);
        [&self.listener, &self.lock, &self.unwritten.0].into_iter().chain(answers)
    }

    fn describe(&self) -> String {
        let (listener, made, lock) = (self.listener.as_raw_fd(), i32::from(self.made), self.lock.as_raw_fd());
        let unwritten = self.unwritten.0.as_raw_fd();
        let mut text = format!("{} {listener} {made} {lock} {unwritten}", std::process::id());
        for answer in &self.answers.0 {
            text.push_str(&format!(" {} {}", answer.pipe.as_raw_fd(), answer.stream.as_raw_fd()));
        }
        text
    }
}

/// The descriptors that `VARIABLE`'s text names for the process `own`, in ascending order: those that must stay open.
pub(crate) fn kept(text: Option<&str>, own: u32) -> Vec<RawFd> {
    let Some(numbers) = text.and_then(|text| numbers(text, own)) else { return Vec::new() };
    // The second number says who made the socket.
    let mut kept: Vec<RawFd> =
        numbers.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, number)| *number).collect();
    kept.sort_unstable();
    kept
}

/// The numbers after the process id, if it is this process that is meant.
fn numbers(text: &str, own: u32) -> Option<Vec<RawFd>> {
    let (pid, rest) = text.split_once(' ')?;
    if pid.parse::<u32>().ok()? != own {
        return None;
    }
    let numbers: Vec<RawFd> = rest.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let descriptors: HashSet<RawFd> =
        numbers.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, number)| *number).collect();
    // Each at most once, and none of the three that every process has: two owners of one would close it twice.
    let sound = descriptors.len() + 1 == numbers.len() && descriptors.iter().all(|number| *number > 2);
    (numbers.len() >= 4 && numbers.len().is_multiple_of(2) && sound).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_for_the_process_that_is_meant() {
        assert_eq!(kept(Some("7 9 1 4 5 12 11"), 7), [4, 5, 9, 11, 12]);
        for foreign in [
            None,
            Some("8 9 1 4 5"),
            Some("7 9 1 4"),
            Some("7 9 1 4 5 6"),
            Some("7 9 1 -4 5"),
            Some("7 x 1 4 5"),
            Some("7 9 1 9 5"),
            Some("7 2 1 4 5"),
            Some("7 9 1 4 5 12 9"),
            Some(""),
        ] {
            assert!(kept(foreign, 7).is_empty(), "{foreign:?}");
        }
    }

    #[test]
    fn an_answer_reaches_its_peer_by_way_of_a_pipe() {
        let (mut peer, stream) = UnixStream::pair().unwrap();
        let kept = Kept::new(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        Parting::new(stream, kept).send().unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n");
    }
}
