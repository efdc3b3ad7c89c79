//! `ui`: all secrets on the whole terminal.

use clap::Args;

use crate::failure::Failure;
use crate::screen;
use crate::session::Session;

/// Browse secrets on the whole terminal: masks, use, expiry, history, audit log
#[derive(Debug, Args)]
#[command(after_help = "\
A value is shown only while you look at it, after the key v, and each look is in the audit log. The key c
sends a value to the terminal's clipboard and empties that after 30 seconds. Nothing needs this screen:
each key does what a command does.

Example:
  secretctl ui")]
pub(crate) struct UiArgs {}

/// Becomes the program that shows them. Returns only if it can't.
pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>) -> Failure {
    match open() {
        Ok(session) => screen::browse(&session),
        Err(failure) => failure,
    }
}
