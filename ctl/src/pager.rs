//! Answers that are longer than the terminal, a screen at a time: by the program that `SECRETCTL_PAGER` or `PAGER` names, as a
//! shell reads it, or else by `less`, as git does. It is for tables and help, never for a value.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGQUIT};

use crate::failure::Failure;
use crate::job::Job;
use crate::output::{answer, columns, rows, stdout_is_terminal, width_of};
use crate::{ending, environment, spawn};

/// What a shell exits with that cannot execute a command, or does not find it (POSIX, "Exit Status for Commands").
const NOT_EXECUTED: [i32; 2] = [126, 127];

/// Writes an answer for eyes; through a pager if it is longer than the terminal.
pub(crate) fn answer_paged(text: &str) -> Result<(), Failure> {
    if is_long(text) && paged(text, &[]) { Ok(()) } else { answer(text.as_bytes()) }
}

/// Writes an answer as [`answer_paged`] does, of which the end is the newest: `less` begins there.
pub(crate) fn answer_paged_from_its_end(text: &str) -> Result<(), Failure> {
    if is_long(text) && paged(text, &["+G"]) { Ok(()) } else { answer(text.as_bytes()) }
}

/// Writes help; at a terminal with its headings in bold, and through a pager if it is long.
pub(crate) fn answer_help(text: &str) -> Result<(), Failure> {
    if !stdout_is_terminal() || environment::no_colour() {
        return answer_paged(text);
    }
    let bold = |line: &str| match line.split_once(':') {
        Some((head, rest))
            if line.starts_with(|c: char| c.is_ascii_uppercase()) && is_heading(head, rest) =>
        {
            format!("\x1b[1m{head}:\x1b[0m{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    answer_paged(&text.lines().map(bold).collect::<String>())
}

/// A line of its own, or the head of the line on usage; not a sentence with a colon.
fn is_heading(head: &str, rest: &str) -> bool {
    rest.trim().is_empty() && head.split(' ').count() <= 3 || head == "Usage"
}

/// Whether it takes more lines than the terminal has, of which the prompt needs one.
fn is_long(text: &str) -> bool {
    let (Some(rows), Some(columns)) = (rows(), columns()) else { return false };
    stdout_is_terminal() && lines(text, columns) >= rows
}

/// How many lines of a terminal a text takes. Sequences that mark it count as cells, which only makes it longer.
fn lines(text: &str, columns: usize) -> usize {
    text.lines().map(|line| width_of(line).div_ceil(columns).max(1)).sum()
}

/// Gives the text to the pager and waits for its end. Says whether it was shown.
fn paged(text: &str, for_less: &[&str]) -> bool {
    // In the background it would be stopped at its first key.
    if environment::plain_terminal() || !Job::own().is_some_and(Job::is_in_foreground) {
        return false;
    }
    let Some(mut command) = pager(for_less) else { return false };
    // Keys that end a program are for the pager, which we must not leave alone at the terminal.
    ending::leave_signals();
    for signal in [SIGINT, SIGQUIT] {
        let _ = signal_hook::flag::register(signal, Arc::default());
    }
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // One that is left before its end reads no more.
        let _ = stdin.write_all(text.as_bytes());
    }
    let code = child.wait().ok().and_then(|status| status.code());
    code.is_none_or(|code| !NOT_EXECUTED.contains(&code))
}

/// The pager; none if the user wants none, or there is none.
fn pager(for_less: &[&str]) -> Option<Command> {
    let mut command = match environment::pager() {
        Some(words) if words.is_empty() || words == "cat" => return None,
        Some(words) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(words);
            shell
        }
        None => {
            let mut less = Command::new(spawn::find("less", None, &environment::program_dirs())?);
            less.args(for_less);
            less
        }
    };
    command.env_clear().envs(environment::for_child(false));
    if environment::inherited("LESS").is_none() {
        // Ends at once if all fits, keeps colours, and leaves the text on the screen.
        command.env("LESS", "FRX");
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_wider_than_the_terminal_takes_several() {
        assert_eq!(lines("", 10), 0);
        assert_eq!(lines("a\n\nb\n", 10), 3);
        assert_eq!(lines(&format!("{}\n{}\n", "x".repeat(10), "y".repeat(21)), 10), 4);
        assert_eq!(lines("日本語\n", 5), 2);
    }
}
