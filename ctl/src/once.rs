//! Answers that are shown once: a recovery key, an access token. Before they are asked for, stdout is looked at, and
//! while they are on their way a signal does not end us, since what was asked for is done all the same.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FallocateFlags, FileType, OFlags, fallocate, fcntl_getfl, fstat, major, minor};
use rustix::io::{Errno, ioctl_fionread};
use secrets_client::{Answer, Call, Method};
use secrets_proto::{ErrorType, SensitiveString, Uuid};

use crate::ending;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;

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

/// How long a reader may take. One that has not read by then and is still there will, it is believed.
const READING: Duration = Duration::from_secs(1);

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

/// Whether stdout is a file that another user may read.
pub(crate) fn others_can_read_stdout() -> bool {
    fstat(io::stdout())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o077 != 0)
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
    is_abandoned().then(|| "nobody reads it any more".to_owned())
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

    /// Asks for a recovery key, which [`confirm`](Self::confirm) is for. A daemon that does not know of that yet is asked as
    /// before.
    pub(crate) fn ask_to_confirm(
        self,
        ask: impl Fn(bool) -> Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        self.ask(|| match ask(true) {
            Err(failure) if failure.is_about("confirm") => ask(false),
            outcome => outcome,
        })
    }

    /// Tells the daemon that the recovery key of this slot was shown: until then it is told as one that perhaps nobody has.
    pub(crate) fn confirm(self, session: &Session, slot: Option<Uuid>) -> Result<(), Failure> {
        // A daemon that does not name the slot wants to hear of nothing.
        let Some(slot) = slot else { return Ok(()) };
        match session.call_as_is(&Call::new(Method::POST, &format!("/vault/keys/{slot}/confirm"))) {
            Ok(_) => Ok(()),
            Err(failure) if failure.kind() == Some(ErrorType::NotFoundError) => Err(Failure::new(
                Exit::Conflict,
                format!("another command has removed this {} meanwhile; {}", self.holds, self.cure),
            )),
            Err(failure) => {
                output::say(&format!(
                    "the {} works, but will be called not confirmed: {failure}",
                    self.holds
                ));
                Ok(())
            }
        }
    }

    /// Prints the answer: all of it for programs, this part of it for people.
    pub(crate) fn show(self, output: Output, answer: &Answer, part: &SensitiveString) -> Result<(), Failure> {
        let shown = if output.json {
            output::answer_json_line(answer.bytes())
        } else {
            output::answer_line(part.expose().as_bytes())
        };
        let Self { what, holds, cure } = self;
        shown.and_then(|()| if was_taken() { Ok(()) } else { Err(Failure::new(Exit::Other, "")) }).map_err(
            |_| {
                let told = format!("{what} is done, but its {holds} could not be printed; {cure}");
                Failure::new(Exit::Other, told)
            },
        )
    }
}

/// Whether what was printed has arrived, as far as that can be known: of a pipe, that its reader has not gone without
/// reading it.
fn was_taken() -> bool {
    let stdout = io::stdout();
    let end = Instant::now() + READING;
    while Instant::now() < end && is_pipe() && ioctl_fionread(&stdout).is_ok_and(|unread| unread > 0) {
        if is_abandoned() {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

fn is_pipe() -> bool {
    fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether nobody reads stdout any more.
fn is_abandoned() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
    let asked = poll(&mut polled, Some(&Timespec::default()));
    asked.is_ok() && polled.iter().any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}
