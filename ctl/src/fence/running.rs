//! Building a fence, and watching over the command in it from outside: we stay the process that was started, so that signals,
//! stops and the end are those of a command without a fence.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, kill_current_process_group, pidfd_open, pidfd_send_signal};
use secrets_local::{descriptors, mounts, passing};

use super::messages::{self, Report};
use super::reserve::Reserved;
use super::terminal::{Foreground, is_whole};
use super::{APART, FENCE, Fence, failed, syscalls, variables};
use crate::failure::Failure;
use crate::supervise::{End, Event, Supervisor, Terminal, Watched};
use crate::{ending, output};

/// How long the fence may take until our helper is in it, and how long until the command runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// As much as is read of what bubblewrap says.
const LAST_WORDS: u64 = 1 << 10;

/// A fence that is being built.
#[derive(Debug)]
pub(crate) struct Started {
    fence: Fence,
    bubblewrap: Bubblewrap,
    control: UnixStream,
    supervisor: Supervisor,
    helper: Option<OwnedFd>,
    /// Removed when the fence is gone.
    reserved: Vec<Reserved>,
    /// What was a repository itself before.
    bare: Vec<PathBuf>,
}

/// The process that the fence ends with.
#[derive(Debug)]
struct Bubblewrap {
    child: Child,
    /// What it says, if it cannot build the fence.
    words: File,
    /// What it tells of the fence: a JSON object with `child-pid`, the process with which all others in it end.
    info: File,
    /// That process, once it is known.
    first: Option<OwnedFd>,
}

impl Bubblewrap {
    fn find_first(&self) -> Option<OwnedFd> {
        let mut text = vec![0; 256];
        let length = self.info.read_at(&mut text, 0).ok()?;
        let told: serde_json::Value = serde_json::from_slice(text.get(..length)?).ok()?;
        let id = i32::try_from(told.get("child-pid")?.as_i64()?).ok()?;
        pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
    }
}

impl Bubblewrap {
    /// Whether what is mounted outside from now on appears in the fence.
    fn sees_later_mounts(&self) -> bool {
        let number = self.first.as_ref().and_then(number_of);
        let mounts =
            number.map(|number| fs::read_to_string(format!("/proc/{}/mountinfo", number.as_raw_nonzero())));
        // What cannot be looked at is not known to be closed.
        !mounts.is_some_and(|mounts| mounts.is_ok_and(|mounts| !mounts::follow_others(&mounts)))
    }
}

impl Drop for Bubblewrap {
    /// Returns when nothing of the fence runs any more: bubblewrap itself ends sooner than what was started in it, and that
    /// could still write to the working directory.
    fn drop(&mut self) {
        let first = self.first.take().or_else(|| self.find_first());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(first) = first {
            let _ = pidfd_send_signal(&first, Signal::KILL);
            let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            // The first process of a namespace has ended when all others in it have.
            while poll(&mut [PollFd::new(&first, PollFlags::IN)], Some(&patience)) == Err(Errno::INTR) {}
        }
    }
}

impl Fence {
    /// Begins to build it. From here on signals are for the command.
    ///
    /// # Errors
    /// Where the system does not give what is needed for that.
    pub(crate) fn start(self, inherited_umask: Mode) -> Result<Started, Failure> {
        let reserved = self.mounts.reserve()?;
        let system = |error: io::Error| failed(&error.to_string());
        let (control, theirs) = UnixStream::pair().map_err(system)?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&control, Some(PATIENCE)).map_err(system)?;
        }
        ending::leave_signals();
        let supervisor = Supervisor::new().map_err(system)?;
        rustix::process::umask(inherited_umask);
        let bubblewrap = self.build(theirs).map_err(system)?;
        let bare = self.mounts.bare().into_iter().map(Path::to_owned).collect();
        Ok(Started { fence: self, bubblewrap, control, supervisor, helper: None, reserved, bare })
    }

    fn build(&self, theirs: UnixStream) -> io::Result<Bubblewrap> {
        let own = std::env::current_exe()?;
        let mut passed = Vec::new();
        let mut pass = |content: &[u8]| -> io::Result<OsString> {
            let file = in_memory(content)?;
            let number = file.as_raw_fd().to_string().into();
            passed.push(file);
            Ok(number)
        };
        let filter = pass(&syscalls::filter()?)?;
        let info = in_memory(b"")?;
        let told = info.try_clone()?;
        let mut all = Vec::new();
        let spaces =
            ["--unshare-user", "--disable-userns", "--unshare-net", "--unshare-pid", "--unshare-ipc"];
        let rest =
            ["--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL", "--seccomp"];
        all.extend(spaces.into_iter().chain(rest).map(OsString::from));
        all.push(filter);
        all.extend(["--info-fd".into(), told.as_raw_fd().to_string().into()]);
        all.extend(self.mounts.arguments(&own, || pass(b""))?);
        let mut text = Vec::new();
        for word in all {
            text.extend_from_slice(word.as_bytes());
            text.push(0);
        }
        let arguments = pass(&text)?;
        let words = in_memory(b"")?;
        let mut command = Command::new(&own);
        command
            .args([APART, "--"])
            .arg(&self.program)
            .arg("--args")
            .arg(arguments)
            .arg("--")
            .arg(self.mounts.program())
            .args([FENCE]);
        command.env_clear().current_dir("/").process_group(0);
        command.stdin(OwnedFd::from(theirs)).stderr(words.try_clone()?);
        descriptors::pass_none_on()?;
        for file in passed.iter().chain([&told]) {
            fcntl_setfd(file, FdFlags::empty())?;
        }
        Ok(Bubblewrap { child: command.spawn()?, words, info, first: None })
    }
}

impl Started {
    /// The listener on the loopback of the fence.
    ///
    /// # Errors
    /// If the fence cannot be built, with what bubblewrap says.
    pub(crate) fn listener(&mut self) -> Result<TcpListener, Failure> {
        let received = passing::receive(&self.control);
        let mut with = received.map_err(|error| self.bubblewrap.reason(&error))?.1.into_iter();
        let (Some(listener), Some(helper)) = (with.next(), with.next()) else {
            return Err(failed("our helper in it is of another version"));
        };
        self.helper = Some(helper);
        self.bubblewrap.first = self.bubblewrap.find_first();
        if self.bubblewrap.sees_later_mounts() {
            output::say(
                "this system keeps secretctl from closing the fence to what is mounted later: the command sees it, and can write to it where you can",
            );
        }
        Ok(listener.into())
    }

    /// Runs the command to its end, with these variables, and with copies of these files at their places.
    ///
    /// # Errors
    /// If it cannot be started for a reason that is not its own.
    pub(crate) fn run(
        mut self,
        command: &[OsString],
        environment: Vec<(OsString, OsString)>,
        files: &[PathBuf],
    ) -> Result<End, Failure> {
        let helper = self.helper.take().ok_or_else(|| failed("our helper is not in it yet"))?;
        let tell = || self.tell(command, environment, files);
        let started = tell().and_then(|()| messages::next(&self.control));
        let group = match started {
            Ok((Report::Started, with)) => with.first().and_then(number_of),
            Ok((Report::Exited(status), _)) => return Ok(End::Exit(status)),
            Ok((Report::Stopped(_) | Report::Killed(_), _)) => None,
            Err(error) => return Err(self.bubblewrap.reason(&error)),
        };
        let system = |error: io::Error| failed(&error.to_string());
        self.control.set_read_timeout(None).map_err(system)?;
        let (control, reporter) = (self.control.try_clone().map_err(system)?, self.supervisor.reporter());
        std::thread::Builder::new().spawn(move || follow(&control, &reporter)).map_err(system)?;
        let mut terminal = Foreground::new(group, helper.try_clone().map_err(system)?);
        terminal.take();
        let watched = Watched::by_helper(helper);
        let end = self.supervisor.wait(&watched, &mut terminal, 0, || {});
        terminal.give_back();
        drop(self.bubblewrap);
        for path in self.fence.mounts.replaced() {
            output::say(&format!(
                "{} was replaced from outside meanwhile, so the command could write to it; look at it before you use git there",
                path.display()
            ));
        }
        for dir in self.fence.mounts.bare().into_iter().filter(|dir| !self.bare.iter().any(|was| was == dir))
        {
            output::say(&format!(
                "{} was made a repository itself, whose settings git would obey; remove its HEAD, or look at it, before you use git there",
                dir.display()
            ));
        }
        drop(self.reserved);
        if terminal.was_given()
            && let End::Signal(number) = end
            && let Some(key @ (Signal::INT | Signal::QUIT)) = Signal::from_named_raw(number)
        {
            // A script around us, which the terminal would have told, too.
            let _ = kill_current_process_group(key);
        }
        Ok(end)
    }

    fn tell(
        &self,
        command: &[OsString],
        environment: Vec<(OsString, OsString)>,
        files: &[PathBuf],
    ) -> io::Result<()> {
        let has_terminal: &[u8] = if is_whole() { b"1" } else { b"0" };
        let streams = [io::stdin().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?];
        passing::send(&self.control, has_terminal, &[streams[0].as_fd(), streams[1].as_fd()])?;
        let words = command.iter().map(|word| word.as_bytes().to_vec());
        passing::send(&self.control, &joined(words), &[])?;
        let variables = variables::fenced(environment).into_iter();
        let pairs = variables.map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'='));
        passing::send(&self.control, &joined(pairs), &[])?;
        for path in files {
            let mut message = path.as_os_str().as_bytes().to_vec();
            message.push(0);
            message.extend(fs::read(path)?);
            passing::send(&self.control, &message, &[])?;
        }
        passing::send(&self.control, b"", &[])
    }
}

impl Bubblewrap {
    /// Why there is no fence.
    fn reason(&mut self, error: &io::Error) -> Failure {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return failed("bubblewrap does not answer");
        }
        let ended = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut said = String::new();
        let _ = self.words.seek(SeekFrom::Start(0));
        let _ = (&self.words).take(LAST_WORDS).read_to_string(&mut said);
        let said = said.trim();
        let said = match ended {
            _ if !said.is_empty() => output::printable(said).into_owned(),
            Some(status) => format!("bubblewrap has ended at once, with {status}"),
            None => format!("our helper in it has ended at once: {error}"),
        };
        failed(&format!("{said}; secretctl doctor says what to do"))
    }
}

/// Reports what our helper says.
fn follow(control: &UnixStream, to: &Sender<Event>) {
    loop {
        let event = match messages::next(control) {
            Ok((Report::Started, _)) => continue,
            Ok((Report::Stopped(signal), _)) => Event::Stopped(signal),
            Ok((Report::Exited(status), _)) => Event::Ended(End::Exit(status)),
            Ok((Report::Killed(signal), _)) => Event::Ended(End::Signal(signal)),
            // The fence is gone as a whole, by a signal that nothing survives.
            Err(_) => Event::Ended(End::Signal(Signal::KILL.as_raw())),
        };
        let is_last = matches!(event, Event::Ended(_));
        if to.send(event).is_err() || is_last {
            return;
        }
    }
}

/// A file in memory that a program which we execute can read.
fn in_memory(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("secretctl", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// A process's number here, by a pidfd from a namespace with numbers of its own (proc(5), fdinfo); none if it has ended.
fn number_of(process: &OwnedFd) -> Option<Pid> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    let number: i32 = text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    Pid::from_raw(number.max(0))
}

/// One after the other, each with an end that none of them holds.
fn joined(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    parts.flat_map(|part| part.into_iter().chain([0])).collect()
}
