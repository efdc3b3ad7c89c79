//! Asking a person on `/dev/tty`, so that stdin and stdout stay what they are. Nothing typed in secret is
//! shown, and a question gets one line or none: the rest of a paste must reach neither us nor the shell.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use secrets_proto::{SecretValue, SensitiveString};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::terminal::{self, Quiet};

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
    #[error("cancelled")]
    Cancelled,
    /// Typed keys that a line of text cannot hold, such as a tab.
    #[error("the input has a tab or another control character")]
    Unprintable,
    /// More than one line came at once.
    #[error("more than one line was pasted")]
    SeveralLines,
    /// The terminal failed.
    #[error("cannot read from the terminal: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// What to tell: what happened, that `undone`, and, where it helps, what to do `instead`.
    pub(crate) fn told(&self, undone: &str, instead: &str) -> String {
        match self {
            Self::NoTerminal => format!("{self}; {instead}"),
            Self::Unprintable | Self::SeveralLines => format!("{self}; {undone}; {instead}"),
            Self::Interrupted | Self::Cancelled | Self::Io(_) => format!("{self}; {undone}"),
        }
    }
}

impl Error {
    /// The command's end: locked and nobody to ask where there is no terminal, given up otherwise.
    pub(crate) fn into_failure(self, undone: &str, instead: &str) -> Failure {
        let exit = if matches!(self, Self::NoTerminal) { Exit::Locked } else { Exit::Other };
        Failure::new(exit, self.told(undone, instead))
    }
}

/// Keys of one paste arrive closer together than this, those of a person do not.
const BURST: Duration = Duration::from_millis(40);

/// How long the rest of a paste is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes that a line may have and be an answer; one more says that it was too long.
const LIMIT: usize = SecretValue::MAX + 1;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_H: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const CTRL_Z: u8 = 0x1a;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// Asks for a line that is not shown.
pub(crate) fn hidden(question: &str) -> Result<SensitiveString, Error> {
    let tty = terminal::open().ok_or(Error::NoTerminal)?;
    let quiet = Quiet::ask(&tty, question)?;
    let result = read_line(&tty);
    drop(quiet);
    (&tty).write_all(b"\n")?;
    if matches!(result, Err(Error::Interrupted)) {
        terminal::interrupt();
    }
    result
}

/// Shows nothing of what is typed until dropped: for the time in which an answer is being checked.
pub(crate) fn silence() -> Option<Quiet> {
    Quiet::hold(&terminal::open()?).ok()
}

/// Asks a question that only `y` or `yes` answers with yes.
pub(crate) fn confirm(question: &str) -> Result<bool, Error> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks a question whose answer is shown.
pub(crate) fn line(question: &str) -> Result<String, Error> {
    let tty = terminal::open().ok_or(Error::NoTerminal)?;
    terminal::forget_typed(&tty);
    (&tty).write_all(question.as_bytes())?;
    let mut line = String::new();
    BufReader::new((&tty).take(256)).read_line(&mut line)?;
    terminal::forget_typed(&tty);
    Ok(line.trim().to_owned())
}

/// Where keys come from.
trait Keys {
    /// The next one; none if there will be no more.
    fn next(&mut self) -> io::Result<Option<u8>>;
    /// Whether another one comes within this time.
    fn more(&mut self, within: Duration) -> bool;
}

impl Keys for &File {
    fn next(&mut self) -> io::Result<Option<u8>> {
        let mut key = Zeroizing::new([0]);
        loop {
            match self.read(&mut *key) {
                Ok(count) => return Ok((count == 1).then(|| key.first().copied()).flatten()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn more(&mut self, within: Duration) -> bool {
        let within = Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
        matches!(poll(&mut [PollFd::new(*self, PollFlags::IN)], Some(&within)), Ok(1..))
    }
}

fn read_line(mut keys: impl Keys) -> Result<SensitiveString, Error> {
    let mut line = Line::new();
    while let Some(key) = keys.next()? {
        if terminal::continued() {
            line.start_again();
        }
        match line.press(key) {
            Pressed::Goes => {}
            Pressed::Suspends => terminal::suspend(),
            Pressed::Fails(error) => return Err(error),
            Pressed::Ends if drain(&mut keys)? => return Err(Error::SeveralLines),
            Pressed::Ends => return line.finish(),
        }
    }
    Err(Error::Cancelled)
}

/// Takes what comes right behind a line; whether that was more than the line's end.
fn drain(keys: &mut impl Keys) -> Result<bool, Error> {
    let end = Instant::now() + PATIENCE;
    let mut several = false;
    while Instant::now() < end && keys.more(BURST) {
        let Some(key) = keys.next()? else { break };
        several |= !is_enter(key);
    }
    Ok(several)
}

/// What a key does to the line.
#[derive(Debug)]
enum Pressed {
    Goes,
    Ends,
    Suspends,
    Fails(Error),
}

/// Where in a terminal's sequence of bytes we are; arrows, function keys and the marks of a paste are such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    None,
    Escape,
    Single,
    Parameters(u32),
}

/// A line that is being typed, in a buffer that never grows, so that no copy is left behind.
struct Line {
    text: Zeroizing<Vec<u8>>,
    sequence: Sequence,
    pasting: bool,
    /// A paste had a line's end: fine as its last character, and only there.
    ended: bool,
    several: bool,
    unprintable: bool,
}

impl Line {
    fn new() -> Self {
        Self {
            text: Zeroizing::new(Vec::with_capacity(LIMIT)),
            sequence: Sequence::None,
            pasting: false,
            ended: false,
            several: false,
            unprintable: false,
        }
    }

    fn start_again(&mut self) {
        *self = Self::new();
    }

    fn press(&mut self, key: u8) -> Pressed {
        let before = std::mem::replace(&mut self.sequence, Sequence::None);
        match (before, key) {
            (_, CTRL_C) => return Pressed::Fails(Error::Interrupted),
            (_, ESCAPE) => self.sequence = Sequence::Escape,
            (Sequence::Escape, b'[') => self.sequence = Sequence::Parameters(0),
            (Sequence::Escape, b'O') => self.sequence = Sequence::Single,
            // Alt and a key, or the last byte of a sequence: nothing that belongs in a line.
            (Sequence::Escape | Sequence::Single, 0x20..) => {}
            (Sequence::Parameters(number), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u32::from(key - b'0'));
                self.sequence = Sequence::Parameters(number);
            }
            (Sequence::Parameters(_), 0x20..=0x3f) => self.sequence = Sequence::Parameters(0),
            (Sequence::Parameters(200), b'~') => self.pasting = true,
            (Sequence::Parameters(201), b'~') => {
                self.pasting = false;
                if self.several {
                    return Pressed::Fails(Error::SeveralLines);
                }
            }
            (Sequence::Parameters(_), 0x40..) => {}
            (_, b'\r' | b'\n') if self.pasting => self.ended = true,
            (_, b'\r' | b'\n') if self.several => return Pressed::Fails(Error::SeveralLines),
            (_, b'\r' | b'\n') => return Pressed::Ends,
            (_, key) => return self.edit(key),
        }
        Pressed::Goes
    }

    fn edit(&mut self, key: u8) -> Pressed {
        match key {
            CTRL_D if self.text.is_empty() => return Pressed::Fails(Error::Cancelled),
            CTRL_D => {}
            CTRL_Z => return Pressed::Suspends,
            CTRL_U => self.start_again(),
            CTRL_H | DELETE => self.erase(),
            CTRL_W => {
                let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
                while is_space(self.text.last()) {
                    self.erase();
                }
                while !self.text.is_empty() && !is_space(self.text.last()) {
                    self.erase();
                }
            }
            0x20.. => {
                self.several |= self.ended;
                if self.text.len() < LIMIT {
                    self.text.push(key);
                }
            }
            _ => self.unprintable = true,
        }
        Pressed::Goes
    }

    /// Takes the last character away, all its bytes.
    fn erase(&mut self) {
        while self.text.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
    }

    fn finish(mut self) -> Result<SensitiveString, Error> {
        if self.unprintable {
            return Err(Error::Unprintable);
        }
        match String::from_utf8(std::mem::take(&mut *self.text)) {
            Ok(text) => Ok(SensitiveString::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(Error::Unprintable)
            }
        }
    }
}

fn is_enter(key: u8) -> bool {
    matches!(key, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Keys that all come at once.
    struct Burst(VecDeque<u8>);

    impl Keys for Burst {
        fn next(&mut self) -> io::Result<Option<u8>> {
            Ok(self.0.pop_front())
        }

        fn more(&mut self, _: Duration) -> bool {
            !self.0.is_empty()
        }
    }

    fn typed(keys: impl AsRef<[u8]>) -> Result<String, Error> {
        read_line(Burst(keys.as_ref().to_vec().into())).map(|line| line.expose().to_owned())
    }

    #[test]
    fn reads_one_line_and_edits_it() {
        assert_eq!(typed("secret\n").unwrap(), "secret");
        assert_eq!(typed("sécré\x7fet\r").unwrap(), "sécret");
        assert_eq!(typed("wrong\x15right\n").unwrap(), "right");
        assert_eq!(typed("two words \x17\x7f\n").unwrap(), "two");
        assert_eq!(typed("a\x1b[A\x1b[1;5Cb\x1bOPc\x1bxd\n").unwrap(), "abcd");
        let long = "x".repeat(20_000);
        assert_eq!(typed(format!("{long}\n")).unwrap(), long);
        assert_eq!(typed("\n").unwrap(), "");
    }

    #[test]
    fn a_paste_of_one_line_is_that_line() {
        assert_eq!(typed("\x1b[200~pasted\x1b[201~\n").unwrap(), "pasted");
        // Copying a whole line takes its end along.
        assert_eq!(typed("\x1b[200~pasted\r\x1b[201~\r").unwrap(), "pasted");
        assert_eq!(typed("pasted\r\n").unwrap(), "pasted");
    }

    #[test]
    fn a_paste_of_several_lines_is_refused_and_none_of_it_is_left() {
        for pasted in
            ["one\ntwo\n", "one\n\ntwo", "\x1b[200~one\rtwo\x1b[201~", "\x1b[200~\rone\x1b[201~", "\n#two"]
        {
            let mut keys = Burst(pasted.bytes().collect());
            struct Borrowed<'a>(&'a mut Burst);
            impl Keys for Borrowed<'_> {
                fn next(&mut self) -> io::Result<Option<u8>> {
                    self.0.next()
                }
                fn more(&mut self, within: Duration) -> bool {
                    self.0.more(within)
                }
            }
            let result = read_line(Borrowed(&mut keys));
            assert!(matches!(result, Err(Error::SeveralLines)), "{pasted:?}");
            assert!(keys.0.is_empty(), "{pasted:?}");
        }
        // The mark of the end may be long in coming; until then nothing has ended.
        assert!(matches!(typed("\x1b[200~one\rtwo\r"), Err(Error::Cancelled)));
    }

    #[test]
    fn ctrl_c_and_an_empty_ctrl_d_give_up() {
        assert!(matches!(typed("abc\x03"), Err(Error::Interrupted)));
        assert!(matches!(typed("\x04"), Err(Error::Cancelled)));
        assert_eq!(typed("abc\x04d\n").unwrap(), "abcd");
    }

    #[test]
    fn what_is_no_text_is_refused_and_not_dropped() {
        assert!(matches!(typed("a\tb\n"), Err(Error::Unprintable)));
        assert!(matches!(typed(b"a\xffb\n"), Err(Error::Unprintable)));
    }
}
