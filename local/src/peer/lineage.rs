//! What a process runs for: the processes that started it, the terminal or service that it is in, and the program, script
//! and directory that a person would name. For people, and for rules that a person has made; any process of the user can
//! pass for another in all of it but the session: nobody comes into that from outside.
//!
//! Each step up is confirmed: the parent is held by a pidfd and read, and then the child, still alive, must name the same
//! parent. If one of that fails, nothing at all is known.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{COMM, directory_of, is_alive, is_unit, printable, text, unit};

/// How a process is told from all others since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessKey {
    /// The inode of its pidfd, which no other process gets (Linux 6.9).
    Inode(u64),
    /// Its id and when it started, in hundredths of a second since boot.
    Started(i32, u64),
}

/// What identifies a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionKey {
    /// The process that leads it.
    Leader(ProcessKey),
    /// The control group of a service or app, and the group's inode: another of this name is another session.
    Group(String, u64),
}

/// `inode:INODE` or `start:PID:TIME`.
impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inode(inode) => write!(f, "inode:{inode}"),
            Self::Started(pid, time) => write!(f, "start:{pid}:{time}"),
        }
    }
}

impl FromStr for ProcessKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let read = || match text.split_once(':')? {
            ("inode", inode) => Some(Self::Inode(inode.parse().ok()?)),
            ("start", rest) => {
                let (pid, time) = rest.split_once(':')?;
                Some(Self::Started(pid.parse().ok()?, time.parse().ok()?))
            }
            _ => None,
        };
        read().ok_or(NoKey)
    }
}

/// The leader's, or `group:INODE:PATH`.
impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader(process) => process.fmt(f),
            Self::Group(path, inode) => write!(f, "group:{inode}:{path}"),
        }
    }
}

impl FromStr for SessionKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let Some(rest) = text.strip_prefix("group:") else { return text.parse().map(Self::Leader) };
        let (inode, path) = rest.split_once(':').ok_or(NoKey)?;
        Ok(Self::Group(path.to_owned(), inode.parse().map_err(|_| NoKey)?))
    }
}

/// A text is none of a process or session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey;

/// Where a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What identifies it.
    pub key: SessionKey,
    /// Its pseudo terminal, like `pts/3`, if it has one.
    pub tty: Option<String>,
    /// The name of the process that leads it, or of the group; safe to print.
    pub leader: String,
}

/// What a process runs for. All of it is safe to print; a path that is not is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The process itself.
    pub process: ProcessKey,
    /// The names of it and of up to eight that started it, the nearest first.
    pub chain: Vec<String>,
    /// The outermost session with a pseudo terminal, or else the service's or app's.
    pub session: Option<Session>,
    /// The systemd unit.
    pub unit: Option<String>,
    /// The program of the first of them that is neither `secretctl` nor a shell or wrapper, and not beyond the session; the
    /// session's shell if there is none.
    pub program: Option<String>,
    /// The script that it runs, if it is an interpreter and the file exists.
    pub script: Option<String>,
    /// The directory that it is in.
    pub directory: Option<String>,
}

/// How far up is looked.
const STEPS: usize = 64;

/// How many of those that started a process are told.
const CHAIN: usize = 8;

/// The most bytes of a path that is told.
const PATH: usize = 1_024;

/// The inodes of pidfds are those of processes if the file system is this (`PID_FS_MAGIC`).
const PIDFS: u64 = 0x5049_4446;

/// The major numbers of pseudo terminals (`devices.txt` of the kernel).
const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// Programs that only start others.
const WRAPPERS: [&str; 20] = [
    "env", "sudo", "doas", "su", "setsid", "nohup", "timeout", "nice", "ionice", "stdbuf", "xargs", "time",
    "unshare", "setpriv", "runuser", "taskset", "flock", "watch", "direnv", "bwrap",
];

/// Programs that live for a moment and only carry a secret to the program that started them.
const CARRIERS: [&str; 3] = ["secret-tool", "git-credential-libsecret", "docker-credential-secretservice"];

const SHELLS: [&str; 16] = [
    "sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "ash", "busybox", "tcsh", "csh", "nu", "xonsh",
    "pwsh", "elvish", "yash",
];

const INTERPRETERS: [&str; 14] = [
    "python", "pypy", "node", "nodejs", "ruby", "perl", "php", "java", "deno", "bun", "lua", "tclsh",
    "guile", "Rscript",
];

/// Programs that run what a file, an option or an argument names, beside what else they do: build tools, package managers,
/// editors, debuggers, containers, other machines.
const RUNNERS: &[&str] = &[
    // Other interpreters, and tools with a language of their own.
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "sed",
    "luajit",
    "julia",
    "expect",
    "wish",
    "ipython",
    "jupyter",
    "irb",
    "pry",
    "erl",
    "elixir",
    "iex",
    "ghci",
    "runghc",
    "racket",
    "sbcl",
    "clisp",
    "ocaml",
    "scala",
    "groovy",
    "jshell",
    "dotnet",
    "mono",
    "wine",
    "octave",
    "R",
    "m4",
    "dc",
    "qemu",
    "tsx",
    "ts-node",
    "osascript",
    // Programs that start the one that they are given.
    "find",
    "fd",
    "parallel",
    "entr",
    "watchexec",
    "script",
    "unbuffer",
    "strace",
    "ltrace",
    "gdb",
    "lldb",
    "perf",
    "valgrind",
    "rr",
    "catchsegv",
    "chroot",
    "nsenter",
    "systemd-run",
    "run0",
    "pkexec",
    "sg",
    "newgrp",
    "chrt",
    "prlimit",
    "setarch",
    "dbus-run-session",
    "dbus-launch",
    "xvfb-run",
    "firejail",
    "proot",
    "fakeroot",
    "faketime",
    "torsocks",
    "proxychains",
    "start-stop-daemon",
    "at",
    "crontab",
    "screen",
    "tmux",
    "zellij",
    "busctl",
    "gdbus",
    "toybox",
    "coreutils",
    "ld-linux",
    "ld-linux-x86-64",
    "ld-linux-aarch64",
    "ld-linux-armhf",
    "ld-musl-x86_64",
    "ld-musl-aarch64",
    // Build tools and package managers, which run scripts of a project.
    "make",
    "gmake",
    "cmake",
    "ninja",
    "meson",
    "just",
    "task",
    "rake",
    "bazel",
    "gradle",
    "mvn",
    "ant",
    "cargo",
    "go",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "pnpx",
    "bunx",
    "corepack",
    "pip",
    "pipx",
    "uv",
    "uvx",
    "poetry",
    "pdm",
    "hatch",
    "tox",
    "nox",
    "conda",
    "mamba",
    "bundle",
    "gem",
    "composer",
    "nix",
    "nix-shell",
    "nix-build",
    "mise",
    "asdf",
    // Editors, and programs with hooks, helpers or a shell inside.
    "vi",
    "vim",
    "nvim",
    "emacs",
    "emacsclient",
    "ed",
    "less",
    "man",
    "git",
    // Containers and other machines.
    "docker",
    "docker-compose",
    "podman",
    "podman-compose",
    "nerdctl",
    "buildah",
    "skopeo",
    "toolbox",
    "distrobox",
    "flatpak",
    "snap",
    "lxc",
    "kubectl",
    "helm",
    "vagrant",
    "terraform",
    "tofu",
    "pulumi",
    "ansible",
    "ansible-playbook",
    "ssh",
    "rsync",
    "scp",
    "sftp",
    "psql",
    "sqlite",
    "mysql",
];

/// Whether this program, by its path, runs whatever it is given, so that a rule for it would be one for any program: an
/// interpreter, a shell, or what starts others. No list is whole: it keeps from a mistake, not from a program that means it.
pub fn runs_anything(program: &str) -> bool {
    let name = file_name(program);
    // Debian's variants have a word after the name, as `vim.basic`; emulators are named after their machine.
    let first = name.split('.').next().unwrap_or(name);
    let first = if first.starts_with("qemu-") { "qemu" } else { first };
    let names = [name, unversioned(name), first, unversioned(first)];
    interprets(program) || names.iter().any(|name| WRAPPERS.contains(name) || RUNNERS.contains(name))
}

/// Whether this program, by its path, is an interpreter or a shell: a script that it is given is what it runs.
pub fn interprets(program: &str) -> bool {
    is_shell(program) || is_interpreter(program)
}

fn is_shell(program: &str) -> bool {
    let name = file_name(program);
    SHELLS.contains(&name) || SHELLS.contains(&unversioned(name))
}

fn is_interpreter(program: &str) -> bool {
    let name = file_name(program);
    INTERPRETERS.contains(&name) || INTERPRETERS.contains(&unversioned(name))
}

fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
}

fn file_name(path: &str) -> &str {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The program, script and directory that this process itself runs for, to be said to others. For who reads it, what
/// the kernel says counts more, so that no step up is confirmed by a pidfd, which would take twice as long: it is
/// enough that who has started a process is older than it is. If one is not, nothing at all is known. It goes no further up
/// than it must: each step takes some 10 µs.
pub fn own() -> Option<Asker> {
    let mut stats = vec![Stat::read(rustix::process::getpid().as_raw_nonzero().get())?];
    let (mut search, mut searched) = (Search::default(), 0);
    loop {
        let (child, below) = stats.split_last()?;
        // Up to the first leader all are within the session, whatever is above.
        if !below.iter().any(Stat::leads_terminal) {
            searched = stats.len();
            if let Some(found) = search.look_at(child) {
                return Some(found);
            }
        }
        if child.parent <= 1 || stats.len() == STEPS {
            break;
        }
        let parent = Stat::read(child.parent)?;
        if parent.started > child.started {
            // It has ended, and its id was given to another.
            return None;
        }
        stats.push(parent);
    }
    Some(search.through(within_session(&stats, |stat| stat).iter().skip(searched)))
}

/// What the process runs for that has this id and is held by this pidfd; nothing once it has ended.
pub fn of(pid: i32, pidfd: &OwnedFd) -> Option<Lineage> {
    let own = Step { stat: Stat::read(pid)?, key: key(pidfd, pid)? };
    let group = text(&directory_of(pid).join("cgroup"));
    let steps = climb(own, pidfd)?;
    let (peer, _) = steps.split_first()?;
    let within = within_session(&steps, |step| &step.stat);
    let session = match within.last().filter(|step| step.stat.leads_terminal()) {
        Some(leader) => Some(Session {
            key: SessionKey::Leader(leader.key),
            tty: leader.stat.terminal(),
            leader: leader.stat.name(),
        }),
        None => group.as_deref().and_then(session_of_group),
    };
    let found = Search::default().through(within.iter().map(|step| &step.stat));
    let Asker { program, script, directory } = found;
    let lineage = Lineage {
        process: peer.key,
        chain: steps.iter().take(CHAIN + 1).map(|step| step.stat.name()).collect(),
        session,
        unit: group.as_deref().and_then(unit),
        program,
        script,
        directory,
    };
    // Alive after the last look: then it was this process that was looked at.
    is_alive(pidfd).then_some(lineage)
}

/// Those up to the leader of the outermost session with a terminal, or all.
fn within_session<T>(steps: &[T], stat: impl Fn(&T) -> &Stat) -> &[T] {
    let leader = steps.iter().rposition(|step| stat(step).leads_terminal());
    leader.and_then(|at| steps.get(..=at)).unwrap_or(steps)
}

/// One process on the way up.
struct Step {
    stat: Stat,
    key: ProcessKey,
}

/// The process and all that started it, but for the first of the system. `None` if a step cannot be confirmed.
fn climb(own: Step, pidfd: &OwnedFd) -> Option<Vec<Step>> {
    let mut held = pidfd.try_clone().ok()?;
    let mut steps = vec![own];
    while steps.len() < STEPS {
        let child = steps.last()?;
        let parent = child.stat.parent;
        if parent <= 1 {
            break;
        }
        let next = pidfd_open(Pid::from_raw(parent)?, PidfdFlags::empty()).ok()?;
        let step = Step { stat: Stat::read(parent)?, key: key(&next, parent)? };
        let again = Stat::read(child.stat.pid)?;
        if again.parent != parent || !is_alive(&held) {
            return None;
        }
        steps.push(step);
        held = next;
    }
    Some(steps)
}

/// How this process is told from others.
fn key(pidfd: &OwnedFd, pid: i32) -> Option<ProcessKey> {
    let kind = rustix::fs::fstatfs(pidfd.as_fd()).ok()?.f_type;
    if u64::try_from(kind).ok() == Some(PIDFS) {
        let inode = rustix::fs::fstat(pidfd.as_fd()).ok()?.st_ino;
        return Some(ProcessKey::Inode(inode));
    }
    Some(ProcessKey::Started(pid, Stat::read(pid)?.started))
}

/// What is used of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    pid: i32,
    comm: String,
    parent: i32,
    session: i32,
    terminal: u32,
    started: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&text(&directory_of(pid).join("stat"))?)
    }

    /// The name, in parentheses, may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (start, rest) = stat.rsplit_once(')')?;
        let (pid, comm) = start.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        Some(Self {
            pid: pid.trim().parse().ok()?,
            comm: comm.to_owned(),
            parent: i32::try_from(number(1)?).ok()?,
            session: i32::try_from(number(3)?).ok()?,
            // A device number of 32 bits, which is written as a signed one.
            terminal: u32::try_from(number(4)? & 0xffff_ffff).ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    fn name(&self) -> String {
        printable(&self.comm, COMM)
    }

    /// Whether it leads a session with a pseudo terminal.
    fn leads_terminal(&self) -> bool {
        self.session == self.pid && self.terminal().is_some()
    }

    /// Its pseudo terminal, if it has one.
    fn terminal(&self) -> Option<String> {
        let (major, minor) =
            ((self.terminal >> 8) & 0xfff, (self.terminal & 0xff) | ((self.terminal >> 12) & 0xf_ff00));
        let first = *PSEUDO_TERMINALS.start();
        PSEUDO_TERMINALS.contains(&major).then(|| format!("pts/{}", (major - first) * 256 + minor))
    }
}

/// The session of a service or an app that has no terminal.
fn session_of_group(lines: &str) -> Option<Session> {
    let path = lines.lines().find_map(|line| line.strip_prefix("0::"))?;
    let unit = unit(lines)?;
    let is_session = unit.ends_with(".service") && !unit.starts_with("user@")
        || unit.starts_with("app-") && unit.ends_with(".scope");
    if !is_session || !is_unit(&unit) {
        return None;
    }
    // Up to the unit's own group: what it does below that is its own business.
    let end = path.find(&unit)? + unit.len();
    let group = path.get(..end)?;
    let inode = fs::metadata(Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'))).ok()?.ino();
    Some(Session { key: SessionKey::Group(group.to_owned(), inode), tty: None, leader: unit })
}

/// The program, script and directory of who asks, as far as they can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The program, as [`Lineage`] has it.
    pub program: Option<String>,
    /// The script that it runs.
    pub script: Option<String>,
    /// The directory that it is in.
    pub directory: Option<String>,
}

/// Looks for who asks among processes, from the nearest up.
#[derive(Default)]
struct Search {
    /// Who counts if there is nobody but shells and wrappers.
    last: Asker,
}

impl Search {
    /// Who asks, if this process tells.
    fn look_at(&mut self, stat: &Stat) -> Option<Asker> {
        let pid = stat.pid;
        let Some(program) = link(pid, "exe") else {
            // Not dumpable, as we are ourselves.
            return if is_own_name(&stat.comm) { None } else { Some(Asker::default()) };
        };
        if is_own_name(file_name(&program)) {
            return None;
        }
        let directory = link(pid, "cwd");
        let script = if interprets(&program) { script_of(pid, directory.as_deref()) } else { None };
        let name = file_name(&program);
        let only_starts = is_shell(&program) || WRAPPERS.contains(&name) || CARRIERS.contains(&name);
        let found = Asker { program: Some(program), script, directory };
        if !only_starts || found.script.is_some() {
            return Some(found);
        }
        self.last = found;
        None
    }

    /// Who asks, after these processes.
    fn through<'a>(mut self, stats: impl IntoIterator<Item = &'a Stat>) -> Asker {
        stats.into_iter().find_map(|stat| self.look_at(stat)).unwrap_or(self.last)
    }
}

fn is_own_name(name: &str) -> bool {
    name == "secretctl" || name.starts_with("secretctl-")
}

/// Where a link of `/proc/PID` leads, if that can be shown as it is.
fn link(pid: i32, name: &str) -> Option<String> {
    let target = fs::read_link(directory_of(pid).join(name)).ok()?;
    path(target.to_str()?)
}

/// An absolute path that can be shown as it is.
pub fn path(text: &str) -> Option<String> {
    let shown = printable::printable(text);
    (text.starts_with('/') && text.len() <= PATH && shown == text).then(|| text.to_owned())
}

/// The script that an interpreter was given: its first argument that is no option, if that is a file. Nothing else of the
/// arguments is looked at.
fn script_of(pid: i32, directory: Option<&str>) -> Option<String> {
    let arguments = text(&directory_of(pid).join("cmdline"))?;
    let script = script_in(&arguments)?;
    let whole = Path::new(directory.unwrap_or("/")).join(script);
    let whole = fs::canonicalize(whole).ok().filter(|path| path.is_file())?;
    path(whole.to_str()?)
}

/// The first argument that is no option, unless an option says that the program itself is an argument, or may have this
/// argument for its own, as `--rcfile` has.
fn script_in(arguments: &str) -> Option<&str> {
    let mut may_take_next = false;
    for argument in arguments.split('\0').skip(1) {
        let is_program = |option: &str| {
            ["--eval", "--print", "--command", "-"].contains(&option)
                || option.len() >= 2
                    && !option.starts_with("--")
                    && option
                        .chars()
                        .skip(1)
                        .any(|letter| ['c', 'e', 'm', 'E', 'p', 'r', 's'].contains(&letter))
        };
        if argument.starts_with('-') {
            if is_program(argument) {
                return None;
            }
            may_take_next = argument.starts_with("--") && !argument.contains('=');
        } else {
            return Some(argument).filter(|argument| !argument.is_empty() && !may_take_next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_stat_is_read_past_any_name() {
        let stat = "7 (a) R 1 (b) ) S 3 7 5 34819 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";
        let read = Stat::parse(stat).unwrap();
        assert_eq!((read.pid, read.parent, read.session, read.started), (7, 3, 5, 4242));
        assert_eq!(read.comm, "a) R 1 (b) ");
        assert_eq!(read.terminal().as_deref(), Some("pts/3"));
        for (device, terminal) in
            [(0, None), (1_025, None), (34_816, Some("pts/0")), (35_072, Some("pts/256"))]
        {
            let stat = Stat { terminal: device, ..read.clone() };
            assert_eq!(stat.terminal().as_deref(), terminal, "{device}");
        }
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[test]
    fn what_runs_anything_is_known_by_its_name() {
        for program in [
            "/bin/sh",
            "/usr/bin/python3.11",
            "/opt/node",
            "/usr/bin/bash",
            "/usr/bin/perl5.36",
            "/x/bash (deleted)",
            "/usr/bin/env",
            "/usr/bin/timeout",
            "/usr/bin/xargs",
            "/usr/bin/sudo",
            "/usr/bin/gawk",
            "/usr/bin/luajit",
            "/usr/bin/julia",
            "/usr/bin/expect",
            "/usr/bin/make",
            "/usr/bin/npx",
            "/usr/bin/uvx",
            "/usr/bin/find",
            "/usr/bin/ipython3",
            "/usr/bin/gdb",
            "/usr/bin/vim.basic",
            "/usr/bin/npm",
            "/usr/bin/yarn",
            "/usr/bin/pnpm",
            "/usr/bin/nix",
            "/usr/bin/docker",
            "/usr/bin/podman",
            "/usr/bin/git",
            "/usr/bin/ssh",
            "/usr/bin/cargo",
            "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            "/usr/bin/qemu-x86_64",
        ] {
            assert!(runs_anything(program), "{program}");
        }
        for program in ["/usr/bin/curl", "/opt/deploy", "/opt/pythonic", "/usr/bin/psql2csv"] {
            assert!(!runs_anything(program), "{program}");
        }
    }

    #[test]
    fn a_script_is_the_first_argument_and_no_program_text() {
        for (arguments, script) in [
            ("python3\0build.py\0x\0", Some("build.py")),
            ("python3\0-u\0build.py\0", Some("build.py")),
            ("python3\0-c\0print(1)\0", None),
            ("python3\0-m\0http.server\0", None),
            ("bash\0-lc\0x\0", None),
            ("bash\0--rcfile\0settings\0", None),
            ("bash\0--norc\0-x\0build.sh\0", Some("build.sh")),
            ("node\0--enable-source-maps=1\0build.js\0", Some("build.js")),
            ("node\0", None),
            ("bash\0", None),
        ] {
            assert_eq!(script_in(arguments), script, "{arguments:?}");
        }
    }

    #[test]
    fn only_paths_that_can_be_shown_as_they_are_are_told() {
        assert_eq!(path("/usr/bin/npm").as_deref(), Some("/usr/bin/npm"));
        for odd in ["npm", "/a\u{1b}[2J", "/a\u{202e}b", "/a\nb", ""] {
            assert_eq!(path(odd), None);
        }
        assert_eq!(path(&format!("/{}", "a".repeat(PATH))), None);
    }

    #[test]
    fn the_living_have_a_lineage_and_the_dead_have_none() {
        let id = rustix::process::getpid();
        let own = of(id.as_raw_nonzero().get(), &pidfd_open(id, PidfdFlags::empty()).unwrap()).unwrap();
        let Lineage { program, script, directory, .. } = own.clone();
        assert_eq!(super::own(), Some(Asker { program, script, directory }));
        assert_eq!(own.program.as_deref(), std::env::current_exe().unwrap().to_str());
        assert!(!own.chain.is_empty() && own.chain.len() <= CHAIN + 1);
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let raw = pid.as_raw_nonzero().get();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let found = of(raw, &pidfd).unwrap();
        assert_ne!(found.process, own.process);
        assert_eq!(found.session, own.session);
        child.kill().unwrap();
        while is_alive(&pidfd) {
            std::thread::yield_now();
        }
        assert_eq!(of(raw, &pidfd), None);
        child.wait().unwrap();
    }
}
