//! One stream of a command's output on its way to ours, through the masker. It has the clock: nothing waits longer
//! than [`PATIENCE`] for what could make a value of it, unless more keeps coming.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use secrets_scrub::{Forms, Masker};
use zeroize::Zeroizing;

use crate::supervise::Event;

/// How long a possible beginning of a value is held back: 50 ms are promised, and waking up takes some.
const PATIENCE: Duration = Duration::from_millis(40);

/// What a terminal still has to say when its command has ended comes without a longer pause than this.
const LAST_WORDS: Duration = Duration::from_millis(100);

const CHUNK: usize = 16 << 10;

/// A stream, and where it goes.
pub(super) struct Pump {
    pub(super) from: File,
    pub(super) to: OwnedFd,
    /// Hangs up when the command has ended: what others write after that is theirs to lose.
    pub(super) ended: OwnedFd,
    /// Whether it is a terminal, which passes things on with a delay.
    pub(super) is_terminal: bool,
    /// Why output was lost, if it was.
    pub(super) failure: Arc<OnceLock<io::Error>>,
}

impl Pump {
    /// Runs until the stream ends, or nobody reads it, and says so.
    pub(super) fn start(self, forms: &Arc<Forms>, reporter: Sender<Event>) -> io::Result<()> {
        let forms = Arc::clone(forms);
        thread::Builder::new().spawn(move || {
            // Also if it panics: somebody waits for it.
            let _ended = Report(reporter);
            let failure = Arc::clone(&self.failure);
            if let Err(error) = self.run(&forms) {
                let _ = failure.set(error);
            }
        })?;
        Ok(())
    }

    /// Ends with an error when the output goes nowhere any more; the command will notice, as it would without us.
    fn run(mut self, forms: &Forms) -> io::Result<()> {
        let to = File::from(self.to.try_clone()?);
        let mut masker = Masker::new(forms);
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        let mut out = Vec::new();
        let mut since = Instant::now();
        let mut is_ending = false;
        let mut has_written = false;
        loop {
            let wait = if masker.holds() > 0 {
                Some(PATIENCE.saturating_sub(since.elapsed()))
            } else if is_ending {
                Some(if self.is_terminal { LAST_WORDS } else { Duration::ZERO })
            } else {
                None
            };
            match self.wait(wait, is_ending)? {
                Ready::Output => {
                    let count = match self.from.read(&mut chunk) {
                        Ok(0) => break,
                        Ok(count) => count,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        // A terminal whose other side is closed says EIO instead of ending.
                        Err(_) => break,
                    };
                    let arrived = Instant::now();
                    masker.push(chunk.get(..count).unwrap_or_default(), &mut out);
                    if masker.holds() <= count {
                        since = arrived;
                    }
                    let is_part = !out.is_empty();
                    write(&to, &mut out)?;
                    has_written = is_part;
                }
                Ready::End => is_ending = true,
                Ready::Nothing if masker.holds() > 0 => {
                    masker.release(&mut out);
                    write_rest(&to, &mut out, has_written)?;
                }
                Ready::Nothing => break,
            }
        }
        masker.finish(&mut out);
        write_rest(&to, &mut out, has_written)
    }

    fn wait(&self, wait: Option<Duration>, is_ending: bool) -> io::Result<Ready> {
        let timeout = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.from, PollFlags::IN), PollFd::new(&self.ended, PollFlags::empty())];
        let watched = if is_ending { fds.get_mut(..1) } else { fds.get_mut(..) }.unwrap_or_default();
        match poll(watched, timeout.as_ref()) {
            Ok(0) => return Ok(Ready::Nothing),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Output first: it is older than the end.
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        if fds.first().is_some_and(is_ready) {
            return Ok(Ready::Output);
        }
        Ok(if fds.last().is_some_and(is_ready) { Ready::End } else { Ready::Output })
    }
}

enum Ready {
    Output,
    End,
    Nothing,
}

struct Report(Sender<Event>);

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.0.send(Event::StreamEnded);
    }
}

/// Writes what was held back. Without us it would have been written together with what came before: a reader that took
/// that and went away is none that is missing.
fn write_rest(to: &File, out: &mut Vec<u8>, has_written: bool) -> io::Result<()> {
    match write(to, out) {
        Err(error) if has_written && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn write(mut to: &File, out: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = out.as_slice();
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody who shares our output has made it so; it stays as they need it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(&to.as_fd(), PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    out.clear();
    Ok(())
}
