//! The process at the other end of a connection, as an audit log describes it: its name, program and systemd unit. No
//! right rests on them: any process of the user can choose its name and, within its own service manager, its unit. For
//! a unit that loads credentials the last is compared with what it claims, which stops mistakes and leaves a trail.
//!
//! A process id alone could have been given to another process since. So the kernel is asked for its handle on the peer,
//! a pidfd, and what `/proc` says counts only if the peer still lives afterwards: who has ended is described by nothing. On
//! kernels without `SO_PEERPIDFD` (before 6.5) the process must have been started before the connection was accepted.
//!
//! A connection outlives what its process was: the process may end and leave it to a child, or execute another program. So
//! what is known is looked at again whenever it is told, and read again if it is not so any more.
//!
//! Most connections are never written about, and a pidfd costs ten times a descriptor. So only the socket is kept at first,
//! as a second descriptor of it, until somebody wants to know.

mod calls;
pub mod lineage;

pub use calls::{network_of, since_boot};

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use secrets_proto::printable;

use self::lineage::Lineage;

/// A peer, of which more is read when somebody wants to know.
#[derive(Debug)]
pub struct Process {
    /// 0 if it is not in our pid namespace.
    pid: i32,
    /// When its connection was accepted: the time since boot, in hundredths of a second.
    accepted: u64,
    known: Mutex<Known>,
}

/// What is known of a peer so far.
#[derive(Debug)]
struct Known {
    /// The socket that it connected, until somebody wants to know more.
    socket: Option<OwnedFd>,
    /// What it is told from later processes by, from then on.
    pidfd: Option<OwnedFd>,
    facts: Arc<Facts>,
}

/// What is known of a process, safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name that it has given itself (`comm` of proc(5)).
    pub comm: Option<String>,
    /// The program file of the process.
    pub exe: Option<String>,
    /// The systemd unit of the process.
    pub unit: Option<String>,
}

/// The most characters of each fact. The kernel's own limit for a name is 15 bytes, for a unit 255.
const COMM: usize = 32;
const UNIT: usize = 255;
const EXE: usize = 512;

/// The kinds of units that run processes.
const KINDS: [&str; 5] = ["service", "scope", "socket", "mount", "swap"];

/// The most bytes of a file of `/proc` that are read.
const FILE: u64 = 64 * 1024;

/// The kernel's unit for a process's start, whatever its own clock.
const TICKS_PER_SECOND: u64 = 100;

impl Process {
    /// The process that connected this socket, by the id that the kernel gives for it in `SO_PEERCRED`; 0 is none of ours.
    pub fn of(socket: impl AsFd, pid: i32) -> Self {
        // Without a descriptor to spare it stays unknown.
        let socket = (pid > 0).then(|| socket.as_fd().try_clone_to_owned().ok()).flatten();
        let known = Known { socket, pidfd: None, facts: Arc::default() };
        Self { pid, accepted: now(), known: Mutex::new(known) }
    }

    /// What is known of it now, or nothing once it has ended. The first call reads it, in some 50 µs, and lets go of the
    /// socket for a pidfd; later ones look in 2 µs whether it is still so.
    pub fn facts(&self) -> Arc<Facts> {
        let mut known = self.held();
        if !self.is_still(&known) {
            let facts = known.pidfd.as_ref().and_then(|pidfd| facts_of(self.pid, pidfd));
            known.facts = Arc::new(facts.unwrap_or_default());
        }
        Arc::clone(&known.facts)
    }

    /// What it runs for now, or nothing once it has ended. Each call reads it, in some 20 µs for each process that has
    /// started it.
    pub fn lineage(&self) -> Option<Lineage> {
        lineage::of(self.pid, self.held().pidfd.as_ref()?)
    }

    /// What is known, with the pidfd if there is one to be had.
    fn held(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = known.socket.take() {
            known.pidfd = self.hold(&socket);
        }
        known
    }

    fn hold(&self, socket: &OwnedFd) -> Option<OwnedFd> {
        match calls::peer_pidfd(socket.as_fd()) {
            Ok(pidfd) => Some(pidfd),
            Err(rustix::io::Errno::NOPROTOOPT) => older_than(self.accepted, self.pid),
            // The peer is gone, or there is no descriptor to spare.
            Err(_) => None,
        }
    }

    /// Whether the facts are still those of what runs now: the same program file, or where that cannot be read, the same
    /// name. Each program that is executed has its own, and gives the process its name.
    fn is_still(&self, known: &Known) -> bool {
        let (Known { pidfd: Some(pidfd), facts, .. }, pid) = (known, self.pid) else { return false };
        let directory = directory_of(pid);
        let is_same = match &**facts {
            Facts { exe: Some(exe), .. } => exe_in(&directory).as_ref() == Some(exe),
            Facts { comm: Some(comm), .. } => comm_in(&directory).as_ref() == Some(comm),
            _ => false,
        };
        is_same && is_alive(pidfd)
    }
}

/// A handle on the process with this id, if it was started before that time: a later one has taken its id.
fn older_than(accepted: u64, pid: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let is_older = started(&text(&directory_of(pid).join("stat"))?)? <= accepted;
    (is_older && is_alive(&pidfd)).then_some(pidfd)
}

/// What is known of the process that has this id, if it is the one that is held.
fn facts_of(pid: i32, pidfd: &OwnedFd) -> Option<Facts> {
    let directory = directory_of(pid);
    let facts = Facts {
        comm: comm_in(&directory),
        exe: exe_in(&directory),
        unit: text(&directory.join("cgroup")).and_then(|lines| unit(&lines)),
    };
    // Alive after the last look: then it was this process that was looked at.
    is_alive(pidfd).then_some(facts)
}

fn directory_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn comm_in(directory: &Path) -> Option<String> {
    text(&directory.join("comm")).map(|comm| printable(comm.strip_suffix('\n').unwrap_or(&comm), COMM))
}

fn exe_in(directory: &Path) -> Option<String> {
    std::fs::read_link(directory.join("exe")).ok().map(|exe| printable(&exe.to_string_lossy(), EXE))
}

/// A pidfd is readable when its process has ended.
fn is_alive(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// The time since boot, in the units of a process's start.
fn now() -> u64 {
    let now = since_boot();
    now.as_secs() * TICKS_PER_SECOND + u64::from(now.subsec_nanos()) / (1_000_000_000 / TICKS_PER_SECOND)
}

/// When a process started, from its `/proc/PID/stat`. Its name, in parentheses, may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn text(path: &Path) -> Option<String> {
    // Room for all that such a file has as a rule, so that it is read at once.
    let mut bytes = Vec::with_capacity(2048);
    File::open(path).ok()?.take(FILE).read_to_end(&mut bytes).ok()?;
    let lossy = |error: FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
    Some(String::from_utf8(bytes).unwrap_or_else(lossy))
}

/// The systemd unit, from the lines of `/proc/PID/cgroup`: the unified hierarchy's, or that of systemd's own name beside
/// the old ones.
fn unit(lines: &str) -> Option<String> {
    let path = |prefix: &str| lines.lines().find_map(|line| line.strip_prefix(prefix));
    let named = || lines.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    path("0::").and_then(unit_of).or_else(|| named().and_then(unit_of))
}

/// The unit that a control group belongs to: the outermost that is no slice, or below a user's service manager the
/// outermost of its own.
fn unit_of(path: &str) -> Option<String> {
    let mut groups = path.split('/').map(|group| group.strip_prefix('_').unwrap_or(group));
    let system = groups.by_ref().find(|group| is_unit(group))?;
    let of_user = system.starts_with("user@").then(|| groups.find(|group| is_unit(group))).flatten();
    Some(of_user.unwrap_or(system).to_owned())
}

/// Whether this names a unit that runs processes, as systemd allows units to be named.
fn is_unit(group: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\-@".contains(&byte);
    let name = group.rsplit_once('.').filter(|(_, kind)| KINDS.contains(kind)).map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty()) && group.len() <= UNIT && group.bytes().all(allowed)
}

/// So much of a text's end, without anything that moves a terminal's cursor, reorders or hides.
fn printable(text: &str, most: usize) -> String {
    let skipped = text.chars().count().saturating_sub(most);
    let start = if skipped > 0 { "…" } else { "" };
    let shown = printable::each(text).skip(skipped).map(|(_, shown)| shown);
    start.chars().chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn units_are_read_from_real_control_groups() {
        let hybrid = "12:pids:/user.slice/user-1000.slice/session-3.scope\n\
                      1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/\n";
        let legacy = "9:name=systemd:/system.slice/cron.service\n8:pids:/system.slice/cron.service\n";
        for (lines, expected) in [
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-code-4711.scope\n",
                Some("app-gnome-code-4711.scope"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/session.slice/a.slice/x.service/sub/y.scope\n",
                Some("x.service"),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", Some("init.scope")),
            ("0::/user.slice/user-1000.slice/user@1000.service\n", Some("user@1000.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope")),
            ("0::/system.slice/ssh.service\n", Some("ssh.service")),
            ("0::/system.slice/system-getty.slice/getty@tty1.service\n", Some("getty@tty1.service")),
            ("0::/system.slice/docker-0123abcd.scope/init\n", Some("docker-0123abcd.scope")),
            (r"0::/system.slice/dev-disk\x2dby.service", Some(r"dev-disk\x2dby.service")),
            ("0::/../../system.slice/cron.service\n", Some("cron.service")),
            ("0::/_odd.service\n", Some("odd.service")),
            (hybrid, Some("session-3.scope")),
            (legacy, Some("cron.service")),
            ("9:name=systemd:/\n4:memory:/process_api/9e40e3\n0::/\n", None),
            ("0::/kubepods/burstable/pod1/abc\n", None),
            ("0::/user.slice\n", None),
            ("0::/a\u{1b}[2J.service\n", None),
            ("0::/.service\n", None),
            ("", None),
        ] {
            assert_eq!(unit(lines).as_deref(), expected, "{lines}");
        }
    }

    #[test]
    fn a_start_is_read_past_any_name() {
        let stat = "7 (a) R 1 (b) ) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";
        assert_eq!(started(stat), Some(4242));
        assert_eq!(started("7 (a"), None);
        let own = started(&text(Path::new("/proc/self/stat")).unwrap()).unwrap();
        assert!(own <= now() && own > 0, "{own} {}", now());
    }

    #[test]
    fn what_is_printed_neither_steers_a_terminal_nor_grows() {
        assert_eq!(
            printable("a\u{1b}[2J\n\u{202e}b\u{200b}'é", 32),
            "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}'é"
        );
        assert_eq!(printable("/usr/bin/long-name", 9), "…long-name");
        assert_eq!(printable("", 9), "");
    }

    #[test]
    fn the_living_are_described_and_the_dead_are_not() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let process = Process::of(&ours, own);
        let facts = process.facts();
        assert!(
            process.known.lock().unwrap().socket.is_none(),
            "the socket would stay open for longer than it is used"
        );
        assert_eq!(facts.exe.as_deref(), std::env::current_exe().unwrap().to_str());
        assert!(facts.comm.is_some());
        assert!(Arc::ptr_eq(&process.facts(), &facts), "what has not changed is not read again");
        // In an outer pid namespace, and on a kernel without handles on peers.
        assert_eq!(*Process::of(&ours, 0).facts(), Facts::default());
        assert_eq!(facts_of(own, &older_than(now(), own).unwrap()).as_ref(), Some(&*facts));

        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let raw = pid.as_raw_nonzero().get();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        // A child is there a moment before it has the name of what it executes.
        while text(Path::new(&format!("/proc/{raw}/comm"))).as_deref() != Some("sleep\n") {
            std::thread::yield_now();
        }
        assert_eq!(facts_of(raw, &pidfd).unwrap().comm.as_deref(), Some("sleep"));
        // Its id was given away and taken again after the connection was accepted.
        assert!(older_than(0, raw).is_none());
        // Ended but not yet waited for: `/proc` still has it.
        child.kill().unwrap();
        while is_alive(&pidfd) {
            std::thread::yield_now();
        }
        assert!(Path::new(&format!("/proc/{raw}/comm")).exists());
        assert_eq!(facts_of(raw, &pidfd), None);
        assert!(older_than(now(), raw).is_none());
        // Another process has the id now, and the peer is gone: the id says the living, the handle says the dead.
        child.wait().unwrap();
        assert_eq!(facts_of(own, &pidfd), None);
    }
}
