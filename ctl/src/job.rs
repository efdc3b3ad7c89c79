//! Where a process stands among the jobs of its terminal, as the kernel tells in `/proc/<pid>/stat` (proc(5)). It
//! changes nothing. The calls `getpgrp`, `getsid` and `tcgetpgrp` answer 0 for a group or a session of an outer
//! pid namespace, which has no place in rustix's type for them; here 0 is a number like any other.

use std::fs;

use rustix::process::Pid;

/// One process's parent and groups, as this namespace numbers them: 0 stands for any outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    parent: i32,
    group: i32,
    session: i32,
    /// The device number of its terminal; 0 without one.
    terminal: i32,
    /// The group in the foreground of its terminal; -1 without a terminal.
    foreground: i32,
}

impl Job {
    /// Ours; none where `/proc` doesn't tell.
    pub(crate) fn own() -> Option<Self> {
        Self::read("self")
    }

    /// Its process group, if this namespace has a number for it.
    pub(crate) fn group(self) -> Option<Pid> {
        Pid::from_raw(self.group)
    }

    /// Whether its group is the one that the terminal's keys go to.
    pub(crate) const fn is_in_foreground(self) -> bool {
        self.group == self.foreground
    }

    /// Whether its parent is a shell that keeps it as a job; else nobody would ever continue it.
    pub(crate) fn is_kept_by_a_shell(self) -> bool {
        Self::read(&self.parent.to_string())
            .is_some_and(|parent| parent.session == self.session && parent.group != self.group)
    }

    /// The device number of its terminal, major and minor, if it has one.
    pub(crate) const fn terminal(self) -> Option<(u32, u32)> {
        let number = self.terminal.cast_unsigned();
        // As the kernel writes it (`new_encode_dev`).
        let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
        if number == 0 { None } else { Some((major, minor)) }
    }

    fn read(process: &str) -> Option<Self> {
        // The name of the program is not always UTF-8.
        Self::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{process}/stat")).ok()?))
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself hold any of them.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut numbers = rest.split(' ').skip(1).map(str::parse);
        let mut next = || numbers.next()?.ok();
        let (parent, group, session, terminal, foreground) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self { parent, group, session, terminal, foreground })
    }
}

/// The signals that were ignored when we were started, a bit each.
pub(crate) fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "812 (bash) S 790 812 812 34816 812 4194304 5028";

    #[test]
    fn a_job_is_read_whatever_the_program_is_called() {
        let job = Job { parent: 790, group: 812, session: 812, terminal: 34816, foreground: 812 };
        assert_eq!(Job::parse(SHELL), Some(job));
        assert_eq!(Job::parse("812 (a) 1 (b ) c) S 790 812 812 34816 812 4194304"), Some(job));
        assert!(job.is_in_foreground());
        assert_eq!(job.terminal(), Some((136, 0)));
        assert_eq!(Job { terminal: 0x0010_882a, ..job }.terminal(), Some((136, 0x12a)));
        assert_eq!(Job { terminal: 0, ..job }.terminal(), None);
        assert!(!Job { foreground: -1, ..job }.is_in_foreground());
        for bad in ["", "812 (bash", "812 (bash) S 790", "812 (bash) S 790 812 x 34816 812"] {
            assert_eq!(Job::parse(bad), None, "{bad}");
        }
        assert!(Job::own().is_some());
    }

    #[test]
    fn a_session_outside_of_the_namespace_is_no_shell_of_ours() {
        let job = Job { parent: 0, group: 0, session: 0, terminal: 0, foreground: 0 };
        assert!(job.is_in_foreground());
        assert!(!job.is_kept_by_a_shell());
    }
}
