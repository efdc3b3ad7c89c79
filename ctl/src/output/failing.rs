//! How a failure is told: in one line for logs and programs; at a terminal what to do has a line of its own, where it is
//! found at once.

use std::io::{self, IsTerminal};

use secrets_proto::printable::{printable, without_numbers};

use super::waiting::{say, say_below};
use crate::environment;
use crate::globals::Colour;

/// What stands before a command of ours in a message.
const BEFORE: [&str; 2] = [": secretctl", ": secretsd"];

/// What stands before a command that is not ours.
const RUN: &str = "run: ";

/// Words of a command line that stand for what only its reader knows: such a line cannot be pasted as it is.
const STAND_INS: [&str; 17] = [
    "NAME", "FILE", "COMMAND", "CMD", "SELECTOR", "TIME", "ID", "DIR", "SESSION", "HOST", "DURATION", "GLOB",
    "PROVIDER", "TEXT", "RULE", "VERSION", "STORE",
];

/// Tells why a command failed, as its last word.
pub(crate) fn fail(message: &str, colour: Colour) {
    let is_terminal = io::stderr().is_terminal();
    let message = &*without_numbers(message);
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

/// What is wrong; `see`, `fix` or `write`; and the command for it, if the message ends with one. What is behind `fix` can be
/// pasted as it is; behind `write` are words to be replaced.
fn parted(message: &str) -> Option<(&str, &'static str, &str)> {
    let (end, start) = [("; ", 0), ("? ", 1)]
        .iter()
        .filter_map(|(mark, kept)| message.rfind(mark).map(|at| (at + kept, at + mark.len())))
        .max()?;
    let (what, rest) = (message.get(..end)?, message.get(start..)?);
    if let Some(command) = rest.strip_prefix(RUN) {
        return Some((what, label(command), command));
    }
    let (at, _) = BEFORE.iter().find_map(|before| rest.find(before).map(|at| (at, before)))?;
    let (lead, command) = (rest.get(..at)?, rest.get(at + 2..)?);
    if lead == "see" {
        return Some((what, "see", command));
    }
    // The rest of a sentence stays before it: what the command is good for, or what else could be done, or before.
    let is_plain = lead == "write" || lead.ends_with(" with") && !lead.contains(',');
    let what = if is_plain { what } else { message.get(..start + at)? };
    Some((what, label(command), command))
}

fn label(command: &str) -> &'static str {
    let has_stand_in = command.split_whitespace().any(|word| STAND_INS.contains(&word));
    if has_stand_in { "write" } else { "fix" }
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
            ("no; a; if lost: secretctl unlock", ("no; a; if lost", "fix", "secretctl unlock")),
            ("no; write: secretctl run -s NAME", ("no", "write", "secretctl run -s NAME")),
            ("no; start it with: secretsd --socket s", ("no", "fix", "secretsd --socket s")),
            ("no; look, then do it with: secretctl x", ("no; look, then do it with", "fix", "secretctl x")),
        ] {
            assert_eq!(parted(message), Some(expected));
        }
        for message in ["no", "no; a file has no name", "secretctl: no", "a: secretctl list", "x; secretctl"]
        {
            assert_eq!(parted(message), None, "{message}");
        }
    }
}
