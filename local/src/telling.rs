//! What a program says on its standard streams, and how it ends by that.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::wrapping;

/// Says a printable line on standard error, after the program's name; on a terminal that is narrower, in as many lines as
/// its words take.
pub fn say(program: &str, line: &str) {
    let line = wrapping::message(&format!("{program}: {line}"), wrapping::columns(io::stderr()));
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says on standard error why the program ends: exit code 1.
pub fn failed(program: &str, reason: &str) -> ExitCode {
    say(program, reason);
    ExitCode::FAILURE
}

/// Answers a line on standard output: exit code 0, or 1 if nobody takes it.
pub fn said(line: &str) -> ExitCode {
    if writeln!(io::stdout(), "{line}").is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
