//! Key provider commands: programs that the settings name and that print a key. Each runs in a group of its own, is given
//! up after a time, and what it has started is ended with it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use secrets_local::files;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

/// Bounds on key material, in bytes.
pub(crate) const MATERIAL_MIN: usize = 32;
pub(crate) const MATERIAL_MAX: usize = 4_096;

/// A command of the settings that prints a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderCommand {
    /// The absolute path of a program, and its arguments.
    pub(crate) argv: Vec<String>,
    /// How long it may take.
    pub(crate) deadline: Duration,
    /// Whether what it says on stderr goes to the daemon's, which is its log. It may quote the key, so its owner decides.
    pub(crate) logs_stderr: bool,
}

/// A key provider that gave no key, by its name in the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key provider `{name}` gave no key: {fault}")]
pub(crate) struct Failure {
    /// The key provider's name.
    pub(crate) name: String,
    /// Why.
    pub(crate) fault: Fault,
}

/// Why a command gave no key. Nothing of what it printed is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command cannot be started.
    NotStarted(io::ErrorKind),
    /// No descriptor is left for its output.
    NoDescriptors,
    /// The system refused a call that is needed to run it.
    Refused,
    /// The command ended with another status than 0, or by a signal.
    Ended(ExitStatus),
    /// The command printed fewer bytes than a key has.
    TooShort(usize),
    /// The command printed more bytes than are taken.
    TooLong,
    /// The command did not end in this time.
    Late(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(io::ErrorKind::NotFound) => f.write_str("its program does not exist"),
            Self::NotStarted(io::ErrorKind::PermissionDenied) => f.write_str("its program may not be run"),
            Self::NotStarted(_) => f.write_str("its program cannot be started"),
            Self::NoDescriptors => f.write_str("the daemon is out of file descriptors"),
            Self::Refused => f.write_str("the system refused a call that is needed to run it"),
            Self::Ended(status) => match (status.code(), status.signal()) {
                (_, Some(signal)) => write!(f, "it was ended by signal {signal}"),
                (code, None) => write!(f, "it ended with exit status {}", code.unwrap_or_default()),
            },
            Self::TooShort(0) => f.write_str("it printed nothing"),
            Self::TooShort(bytes) => {
                write!(f, "it printed {bytes} bytes, and a key has at least {MATERIAL_MIN}")
            }
            Self::TooLong => write!(f, "it printed more than {MATERIAL_MAX} bytes"),
            Self::Late(deadline) => write!(f, "it did not end within {} seconds", deadline.as_secs()),
        }
    }
}

impl ProviderCommand {
    /// What the command prints: all of it is the key, byte for byte. `name` is what the settings call it.
    pub(crate) async fn key(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.printed().await.map_err(|fault| {
            tracing::warn!(key_provider = name, reason = %fault, "a key provider gave no key");
            Failure { name: name.to_owned(), fault }
        })
    }

    /// Why its program could not be run now, as far as that can be seen without running it.
    pub(crate) fn obstacle(&self) -> Option<Fault> {
        let program = Path::new(self.argv.first()?);
        match rustix::fs::access(program, Access::EXEC_OK) {
            Ok(()) if program.is_dir() => Some(Fault::NotStarted(io::ErrorKind::PermissionDenied)),
            Ok(()) => None,
            Err(error) => Some(Fault::NotStarted(io::Error::from(error).kind())),
        }
    }

    async fn printed(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let [program, arguments @ ..] = self.argv.as_slice() else {
            return Err(Fault::NotStarted(io::ErrorKind::NotFound));
        };
        let mut command = Command::new(program);
        // What is this process's alone: tokens, and what systemd and the image before have handed to it.
        for variable in PRIVATE_VARIABLES {
            command.env_remove(variable);
        }
        let mut child = command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if self.logs_stderr { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match files::lacks_descriptors(&error) {
                true => Fault::NoDescriptors,
                false => Fault::NotStarted(error.kind()),
            })?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut stdout = child.stdout.take().ok_or(Fault::Refused)?;
        let pipe = stdout.as_fd().try_clone_to_owned().map_err(|_| Fault::NoDescriptors)?;
        let mut family = Family { leader, pipe: Some(pipe) };
        let outcome = tokio::time::timeout(self.deadline, async {
            // Room for all that may come, so that no copy is left behind by growing.
            let mut key = Zeroizing::new(Vec::with_capacity(MATERIAL_MAX + 1));
            let status = loop {
                if key.len() > MATERIAL_MAX {
                    return Err(Fault::TooLong);
                }
                tokio::select! {
                    read = stdout.read_buf(&mut *key) => if read.map_err(|_| Fault::Refused)? == 0 {
                        // All have closed it.
                        family.pipe = None;
                        break child.wait().await;
                    },
                    // Something that it has started may hold its output for as long as it likes.
                    ended = child.wait() => break ended,
                }
            };
            let status = status.map_err(|_| Fault::Refused)?;
            if let Some(pipe) = &family.pipe {
                read_rest(pipe, &mut key)?;
            }
            match key.len() {
                _ if !status.success() => Err(Fault::Ended(status)),
                MATERIAL_MIN.. => Ok(key),
                printed => Err(Fault::TooShort(printed)),
            }
        });
        outcome.await.unwrap_or(Err(Fault::Late(self.deadline)))
    }
}

/// Reads what a command that has ended left in its pipe, and waits for no more.
fn read_rest(pipe: &OwnedFd, key: &mut Vec<u8>) -> Result<(), Fault> {
    while key.len() <= MATERIAL_MAX {
        match rustix::io::read(pipe, rustix::buffer::spare_capacity(key)) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Err(Fault::Refused),
        }
    }
    Err(Fault::TooLong)
}

/// Variables that a key provider command does not get.
const PRIVATE_VARIABLES: [&str; 9] = [
    "SECRETSD_TOKEN",
    "SECRETSD_TOKEN_FILE",
    "SECRETSD_RELAUNCH",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A command with what it has started, ended when dropped: its process group, and every process that still holds its output,
/// which may have a session of its own. What has let go of the output goes on, like an agent that stays.
struct Family {
    leader: Option<Pid>,
    /// Our end of its output, unless that has ended.
    pipe: Option<OwnedFd>,
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // None of it may be left, which is what is wanted.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
        if let Some(pipe) = self.pipe.take() {
            // To look at every process takes some milliseconds, which nobody else should wait for.
            let _ = thread::Builder::new().spawn(move || end_holders(&pipe));
        }
    }
}

/// Ends the processes that have this pipe open, as far as the system shows their descriptors: not those of another user,
/// and none that hides itself.
fn end_holders(pipe: &OwnedFd) {
    let Ok(status) = rustix::fs::fstat(pipe) else { return };
    let link = PathBuf::from(format!("pipe:[{}]", status.st_ino));
    // One that is being ended still shows, and may have started another.
    for _ in 0..ROUNDS {
        let holders = holders_of(&link);
        if holders.is_empty() {
            return;
        }
        for holder in holders {
            let _ = rustix::process::pidfd_send_signal(holder, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
    tracing::warn!("cannot end a process that a key provider command started");
}

/// How often it is looked for those who still hold a command's output.
const ROUNDS: usize = 100;

/// The processes of other programs that have a descriptor with this link. This process has one, and so has for a moment
/// each command that it is about to start.
fn holders_of(link: &Path) -> Vec<OwnedFd> {
    let own = std::fs::read_link("/proc/self/exe").ok();
    let is_another = |pid: Pid| {
        let program = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
        program.is_ok_and(|program| Some(program) != own)
    };
    let holds = |pid: Pid| {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
        let mut descriptors = descriptors.into_iter().flatten().flatten();
        descriptors.any(|entry| std::fs::read_link(entry.path()).is_ok_and(|found| found == link))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| is_another(*pid) && holds(*pid))
        .filter_map(|pid| {
            let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            // Once more: the id may have become another's before it was held.
            holds(pid).then_some(process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    async fn shell(script: &str) -> Result<usize, Fault> {
        command(&["/bin/sh", "-c", script]).printed().await.map(|key| key.len())
    }

    fn command(argv: &[&str]) -> ProviderCommand {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        ProviderCommand { argv, deadline: Duration::from_secs(10), logs_stderr: false }
    }

    #[tokio::test]
    async fn a_provider_gives_what_it_prints_and_nothing_less_or_more() {
        assert_eq!(shell("head -c 32 /dev/zero").await.unwrap(), 32);
        assert_eq!(shell("head -c 4096 /dev/zero").await.unwrap(), 4_096);
        let faults = [
            ("head -c 31 /dev/zero", "it printed 31 bytes, and a key has at least 32"),
            ("cat /dev/zero", "it printed more than 4096 bytes"),
            ("head -c 32 /dev/zero; exit 3", "it ended with exit status 3"),
            ("head -c 32 /dev/zero; kill -9 $$", "it was ended by signal 9"),
            ("exit 0", "it printed nothing"),
        ];
        for (script, told) in faults {
            assert_eq!(shell(script).await.unwrap_err().to_string(), told, "{script}");
        }
        // The key is there when the command has ended, even if something else still holds its output.
        for (script, length) in [
            ("head -c 40 /dev/zero; sleep 600 &", 40),
            ("sleep 600 & head -c 4096 /dev/zero", 4_096),
            ("setsid --fork sleep 600; head -c 32 /dev/zero", 32),
        ] {
            assert_eq!(shell(script).await, Ok(length), "{script}");
        }
        for (script, fault) in [
            ("sleep 600 & exit 0", Fault::TooShort(0)),
            ("sleep 600 & head -c 4097 /dev/zero", Fault::TooLong),
        ] {
            assert_eq!(shell(script).await, Err(fault), "{script}");
        }
        let absent = command(&["/nonexistent/program"]).printed().await;
        assert_eq!(absent.unwrap_err().to_string(), "its program does not exist");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_given_up() {
        // Time stands still while the child runs, and jumps to the deadline once nothing else is to be done.
        assert!(matches!(shell("exec tail -f /dev/null").await, Err(Fault::Late(_))));
    }

    #[test]
    fn what_holds_the_output_is_ended_in_whatever_session_it_is() {
        // The first has let go of the output and goes on; the second has not, and has a session of its own.
        let script = "sleep 600 >/dev/null & echo $!; exec setsid --fork sh -c 'echo $$; exec sleep 600'";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let pipe = stdout.as_fd().try_clone_to_owned().unwrap();
        let lines = BufReader::new(stdout).lines().take(2);
        let [agent, holder] = lines.map(|line| line.unwrap().parse().unwrap()).collect::<Vec<i32>>()[..]
        else {
            panic!("two are started");
        };
        child.wait().unwrap();
        let handle = |pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let (agent, holder) = (handle(agent), handle(holder));
        let ends_within = |process: &OwnedFd, tv_sec| {
            poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&Timespec { tv_sec, tv_nsec: 0 })).unwrap()
                > 0
        };
        drop(Family { leader: None, pipe: Some(pipe) });
        let ended = (ends_within(&holder, 30), ends_within(&agent, 0));
        for process in [agent, holder] {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        }
        assert_eq!(ended, (true, false));
    }

    /// Not a test by itself: what the next one starts.
    #[test]
    fn stays_while_its_input_is_open() {
        if std::env::var_os("STAYS").is_some() {
            io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
        }
    }

    #[test]
    fn a_command_that_is_about_to_start_is_no_holder() {
        // Between fork and exec it is this program, with all its descriptors.
        let (reader, writer) = io::pipe().unwrap();
        let link = PathBuf::from(format!("pipe:[{}]", rustix::fs::fstat(&reader).unwrap().st_ino));
        let started = |program: &Path, arguments: &[&str]| {
            let mut command = std::process::Command::new(program);
            command.args(arguments).env("STAYS", "1").stdin(Stdio::piped());
            command.stdout(writer.try_clone().unwrap()).stderr(Stdio::null()).spawn().unwrap()
        };
        let own = std::env::current_exe().unwrap();
        let mut same = started(&own, &["--exact", "key_provider::tests::stays_while_its_input_is_open"]);
        let count = holders_of(&link).len();
        let mut other = started(Path::new("/bin/cat"), &[]);
        // Once it is that program.
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while holders_of(&link).len() <= count && std::time::Instant::now() < deadline {
            thread::yield_now();
        }
        let counts = (count, holders_of(&link).len());
        for child in [&mut same, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(counts, (0, 1));
    }
}
