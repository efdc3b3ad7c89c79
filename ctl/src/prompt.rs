//! Asking a person on `/dev/tty`, so that stdin and stdout stay what they are. Nothing typed in secret is
//! shown, and the terminal is as it was afterwards, also when the answer is Ctrl-C.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use rpassword::ConfigBuilder;
use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use secrets_proto::SensitiveString;

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no terminal, or it is not ours to read from.
    #[error("there is no terminal to ask on")]
    NoTerminal,
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The person pressed Ctrl-D instead of answering.
    #[error("nothing was entered")]
    Cancelled,
    /// Typed keys that a line of text cannot hold, such as a tab.
    #[error("a typed value cannot hold control characters; use --value-file or pipe it in")]
    Unprintable,
    /// The terminal failed.
    #[error("cannot read from the terminal: {0}")]
    Io(#[from] io::Error),
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const ESCAPE: u8 = 27;

/// Asks for a line that is not shown.
pub(crate) fn hidden(question: &str) -> Result<SensitiveString, Error> {
    let tty = open()?;
    let result = {
        let _quiet = Quiet::enter(&tty)?;
        (&tty).write_all(question.as_bytes())?;
        read_line(tty.try_clone()?)
    };
    (&tty).write_all(b"\n")?;
    if matches!(result, Err(Error::Interrupted)) {
        // The terminal is restored; now do what the key means.
        let _ = kill_process(getpid(), Signal::INT);
    }
    result
}

/// Asks a question that only `y` or `yes` answers with yes.
pub(crate) fn confirm(question: &str) -> Result<bool, Error> {
    let mut tty = open()?;
    tty.write_all(format!("{question} [y/N] ").as_bytes())?;
    let mut line = String::new();
    BufReader::new(tty.take(256)).read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks a question whose answer is shown.
pub(crate) fn line(question: &str) -> Result<String, Error> {
    let mut tty = open()?;
    tty.write_all(question.as_bytes())?;
    let mut line = String::new();
    BufReader::new(tty.take(256)).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// The terminal, if we are in its foreground: in the background, reading would stop us instead of asking.
fn open() -> Result<File, Error> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| Error::NoTerminal)?;
    let foreground = tcgetpgrp(tty.as_fd()).map_err(|_| Error::NoTerminal)?;
    if foreground == getpgrp() { Ok(tty) } else { Err(Error::NoTerminal) }
}

fn read_line(input: impl Read + 'static) -> Result<SensitiveString, Error> {
    let seen = Rc::new(Cell::new(Seen::default()));
    let keys = Keys { input, seen: Rc::clone(&seen) };
    let config = ConfigBuilder::new().input_reader(keys).output_discard().build();
    // Wrapped at once, so that it is wiped whatever is decided about it.
    let line = rpassword::read_password_with_config(config).map(SensitiveString::new);
    let Seen { interrupted, cancelled, unprintable, .. } = seen.get();
    if interrupted {
        return Err(Error::Interrupted);
    }
    if cancelled {
        return Err(Error::Cancelled);
    }
    if unprintable {
        return Err(Error::Unprintable);
    }
    Ok(line?)
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    interrupted: bool,
    cancelled: bool,
    unprintable: bool,
    any: bool,
}

/// Looks at each key before rpassword edits the line: it would drop control characters without a word, and
/// would raise the signal for Ctrl-C before the terminal is restored.
struct Keys<R> {
    input: R,
    seen: Rc<Cell<Seen>>,
}

impl<R: Read> Read for Keys<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(slot) = buffer.get_mut(..1) else { return Ok(0) };
        if self.input.read(slot)? == 0 {
            return Ok(0);
        }
        let key = slot.first().copied().unwrap_or_default();
        let mut seen = self.seen.get();
        let at_start = !seen.any;
        seen.any = true;
        // Backspace, Ctrl-U and Ctrl-W edit; an escape begins what arrows and pasting send.
        let edits = matches!(key, b'\n' | b'\r' | 8 | 0x15 | 0x17 | ESCAPE);
        seen.interrupted |= key == CTRL_C;
        seen.cancelled |= key == CTRL_D && at_start;
        seen.unprintable |= key < 0x20 && key != CTRL_D && !edits;
        self.seen.set(seen);
        if seen.interrupted || seen.cancelled {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        Ok(1)
    }
}

/// A terminal that shows nothing and passes each key on, until dropped.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn enter(tty: &'a File) -> Result<Self, Error> {
        let before = tcgetattr(tty).map_err(io::Error::from)?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Flush: what was typed before the question was not meant as its answer.
        tcsetattr(tty, OptionalActions::Flush, &quiet).map_err(io::Error::from)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn typed(keys: &str) -> Result<String, Error> {
        read_line(Cursor::new(keys.as_bytes().to_vec())).map(|line| line.expose().to_owned())
    }

    #[test]
    fn reads_one_line_and_edits_it() {
        assert_eq!(typed("secret\nrest").unwrap(), "secret");
        assert_eq!(typed("sécrex\x7ft\r").unwrap(), "sécret");
        assert_eq!(typed("wrong\x15right\n").unwrap(), "right");
        assert_eq!(typed("\x1b[200~pasted\x1b[201~\n").unwrap(), "pasted");
        let long = "x".repeat(20_000);
        assert_eq!(typed(&format!("{long}\n")).unwrap(), long);
    }

    #[test]
    fn ctrl_c_and_an_empty_ctrl_d_give_up() {
        assert!(matches!(typed("abc\x03"), Err(Error::Interrupted)));
        assert!(matches!(typed("\x04"), Err(Error::Cancelled)));
    }

    #[test]
    fn a_tab_is_refused_and_not_dropped() {
        assert!(matches!(typed("a\tb\n"), Err(Error::Unprintable)));
    }
}
