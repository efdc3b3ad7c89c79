//! Which of a command's streams goes where when its output is masked: what is a terminal of ours is a terminal of the
//! command's, what is none is a pipe, so that the two stay apart. It knows no value.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use rustix::pipe::{PipeFlags, pipe_with};
use secrets_scrub::Forms;

use super::keyboard::{Beside, Keyboard};
use super::pty::Pty;
use super::pump::Pump;
use crate::supervise::{Event, Terminal};

/// Whether the command gets a terminal of its own in place of ours: only if nobody else in a pipeline uses ours.
pub(super) fn take_over() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The ends of a command's streams that are ours.
pub(super) struct Streams {
    pumps: Vec<Pump>,
    /// Where to say that the command has ended, by closing it.
    pub(super) end: OwnedFd,
    terminal: Option<Beside>,
    /// Why output was lost, if it was.
    pub(super) failure: Arc<OnceLock<io::Error>>,
}

/// The ends that are the command's.
pub(super) struct Ends {
    /// The command's standard input; `None` if it is ours.
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Ends {
    /// Makes them the command's streams.
    pub(super) fn give(&self, command: &mut Command) -> io::Result<()> {
        if let Some(stdin) = &self.stdin {
            command.stdin(stdin.try_clone()?);
        }
        command.stdout(self.stdout.try_clone()?).stderr(self.stderr.try_clone()?);
        Ok(())
    }
}

impl Streams {
    /// Makes both ends of a command's streams.
    pub(super) fn connect() -> io::Result<(Self, Ends)> {
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut streams = Self { pumps: Vec::new(), end, terminal: None, failure: Arc::default() };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let takes_over = take_over();
        let (stdout_to, stderr_to) =
            (stdout.as_fd().try_clone_to_owned()?, stderr.as_fd().try_clone_to_owned()?);
        let tty = [(&stdout_to, stdout.is_terminal()), (&stderr_to, stderr.is_terminal())]
            .into_iter()
            .find_map(|(tty, is_terminal)| is_terminal.then(|| tty.try_clone()));
        let mut slave = None;
        if let Some(tty) = tty.transpose()? {
            let pty = Pty::like(&tty, !takes_over)?;
            streams.pump(pty.master.try_clone()?, tty.try_clone()?, &ended, true)?;
            streams.terminal = Some(Beside { tty, master: pty.master });
            slave = Some(pty.slave);
        }
        let mut theirs = |to: OwnedFd, is_terminal: bool| match slave.as_ref().filter(|_| is_terminal) {
            Some(slave) => slave.try_clone(),
            None => {
                let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
                streams.pump(ours, to, &ended, false)?;
                Ok(theirs)
            }
        };
        let stdout = theirs(stdout_to, stdout.is_terminal())?;
        let stderr = theirs(stderr_to, stderr.is_terminal())?;
        Ok((streams, Ends { stdin: slave.filter(|_| takes_over), stdout, stderr }))
    }

    fn pump(&mut self, from: OwnedFd, to: OwnedFd, ended: &OwnedFd, is_terminal: bool) -> io::Result<()> {
        let failure = Arc::clone(&self.failure);
        self.pumps.push(Pump { from: File::from(from), to, ended: ended.try_clone()?, is_terminal, failure });
        Ok(())
    }

    /// What has to be done with our terminal.
    pub(super) fn terminal(&mut self) -> io::Result<Box<dyn Terminal>> {
        let Some(beside) = self.terminal.take() else { return Ok(Box::new(())) };
        // Where stdin is a terminal and stdout none, keys are read from stdin.
        if !io::stdout().is_terminal() {
            return Ok(Box::new(beside));
        }
        Ok(match Keyboard::new(&beside.master, &beside.tty, take_over())? {
            Some(keyboard) => Box::new(keyboard),
            None => Box::new(beside),
        })
    }

    /// Lets the output flow. Gives how many streams there are, and where to say that the command has ended.
    pub(super) fn flow(self, forms: Forms, reporter: &Sender<Event>) -> io::Result<(usize, OwnedFd)> {
        let forms = Arc::new(forms);
        let count = self.pumps.len();
        for pump in self.pumps {
            pump.start(&forms, reporter.clone())?;
        }
        Ok((count, self.end))
    }
}
