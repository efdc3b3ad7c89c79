//! Asking a person on `/dev/tty`, so that stdin and stdout stay what they are. Nothing typed in secret is
//! shown, and a question gets one line or none: the rest of a paste must reach neither us nor the shell.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use secrets_proto::SensitiveString;
use zeroize::Zeroizing;

use crate::output::wrapped_from;
use crate::terminal::{self, Quiet};
use crate::turn::{LOOK, Turn};

mod error;
mod line;

use line::{Line, Pressed};

pub(crate) use error::Error;

/// Keys of one paste arrive closer together than this, those of a person do not.
const BURST: Duration = Duration::from_millis(40);

/// Who has typed something goes on within this time.
const TYPING: Duration = Duration::from_secs(2);

/// How far the further lines of a question stand to the right.
const INDENT: usize = 2;

/// How long the rest of a paste is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the terminal for several questions, which other commands on it must not come between.
pub(crate) fn alone() -> Option<Turn> {
    alone_unless(&|| false)
}

/// Keeps the terminal as [`alone`] does, unless the questions become `needless` while it waits for others.
pub(crate) fn alone_unless(needless: &dyn Fn() -> bool) -> Option<Turn> {
    terminal::turn(needless)
}

/// Asks for a line that is not shown.
pub(crate) fn hidden(question: &str) -> Result<SensitiveString, Error> {
    hidden_unless(question, &|| false)?.ok_or(Error::Cancelled)
}

/// Asks for a line that is not shown, until it is `needless`: then there is none.
pub(crate) fn hidden_unless(
    question: &str,
    needless: &dyn Fn() -> bool,
) -> Result<Option<SensitiveString>, Error> {
    unseen(question, needless, |_| "")
}

/// Asks for a line of which nothing is shown but what `echo` makes of it.
fn unseen(
    question: &str,
    needless: &dyn Fn() -> bool,
    echo: fn(&str) -> &'static str,
) -> Result<Option<SensitiveString>, Error> {
    let Some(turn) = terminal::turn(needless) else { return Ok(None) };
    let tty = terminal::open().ok_or(Error::NoTerminal)?;
    let quiet = Quiet::ask(&tty, turn, &wrapped_from(0, question, columns(), INDENT))?;
    let result = read_line(Asking { tty: &tty, needless, typed: None });
    drop(quiet);
    let echo = result.as_ref().ok().and_then(Option::as_ref).map_or("", |line| echo(line.expose()));
    (&tty).write_all(format!("{echo}\n").as_bytes())?;
    if matches!(result, Err(Error::Interrupted)) {
        terminal::interrupt();
    }
    result
}

/// Shows nothing of what is typed until dropped: for the time in which an answer is being checked. Who asks on the
/// terminal meanwhile, if not we, does so already.
pub(crate) fn silence() -> Option<Quiet> {
    let turn = terminal::turn_now()?;
    Quiet::hold(&terminal::open()?, turn).ok()
}

/// Asks a question that only `y` or `yes` answers with yes.
pub(crate) fn confirm(question: &str) -> Result<bool, Error> {
    Ok(is_yes(&line(&format!("{question} [y/N] "))?))
}

/// Asks as [`confirm`] does, right behind a hidden line: of another answer than yes nothing is shown, because it may be
/// that line once more.
pub(crate) fn confirm_unseen(question: &str) -> Result<bool, Error> {
    let question = format!("{question} [y/N] ");
    let answer = unseen(&question, &|| false, |answer| if is_yes(answer) { "y" } else { "" })?;
    Ok(is_yes(answer.ok_or(Error::Cancelled)?.expose()))
}

/// Asks a question that an empty line answers with yes, too. Other words are no answer: it is asked again.
pub(crate) fn accept(question: &str) -> Result<bool, Error> {
    loop {
        let answer = line(&format!("{question} [Y/n] "))?;
        if answer.is_empty() || is_yes(&answer) {
            return Ok(true);
        }
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "n" | "no") {
            return Ok(false);
        }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Shows a line that belongs to no answer and goes to no pipe.
pub(crate) fn show(text: &SensitiveString) -> Result<(), Error> {
    let _turn = alone();
    let mut tty = terminal::open().ok_or(Error::NoTerminal)?;
    tty.write_all(text.expose().as_bytes())?;
    Ok(tty.write_all(b"\n")?)
}

/// Whether there is a terminal to ask on.
pub(crate) fn can_ask() -> bool {
    let _turn = alone();
    terminal::open().is_some()
}

/// How wide the terminal is that is asked on.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal::open()?).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Asks a question whose answer is shown.
pub(crate) fn line(question: &str) -> Result<String, Error> {
    line_unless(question, &|| false)?.ok_or(Error::Cancelled)
}

/// Asks a question whose answer is shown, until it is `needless`: then there is none.
pub(crate) fn line_unless(question: &str, needless: &dyn Fn() -> bool) -> Result<Option<String>, Error> {
    let Some(_turn) = alone_unless(needless) else { return Ok(None) };
    let tty = terminal::open().ok_or(Error::NoTerminal)?;
    let question = wrapped_from(0, question, columns(), INDENT);
    let ask = || {
        terminal::forget_typed(&tty);
        (&tty).write_all(question.as_bytes())
    };
    ask()?;
    while !(&tty).more(LOOK) {
        if terminal::continued() {
            if wait_again(&tty, needless)? {
                ask()?;
            }
        } else if needless() {
            terminal::forget_typed(&tty);
            (&tty).write_all(b"\n")?;
            return Ok(None);
        }
    }
    let mut line = String::new();
    BufReader::new((&tty).take(256)).read_line(&mut line)?;
    terminal::forget_typed(&tty);
    Ok(Some(line.trim().to_owned()))
}

/// After a stop: waits until the terminal is ours again. Gives whether there is still a question.
fn wait_again(tty: &File, needless: &dyn Fn() -> bool) -> Result<bool, Error> {
    loop {
        if let Some(is_needed) = terminal::ask_again(tty, needless)? {
            return Ok(is_needed);
        }
        if needless() {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
}

/// Where keys come from.
trait Keys {
    /// The next one; none if there will be no more.
    fn next(&mut self) -> io::Result<Option<u8>>;
    /// Whether another one comes within this time.
    fn more(&mut self, within: Duration) -> bool;
    /// Called when none has come for a while, and after a stop: whether to go on waiting.
    fn wait(&mut self, has_stopped: bool) -> Result<bool, Error>;
}

/// Keys of a terminal, for a question that may become needless.
struct Asking<'a> {
    tty: &'a File,
    needless: &'a dyn Fn() -> bool,
    typed: Option<Instant>,
}

impl Keys for Asking<'_> {
    fn next(&mut self) -> io::Result<Option<u8>> {
        self.typed = Some(Instant::now());
        self.tty.next()
    }

    fn more(&mut self, within: Duration) -> bool {
        self.tty.more(within)
    }

    fn wait(&mut self, has_stopped: bool) -> Result<bool, Error> {
        if has_stopped {
            return wait_again(self.tty, self.needless);
        }
        terminal::keep_quiet()?;
        // What somebody goes on typing would be shown, and taken by the shell.
        let is_typing = self.typed.is_some_and(|at| at.elapsed() < TYPING);
        Ok(is_typing || !(self.needless)())
    }
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

    fn wait(&mut self, _: bool) -> Result<bool, Error> {
        Ok(true)
    }
}

/// Gives none if the question became needless.
fn read_line(mut keys: impl Keys) -> Result<Option<SensitiveString>, Error> {
    let mut line = Line::new();
    loop {
        let is_more = keys.more(LOOK);
        // After it: what is typed then is for the question that was shown again.
        let has_stopped = terminal::continued();
        if has_stopped {
            line.start_again();
        }
        if has_stopped || !is_more {
            if !keys.wait(has_stopped)? {
                return Ok(None);
            }
            continue;
        }
        let Some(key) = keys.next()? else { return Err(Error::Cancelled) };
        match line.press(key) {
            Pressed::Goes => {}
            Pressed::Suspends => terminal::suspend(),
            Pressed::Fails(error) => return Err(error),
            Pressed::Ends if drain(&mut keys)? => return Err(Error::SeveralLines),
            Pressed::Ends => return line.finish().map(Some),
        }
    }
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
            true
        }

        fn wait(&mut self, _: bool) -> Result<bool, Error> {
            Ok(true)
        }
    }

    fn typed(keys: impl AsRef<[u8]>) -> Result<String, Error> {
        read_line(Burst(keys.as_ref().to_vec().into())).map(|line| line.unwrap().expose().to_owned())
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
                fn wait(&mut self, has_stopped: bool) -> Result<bool, Error> {
                    self.0.wait(has_stopped)
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
