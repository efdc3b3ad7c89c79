//! Why there is no answer to use.

use std::io;
use std::path::PathBuf;

use secrets_proto::{ErrorBody, ErrorType};

use crate::token;

/// Why there is no answer to use. No message holds a token, a value, or anything else that was sent or received but the
/// daemon's own words in [`Error::Refused`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket at this path, or one that nobody serves.
    #[error("nothing listens on {0}; start it with: secretctl unlock")]
    NotListening(PathBuf),
    /// The socket's path is longer than the kernel has room for: no daemon can listen there.
    #[error(
        "{0} is longer than the 107 bytes that a socket's path may have; choose a shorter one with --socket or XDG_RUNTIME_DIR"
    )]
    TooLong(PathBuf),
    /// The socket cannot be connected to for another reason.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A process of another user, of this id, serves the socket. Nothing was sent.
    #[error("{0} is served by uid {1}, not by you; nothing was sent, check the socket's path")]
    ForeignServer(PathBuf, u32),
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// There was no answer within the deadline. What was asked for may be done all the same.
    #[error("secretsd did not answer in time; see: secretctl status")]
    Timeout,
    /// The connection ended in the middle. What was asked for may be done all the same.
    #[error("secretsd closed the connection before its answer; it may have stopped, try again")]
    Broken,
    /// Something, which this names, is not as the API has it.
    #[error("{0} is not what this program expects; install the same version of both programs")]
    NotUnderstood(&'static str),
    /// The daemon refused, and says why.
    #[error("{}", .0.detail)]
    Refused(Box<ErrorBody>),
}

impl Error {
    /// The kind of the daemon's refusal, if it is one.
    pub fn kind(&self) -> Option<ErrorType> {
        match self {
            Self::Refused(body) => Some(body.kind),
            Self::NotListening(_)
            | Self::TooLong(_)
            | Self::Connect { .. }
            | Self::ForeignServer(..)
            | Self::Token(_)
            | Self::Timeout
            | Self::Broken
            | Self::NotUnderstood(_) => None,
        }
    }
}
