//! Why nobody answered a question, and what to tell of it.

use std::io;

use crate::failure::{Exit, Failure};

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no terminal, or it is not ours to read from.
    #[error("there is no terminal to ask on")]
    NoTerminal,
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The person pressed Ctrl-D instead of answering.
    #[error("cancelled")]
    Cancelled,
    /// Typed keys that a line of text cannot hold, such as a tab.
    #[error("the input has a tab or another control character")]
    Unprintable,
    /// More than one line came at once.
    #[error("more than one line was pasted")]
    SeveralLines,
    /// The terminal failed.
    #[error("cannot read from the terminal: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// What to tell: what happened, that `undone`, and, where it helps, what to do `instead`.
    pub(crate) fn told(&self, undone: &str, instead: &str) -> String {
        match self {
            Self::NoTerminal => format!("{self}; {instead}"),
            Self::Unprintable | Self::SeveralLines => format!("{self}; {undone}; {instead}"),
            Self::Interrupted | Self::Cancelled | Self::Io(_) => format!("{self}; {undone}"),
        }
    }
}

impl Error {
    /// The command's end: locked and nobody to ask where there is no terminal, given up otherwise.
    pub(crate) fn into_failure(self, undone: &str, instead: &str) -> Failure {
        let exit = if matches!(self, Self::NoTerminal) { Exit::Locked } else { Exit::Other };
        Failure::new(exit, self.told(undone, instead))
    }
}
