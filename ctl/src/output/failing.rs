//! How a failure is told: in one line for logs and programs; at a terminal what to do has a line of its own, where it is
//! found at once.

use std::io::{self, IsTerminal};

use secrets_proto::printable::printable;

use super::waiting::{say, say_below};
use crate::environment;
use crate::globals::Colour;

/// What stands before a command of ours in a message.
const BEFORE: &str = ": secretctl";

/// What stands before a command that is not ours.
const RUN: &str = "run: ";

/// Tells why a command failed, as its last word.
pub(crate) fn fail(message: &str, colour: Colour) {
    let is_terminal = io::stderr().is_terminal();
    let Some((what, label, cure)) = parted(message).filter(|_| is_terminal) else { return say(message) };
    let is_coloured = match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => !environment::no_colour(),
    };
    say(what);
    let label = if is_coloured { format!("\x1b[1;32m{label}:\x1b[0m") } else { format!("{label}:") };
    say_below(&format!("{label} {}", printable(cure)));
}

/// What is wrong; `see` or `fix`; and what to do about it, if the message ends with a command for that.
fn parted(message: &str) -> Option<(&str, &'static str, &str)> {
    let (end, start) = [("; ", 0), ("? ", 1)]
        .iter()
        .filter_map(|(mark, kept)| message.rfind(mark).map(|at| (at + kept, at + mark.len())))
        .max()?;
    let (what, rest) = (message.get(..end)?, message.get(start..)?);
    if let Some(command) = rest.strip_prefix(RUN) {
        return Some((what, "fix", command));
    }
    let (lead, _) = rest.split_once(BEFORE)?;
    let command = rest.get(lead.len() + 2..)?;
    // The rest of a sentence, such as what the command is good for, stays.
    let is_plain = matches!(lead, "see" | "write") || lead.ends_with(" with");
    let label = if lead == "see" { "see" } else { "fix" };
    Some((what, label, if is_plain { command } else { rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_told_apart() {
        for (message, expected) in [
            ("no vault; create it with: secretctl init", ("no vault", "fix", "secretctl init")),
            ("no such secret: A; see: secretctl list", ("no such secret: A", "see", "secretctl list")),
            ("wrong; did you mean run? see: secretctl", ("wrong; did you mean run?", "see", "secretctl")),
            ("X is not set; run: export X=/run", ("X is not set", "fix", "export X=/run")),
            ("no; a; if lost: secretctl unlock", ("no; a", "fix", "if lost: secretctl unlock")),
        ] {
            assert_eq!(parted(message), Some(expected));
        }
        for message in ["no", "no; a file has no name", "secretctl: no", "a: secretctl list", "x; secretctl"]
        {
            assert_eq!(parted(message), None, "{message}");
        }
    }
}
