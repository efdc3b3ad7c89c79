//! What our helper in a fence says to us, over the socket that it has as its standard input. The first message, without a
//! text, has the listener and a pidfd of the helper with it; ours has the command's standard input and standard error.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use secrets_local::passing;
use serde::{Deserialize, Serialize};

/// What becomes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// It was started; with this comes a pidfd of it.
    Started,
    /// This signal has stopped it.
    Stopped(i32),
    /// It has ended with this exit status.
    Exited(u8),
    /// This signal has ended it.
    Killed(i32),
}

/// Sends a report.
pub(super) fn report(socket: &UnixStream, report: Report, with: &[BorrowedFd<'_>]) -> io::Result<()> {
    passing::send(socket, &serde_json::to_vec(&report)?, with)
}

/// Waits for a report.
pub(super) fn next(socket: &UnixStream) -> io::Result<(Report, Vec<OwnedFd>)> {
    let (message, with) = passing::receive(socket)?;
    Ok((serde_json::from_slice(&message)?, with))
}
