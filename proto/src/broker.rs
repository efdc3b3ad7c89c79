//! What `secretctl` and the broker that it starts say to each other, over the socket that the broker gets as its standard
//! input: one message, and the answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::session::Session;

/// Begins a broker's work. With it come two descriptors: the socket on which it listens for the program's connections,
/// bound to a loopback address; and a pidfd of the program, with whose end it ends, too.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The session, with the token by which values are taken.
    pub session: Session,
    /// Where values are taken.
    pub use_socket: PathBuf,
    /// The daemon's socket, where the session is ended.
    pub socket: PathBuf,
    /// The runtime directory, below which the session's certificate authority is put in files.
    pub runtime: PathBuf,
    /// Hosts that are reached without looking into what is said there, with their ports where those are not 443.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Who else reaches the listener.
    #[serde(default)]
    pub loopback: Loopback,
}

/// Which programs can connect to a listener of the loopback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loopback {
    /// Those of every user of the machine: the broker asks the kernel whose each connection is.
    #[default]
    Shared,
    /// The program's alone: the listener is in a network namespace that was made for it. A broker that finds it in its own
    /// refuses.
    Private,
}

/// The broker's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// It serves. The program needs these variables to come by it.
    Serves(Variables),
    /// It cannot, for this reason.
    Refused(String),
}

/// What a program's environment must have. A list of settings for git (git-config(1), `GIT_CONFIG_COUNT`) is put behind the
/// one that was inherited, without what would lead past the broker.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variables {
    /// Names and values to set, whatever was inherited.
    pub set: Vec<(String, String)>,
    /// Names to remove before that, in any case of letters.
    pub remove: Vec<String>,
}

/// What a broker finds on its machine, as `secretsd-broker --check` prints it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The program's version.
    pub version: String,
    /// How many certificate authorities the hosts are checked against.
    pub authorities: usize,
    /// Why no program could connect to it over the loopback, if none could.
    pub loopback: Option<String>,
}
