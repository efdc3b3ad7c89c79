//! A terminal with a person at it: types keys, reads what is shown, and looks at whether typing is echoed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};

use crate::env::Env;
use crate::process::{self, DEADLINE};

type Screen = Arc<(Mutex<String>, Condvar)>;

/// A program on a terminal of its own. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    screen: Screen,
    read: usize,
}

impl Terminal {
    /// Runs `secretctl` with these arguments on a new terminal.
    pub fn ctl(env: &Env, arguments: &[&str]) -> Self {
        let client = env.programs().client;
        Self::run(env, &[&[client], arguments].concat())
    }

    /// Runs a program on a new terminal, whose session it leads.
    pub fn run(env: &Env, words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let noctty = OFlags::NOCTTY.bits().cast_signed();
        let slave = || OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&path).unwrap();
        // Ctrl-C means something, even if the program that started the tests ignores it, as a shell does for what it puts in the
        // background.
        let mut command: Command = env.command("env");
        command.args(["--default-signal", "setsid", "--ctty", "--wait"]).args(words).env("TERM", "xterm");
        // setsid forks only if it leads a group, which it does not, so that the process id is the program's.
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        drop(command);
        let master = File::from(master);
        let screen = Screen::default();
        watch(master.try_clone().unwrap().into(), Arc::clone(&screen));
        Self { master, child, screen, read: 0 }
    }

    /// The process id of the program's child, the last one if there are several.
    pub fn last_child(&self) -> u32 {
        *self.children().last().expect("there is no child")
    }

    /// The process ids of the program's children.
    pub fn children(&self) -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap();
        children.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// All modes and special keys of the terminal.
    pub fn modes(&self) -> String {
        format!("{:?}", tcgetattr(&self.master).unwrap())
    }

    /// Makes it this large.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        let (shown, changed) = &*self.screen;
        let mut shown = shown.lock().unwrap();
        loop {
            if let Some(at) = shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} is not shown after: {:?}", &shown[..]);
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Types these keys, again and again if need be, until this is shown.
    #[track_caller]
    pub fn wait_until(&mut self, text: &str, keys: &str) {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            self.type_keys(keys);
            let (shown, changed) = &*self.screen;
            let pause = Duration::from_millis(500);
            let waiting = |shown: &mut String| !shown[self.read..].contains(text);
            let (shown, _) = changed.wait_timeout_while(shown.lock().unwrap(), pause, waiting).unwrap();
            if shown[self.read..].contains(text) {
                break;
            }
        }
        self.wait_for(text);
    }

    /// Waits until typing is echoed, or no longer.
    #[track_caller]
    pub fn wait_for_echo(&self, wanted: bool) {
        let end = Instant::now() + DEADLINE;
        while self.echoes() != wanted {
            assert!(Instant::now() < end, "echo stays {}: {:?}", !wanted, self.shown());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The process group that keys like Ctrl-C go to.
    pub fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.master).ok()
    }

    /// Waits until this is so of the group that keys go to.
    #[track_caller]
    pub fn wait_for_foreground(&self, wanted: impl Fn(Option<Pid>) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !wanted(self.foreground()) {
            assert!(Instant::now() < end, "the foreground stays {:?}: {:?}", self.foreground(), self.shown());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether typing is echoed.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// All that was shown so far.
    pub fn shown(&self) -> String {
        self.screen.0.lock().unwrap().clone()
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        process::wait(&mut self.child, DEADLINE)
    }

    /// Waits for the program's end, which must be this exit code, and for what it showed last.
    #[track_caller]
    pub fn expect(&mut self, code: i32, last: &str) {
        self.wait_for(last);
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "{:?}", self.shown());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Keeps reading: a terminal that nobody reads stops those who write to it.
fn watch(master: OwnedFd, screen: Screen) {
    thread::spawn(move || {
        let mut master = File::from(master);
        let mut bytes = [0; 4096];
        // It fails once nobody has the other side open.
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            screen.0.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            screen.1.notify_all();
        }
    });
}
