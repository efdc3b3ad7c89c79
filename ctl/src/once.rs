//! Answers that are shown once: a recovery key, an access token. Before they are asked for, stdout is looked at, and
//! while they are on their way a signal does not end us, since what was asked for is done all the same.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_getfl, major, minor};
use rustix::io::Errno;
use secrets_client::Answer;
use secrets_proto::{ErrorType, SensitiveString};

use crate::ending;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};

/// What is done, and what helps if its answer is not seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Once {
    /// What was asked for, like "the rotation".
    pub(crate) what: &'static str,
    /// What the answer holds, like "recovery key".
    pub(crate) holds: &'static str,
    /// What to do instead, as a command or a sentence.
    pub(crate) cure: &'static str,
}

/// More than such an answer has.
const ROOM: u64 = 4 << 10;

/// The device that is always full, of Linux's list of devices: 1, 7.
const FULL: (u32, u32) = (1, 7);

/// Fails if it is known that stdout cannot take an answer: for use before anything is asked.
pub(crate) fn check_stdout() -> Result<(), Failure> {
    output::check_stdout()?;
    match obstacle() {
        Some(what) => Err(Failure::new(
            Exit::Other,
            format!("cannot write to stdout: {what}; nothing was done, and the answer is shown only once"),
        )),
        None => Ok(()),
    }
}

fn obstacle() -> Option<String> {
    let stdout = io::stdout();
    let flags = fcntl_getfl(&stdout).ok()?;
    if flags & OFlags::ACCMODE == OFlags::RDONLY {
        return Some("it is open for reading alone".to_owned());
    }
    let metadata = File::from(stdout.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    if metadata.file_type().is_char_device() && (major(metadata.rdev()), minor(metadata.rdev())) == FULL {
        return Some(io::Error::from(Errno::NOSPC).to_string());
    }
    if metadata.is_file() {
        // Room beyond its end, which the answer then takes.
        let refused = fallocate(&stdout, FallocateFlags::KEEP_SIZE, metadata.len(), ROOM).err();
        let is_full = |errno: &Errno| [Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::IO].contains(errno);
        return refused.filter(is_full).map(|errno| io::Error::from(errno).to_string());
    }
    let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec::default())).ok()?;
    let gone = polled.iter().any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP));
    gone.then(|| "nobody reads it any more".to_owned())
}

impl Once {
    /// Asks for the answer. From here to the end a first signal is only noted.
    pub(crate) fn ask(self, ask: impl FnOnce() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
        let Self { what, holds, cure } = self;
        ending::hold(format!(
            "{what} goes on, and its {holds} is still to be printed; a second signal ends secretctl, then {cure}"
        ));
        ask().map_err(|failure| {
            // Without an answer it may have been done.
            if !matches!(failure.kind(), None | Some(ErrorType::GatewayTimeoutError)) {
                return failure;
            }
            Failure::new(failure.exit(), format!("{failure}; if {what} was done all the same, {cure}"))
        })
    }

    /// Prints the answer: all of it for programs, this part of it for people.
    pub(crate) fn show(self, output: Output, answer: &Answer, part: &SensitiveString) -> Result<(), Failure> {
        let shown = if output.json {
            output::answer_json_line(answer.bytes())
        } else {
            output::answer_line(part.expose().as_bytes())
        };
        let Self { what, holds, cure } = self;
        shown.map_err(|_| {
            Failure::new(Exit::Other, format!("{what} is done, but its {holds} could not be printed; {cure}"))
        })
    }
}
