//! The only module that writes to stdout and stderr: answers to the one, one-line messages to the other.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::cli::{Colour, Globals};
use crate::failure::{Exit, Failure};
use crate::{closed, environment};

mod waiting;

pub(crate) use waiting::{Hidden, Waiting};

/// How to show things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Answers are for programs.
    pub(crate) json: bool,
    /// Answers are for eyes, on a terminal that wants colour.
    pub(crate) colour: bool,
}

impl Output {
    /// As the flags, the environment and stdout say.
    pub(crate) fn new(globals: &Globals) -> Self {
        let colour = match globals.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => stdout_is_terminal() && !environment::no_colour(),
        };
        Self { json: globals.json, colour }
    }
}

/// Whether a person sees what is written to stdout.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Fails if stdout was closed: for what is shown once, before it is made.
pub(crate) fn check_stdout() -> Result<(), Failure> {
    if closed::stdout_was_closed() {
        return Err(Failure::new(Exit::Other, "cannot write to stdout: it is closed; send it somewhere"));
    }
    Ok(())
}

/// Writes an answer, past the standard library's buffer: that one is not wiped.
pub(crate) fn answer(bytes: &[u8]) -> Result<(), Failure> {
    check_stdout()?;
    write_all(io::stdout().as_fd(), bytes).map_err(|error| Failure::stdout(&error))
}

/// Writes an answer and ends its line.
pub(crate) fn answer_line(bytes: &[u8]) -> Result<(), Failure> {
    answer(bytes)?;
    answer(b"\n")
}

/// Tells the user something, in one line. Nobody is left to hear that this failed.
pub(crate) fn say(message: &str) {
    let line = format!("secretctl: {}\n", printable(message));
    waiting::make_room();
    let _ = write_all(io::stderr().as_fd(), line.as_bytes());
}

/// Shows help to somebody who did not ask for it.
pub(crate) fn show_help(text: &str) {
    let _ = write_all(io::stderr().as_fd(), text.as_bytes());
}

/// Text in which nothing moves the cursor, ends the line or turns it around.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_safe = |c: char| !c.is_control() && !is_format(c);
    if text.chars().all(is_safe) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_safe(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn write_all(to: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    File::from(to.as_fd().try_clone_to_owned()?).write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\n\u{202e}c•é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c•é");
    }
}
