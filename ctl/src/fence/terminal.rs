//! Our terminal while a fenced command runs. The command is in a process group of its own, so that no signal to its group
//! reaches what runs around us; so that group needs the foreground of the terminal when it is ours to give.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, pidfd_send_signal};
use secrets_local::foreground::put_in_foreground;
use signal_hook::consts::{SIGTTIN, SIGTTOU};

use crate::job::Job;
use crate::supervise::Terminal;

/// The terminal, and whose it is.
#[derive(Debug)]
pub(super) struct Foreground {
    /// None without a controlling terminal.
    tty: Option<File>,
    /// The command's group; none if it has ended already.
    group: Option<Pid>,
    helper: OwnedFd,
    /// Whether the command is to have it whenever it is ours.
    is_wanted: bool,
    is_given: bool,
    was_given: bool,
}

impl Foreground {
    /// For a command that leads this group.
    pub(super) fn new(group: Option<Pid>, helper: OwnedFd) -> Self {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        Self { tty, group, helper, is_wanted: is_whole(), is_given: false, was_given: false }
    }

    /// Whether the command had the keys, so that Ctrl-C came to it alone.
    pub(super) const fn was_given(&self) -> bool {
        self.was_given
    }
}

/// Whether the terminal is the command's from the start: nobody else in a pipeline uses it. Otherwise it gets it when it
/// asks, by being stopped: what shows its output, such as a pager, may need the keys.
pub(super) fn is_whole() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && is_ours()
}

fn is_ours() -> bool {
    Job::own().is_some_and(|job| job.terminal().is_some() && job.is_in_foreground())
}

impl Terminal for Foreground {
    fn take(&mut self) {
        if let (true, false, Some(tty), Some(group)) = (self.is_wanted, self.is_given, &self.tty, self.group)
            && is_ours()
        {
            self.is_given = put_in_foreground(tty, group).is_ok();
            self.was_given |= self.is_given;
        }
    }

    fn give_back(&mut self) {
        let Some(tty) = self.tty.as_ref().filter(|_| self.is_given) else { return };
        if let Some(own) = Job::own().and_then(Job::group) {
            let _ = put_in_foreground(tty, own);
        }
        self.is_given = false;
    }

    fn is_waiting(&self) -> bool {
        self.is_wanted && !self.is_given && self.tty.is_some()
    }

    fn lend(&mut self, signal: i32) -> bool {
        if ![SIGTTIN, SIGTTOU].contains(&signal) || self.is_given {
            return false;
        }
        self.is_wanted = true;
        self.take();
        self.is_given
    }

    fn resize(&mut self) {
        if !self.is_given {
            let _ = pidfd_send_signal(&self.helper, Signal::WINCH);
        }
    }
}
