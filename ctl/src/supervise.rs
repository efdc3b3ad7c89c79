//! Staying beside a command: signals are passed on, a command that stops stops us too, and its end is ours. It knows
//! no secret and no output.
//!
//! A command in our own process group gets from the terminal what we get; so only what somebody sent to us alone is
//! passed on to it, which the kernel tells apart (`si_code`, sigaction(2)).

use std::io;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_current_process_group, kill_process,
    kill_process_group, pidfd_open, pidfd_send_signal, waitpid,
};
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::ending;
use crate::job::{self, Job};

/// What is passed on: all that can be caught and would end or stop us, and what tells of a terminal's size. A file that
/// has become too large is no signal then but a write that fails.
const SIGNALS: [i32; 14] = [
    SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGTERM,
    SIGTSTP, SIGCONT, SIGWINCH,
];

/// What a terminal sends to all in its foreground. Other signals of the kernel, of a timer or a limit that was set
/// before we were started, or of a terminal that goes away, come to us alone.
const OF_TERMINAL: [i32; 4] = [SIGINT, SIGQUIT, SIGTSTP, SIGWINCH];

/// How often we look whether somebody has brought us to the foreground: a shell does not say so.
const LOOK: Duration = Duration::from_millis(200);

/// How long the output of a command that stops takes until it is shown.
const LAST_WORDS: Duration = Duration::from_millis(60);

/// Where the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside us, in our process group.
    Beside,
    /// On a terminal of its own, with our helper in between.
    Elsewhere,
    /// In a process group of its own, and we are that helper.
    Below,
    /// In a process group of its own, and we are its helper in a fence, which does not stop: nobody there would see it.
    Fenced,
}

/// How a command has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// With this exit status.
    Exit(u8),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// The end of a command that could not be watched to its end.
    const UNKNOWN: Self = Self::Exit(125);

    /// Ends us in the same way: a shell ends a loop, a list or a script after Ctrl-C only if what it waits for died of
    /// the signal.
    pub(crate) fn follow(self) -> ! {
        match self {
            Self::Exit(status) => std::process::exit(status.into()),
            Self::Signal(number) => ending::die_of(number),
        }
    }
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal, and whether the kernel sent it, as it does for the terminal.
    Signal { number: i32, is_from_kernel: bool },
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command has ended.
    Ended(End),
    /// A stream has ended, or nobody reads it any more.
    StreamEnded,
}

/// What has to be done with a terminal while a command runs; by default nothing.
pub(crate) trait Terminal {
    /// Makes it the command's, if it is ours to give.
    fn take(&mut self) {}
    /// Makes it what it was.
    fn give_back(&mut self) {}
    /// Called when this signal has stopped the command; whether the command has now what it was stopped for, so that it
    /// can go on.
    fn lend(&mut self, _signal: i32) -> bool {
        false
    }
    /// Whether it was not ours to give.
    fn is_waiting(&self) -> bool {
        false
    }
    /// Called when the size of our terminal has changed.
    fn resize(&mut self) {}
}

impl Terminal for () {}

/// What watches over a command.
#[derive(Debug)]
pub(crate) struct Supervisor {
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Supervisor {
    /// Catches signals from here on, so that none is lost.
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, events) = mpsc::channel();
        let ignored = job::ignored_signals();
        // What was ignored stays so, for the command too: it would inherit our handler as the default.
        let caught = SIGNALS.iter().filter(|number| ignored >> (**number - 1) & 1 == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(caught)?;
        let to = sender.clone();
        let own = getpid().as_raw_pid();
        thread::Builder::new().spawn(move || {
            for origin in signals.forever() {
                if origin.process.as_ref().is_some_and(|process| process.pid == own) {
                    continue;
                }
                let is_from_kernel = matches!(origin.cause, Cause::Kernel);
                let _ = to.send(Event::Signal { number: origin.signal, is_from_kernel });
            }
        })?;
        Ok(Self { events, sender })
    }

    /// Where others report events.
    pub(crate) fn reporter(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Starts the command.
    pub(crate) fn start(&self, command: &mut Command, place: Place) -> io::Result<Watched> {
        let early: Vec<Event> = self.events.try_iter().collect();
        let child = command.spawn();
        for event in early {
            // The terminal could not send it to a command that there was not yet.
            let event = match event {
                Event::Signal { number, is_from_kernel } => {
                    Event::Signal { number, is_from_kernel: is_from_kernel && number == SIGWINCH }
                }
                Event::Stopped(_) | Event::Ended(_) | Event::StreamEnded => event,
            };
            let _ = self.sender.send(event);
        }
        let child = child?;
        let gone = || io::Error::other("the command has no process id");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        // Not reaped before the thread below does it, so that this is the process.
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let to = self.sender.clone();
        thread::Builder::new().spawn(move || watch(pid, &to))?;
        Ok(Watched { pid: Some(pid), handle, place })
    }

    /// Waits for the command's end and then for that many streams. Gives how the command ended.
    pub(crate) fn wait(
        &self,
        command: &Watched,
        terminal: &mut dyn Terminal,
        mut streams: usize,
        mut ended: impl FnMut(),
    ) -> End {
        let mut status = None;
        loop {
            if let (Some(status), 0) = (status, streams) {
                return status;
            }
            let event = match self.next(terminal.is_waiting()) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    terminal.take();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return status.unwrap_or(End::UNKNOWN),
            };
            match event {
                Event::Ended(how) => {
                    status = Some(how);
                    ended();
                }
                Event::Stopped(signal) if terminal.lend(signal) => command.resume(),
                Event::Stopped(_) => self.stop_too(command, terminal, streams > 0),
                Event::StreamEnded => streams = streams.saturating_sub(1),
                Event::Signal { number: SIGWINCH, is_from_kernel: true } => terminal.resize(),
                Event::Signal { number: SIGCONT, .. } => {
                    // Somebody has stopped us alone, and may have changed the terminal since.
                    terminal.resize();
                    terminal.take();
                    command.resume();
                }
                Event::Signal { number, is_from_kernel } => {
                    match status {
                        // Its output waits for somebody to read it; who wants us to end now is obeyed.
                        Some(status) if number != SIGWINCH && number != SIGTSTP => return status,
                        Some(_) => {}
                        None => command.pass_on(number, is_from_kernel),
                    }
                }
            }
        }
    }

    fn next(&self, is_waiting: bool) -> Result<Event, RecvTimeoutError> {
        if is_waiting {
            return self.events.recv_timeout(LOOK);
        }
        self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Stops us as the command has stopped, so that the shell notices; then both go on.
    fn stop_too(&self, command: &Watched, terminal: &mut dyn Terminal, has_streams: bool) {
        let is_kept = matches!(command.place, Place::Below | Place::Fenced)
            || Job::own().is_some_and(Job::is_kept_by_a_shell);
        if !is_kept {
            // Nobody would continue us. As the kernel does for a group without a shell: the stop is none.
            if command.place == Place::Elsewhere {
                command.resume();
            }
            return;
        }
        if has_streams {
            // What it has said shows before the shell says that it is stopped.
            thread::sleep(LAST_WORDS);
        }
        terminal.give_back();
        if command.place == Place::Elsewhere {
            // The rest of our pipeline, which the terminal would have stopped.
            let _ = kill_current_process_group(Signal::TSTP);
        }
        if command.place != Place::Fenced {
            let _ = kill_process(getpid(), Signal::STOP);
        }
        // Only a SIGCONT says that the stop is over: it may take effect later than the call returns.
        let mut later = Vec::new();
        while let Ok(event) = self.events.recv() {
            match event {
                Event::Signal { number: SIGCONT, .. } => break,
                Event::Signal { number: SIGTSTP, .. } | Event::Stopped(_) => {}
                Event::Signal { number, is_from_kernel } => command.pass_on(number, is_from_kernel),
                Event::Ended(_) => {
                    later.push(event);
                    break;
                }
                Event::StreamEnded => later.push(event),
            }
        }
        for event in later {
            let _ = self.sender.send(event);
        }
        terminal.resize();
        terminal.take();
        command.resume();
    }
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Watched {
    /// None if somebody else has started it.
    pid: Option<Pid>,
    handle: rustix::fd::OwnedFd,
    place: Place,
}

impl Watched {
    /// One that somebody else has started and reports on, with a helper in between, to which signals go.
    pub(crate) const fn by_helper(helper: rustix::fd::OwnedFd) -> Self {
        Self { pid: None, handle: helper, place: Place::Elsewhere }
    }

    /// The command's process, if we have started it; it leads its group if it has one of its own.
    pub(crate) const fn pid(&self) -> Option<Pid> {
        self.pid
    }

    fn pass_on(&self, number: i32, is_from_kernel: bool) {
        if self.place == Place::Beside && is_from_kernel && OF_TERMINAL.contains(&number) {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = pidfd_send_signal(&self.handle, signal);
        }
    }

    fn resume(&self) {
        let _ = match (self.place, self.pid) {
            (Place::Below | Place::Fenced, Some(pid)) => kill_process_group(pid, Signal::CONT),
            _ => pidfd_send_signal(&self.handle, Signal::CONT),
        };
    }
}

fn watch(pid: Pid, to: &Sender<Event>) {
    loop {
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                let _ = to.send(Event::Stopped(status.stopping_signal().unwrap_or(SIGSTOP)));
            }
            Ok(Some((_, status))) => {
                let _ = to.send(Event::Ended(end(status)));
                return;
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                let _ = to.send(Event::Ended(End::UNKNOWN));
                return;
            }
        }
    }
}

fn end(status: WaitStatus) -> End {
    match (status.terminating_signal(), status.exit_status().map(u8::try_from)) {
        (Some(signal), _) => End::Signal(signal),
        (None, Some(Ok(status))) => End::Exit(status),
        (None, _) => End::UNKNOWN,
    }
}
