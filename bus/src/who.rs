//! Who asks, as far as that can be known: the process that the bus names for a connection, held by a pidfd, and what it
//! runs for. Any program of the user can pass for another in all of it.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use secrets_client::Call;
use secrets_local::peer::lineage;
use zbus::OwnedVariant;

/// A process behind a connection.
pub(crate) struct Process {
    pid: i32,
    pidfd: OwnedFd,
}

/// What is told of it to the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Process {
    /// By what the bus answers to `GetConnectionCredentials`: by its own handle on the process, or by the process's id,
    /// whose holder must be asked for again afterwards: [`Found::Unsure`].
    pub(crate) fn find(credentials: &HashMap<String, OwnedVariant>) -> Option<Found> {
        let raw = u32::try_from(credentials.get("ProcessID")?).ok()?;
        let pid = i32::try_from(raw).ok().filter(|pid| *pid > 0)?;
        if let Some(zbus::Variant::Fd(held)) = credentials.get("ProcessFD").map(|value| &**value) {
            use std::os::fd::AsFd;
            let pidfd = held.as_fd().try_clone_to_owned().ok()?;
            return Some(Found::Sure(Self { pid: pid_of(&pidfd).filter(|held| *held == pid)?, pidfd }));
        }
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Found::Unsure(Self { pid, pidfd }))
    }

    /// Whether that is still its id: the connection lives and is this process's, and so the process was this one when it
    /// was opened.
    pub(crate) fn is(&self, credentials: &HashMap<String, OwnedVariant>) -> bool {
        let again = credentials.get("ProcessID").and_then(|pid| u32::try_from(pid).ok());
        again.and_then(|pid| i32::try_from(pid).ok()) == Some(self.pid) && self.is_alive()
    }

    /// What it runs for now; nothing once it has ended.
    pub(crate) fn facts(&self) -> Facts {
        let Some(lineage) = lineage::of(self.pid, &self.pidfd) else { return Facts::default() };
        let mut facts = vec![("pid", self.pid.to_string()), ("process", lineage.process.to_string())];
        let mut tell = |name, fact: Option<String>| facts.extend(fact.map(|fact| (name, fact)));
        // What rules are about comes first: what is too long for the request is left out from the end.
        tell("unit", lineage.unit);
        tell("program", lineage.program);
        tell("script", lineage.script);
        tell("directory", lineage.directory);
        if let Some(session) = lineage.session {
            tell("session", Some(session.key.to_string()));
            tell("tty", session.tty);
            tell("leader", Some(session.leader));
        }
        facts.extend(lineage.chain.into_iter().map(|name| ("chain", name)));
        Facts(facts)
    }

    fn is_alive(&self) -> bool {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// A process that was found.
pub(crate) enum Found {
    /// The bus has held it since it connected.
    Sure(Process),
    /// It has the id that the process had which connected.
    Unsure(Process),
}

impl Facts {
    /// The request, saying these.
    pub(crate) fn say(&self, call: Call) -> Call {
        call.saying(self.0.iter().map(|(name, fact)| (*name, fact.as_str())))
    }
}

/// The process that a pidfd holds, by `/proc/self/fdinfo` (pidfd_open(2)).
fn pid_of(pidfd: &OwnedFd) -> Option<i32> {
    use std::os::fd::AsRawFd;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}
