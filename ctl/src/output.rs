//! The only module that writes to stdout and stderr: answers to the one, one-line messages to the other.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;

use secrets_local::wrapping;
use secrets_proto::printable::each;
use signal_hook::consts::SIGXFSZ;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::globals::{Colour, Globals};
use crate::{closed, environment};

mod failing;
mod stream;
mod text;
mod waiting;

use stream::write_all;

pub(crate) use failing::fail;
pub(crate) use secrets_local::wrapping::{width_of, wrapped, wrapped_from};
pub(crate) use secrets_proto::printable::in_one_line;
pub(crate) use secrets_proto::printable::printable;
pub(crate) use text::{cut, cut_beginning, folded};
pub(crate) use waiting::{Hidden, Waiting, say, say_more};

/// How to show things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Answers are for programs.
    pub(crate) json: bool,
    /// Answers are for eyes, on a terminal that wants colour.
    pub(crate) colour: bool,
}

impl Output {
    /// Decides about colour by the flags, the environment and stdout.
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
        return Err(Failure::new(Exit::Other, "cannot write to stdout: it is closed; redirect it"));
    }
    Ok(())
}

/// How many cells a line of the terminal has that stdout is.
pub(crate) fn columns() -> Option<usize> {
    wrapping::columns(io::stdout())
}

/// How many lines the terminal has that stdout is.
pub(crate) fn rows() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// A line of an answer for eyes: a title, padded to so many cells, and a text beside it, on as many lines of the terminal as
/// its words take.
pub(crate) fn titled(title: &str, cells: usize, text: &str) -> String {
    wrapping::titled(title, cells, &printable(text), columns())
}

/// Writes an answer, past the standard library's buffer: that one is not wiped.
pub(crate) fn answer(bytes: &[u8]) -> Result<(), Failure> {
    check_stdout()?;
    // Where a file may not become so large, the write fails and is told of, instead of a signal that ends us.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    write_all(io::stdout().as_fd(), bytes).map_err(|error| Failure::stdout(&error))
}

/// Writes an answer and ends its line.
pub(crate) fn answer_line(bytes: &[u8]) -> Result<(), Failure> {
    answer(bytes)?;
    answer(b"\n")
}

/// Shows help to somebody who did not ask for it.
pub(crate) fn show_help(text: &str) {
    let _ = write_all(io::stderr().as_fd(), text.as_bytes());
}

/// Writes JSON. What a person at a terminal would not see is written as `\u` escapes there, which mean the same.
pub(crate) fn answer_json(json: &[u8]) -> Result<(), Failure> {
    match std::str::from_utf8(json) {
        Ok(text) if stdout_is_terminal() => answer(visible_json(text).as_bytes()),
        _ => answer(json),
    }
}

/// Writes JSON as [`answer_json`] does, and ends the line.
pub(crate) fn answer_json_line(json: &[u8]) -> Result<(), Failure> {
    answer_json(json)?;
    answer(b"\n")
}

/// Outside of ASCII there are only characters of strings in JSON, which may as well be escaped.
fn visible_json(json: &str) -> Zeroizing<String> {
    // Never grows, so that no copy is left behind: the least bytes of what is escaped are one for six.
    let mut text = Zeroizing::new(String::with_capacity(json.len() * 6));
    for (character, shown) in each(json) {
        if character == shown || character == '\n' {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(*text, "\\u{unit:04x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\n\u{202e}c•é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c•é");
    }

    #[test]
    fn json_says_the_same_where_all_of_it_is_seen() {
        let value = "é\u{301}•日 \u{202e}\u{2066}\u{ad}\u{3164}\u{3000}\u{e0041}\u{7f}\u{301}";
        let json = serde_json::json!({ "note": value }).to_string();
        let shown = visible_json(&json);
        assert_eq!(
            *shown,
            "{\"note\":\"é\u{301}•日 \\u202e\\u2066\\u00ad\\u3164\\u3000\\udb40\\udc41\\u007f\\u0301\"}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["note"], value);
        assert_eq!(*visible_json("{\"a\": 1}\n{}\n"), "{\"a\": 1}\n{}\n");
    }
}
