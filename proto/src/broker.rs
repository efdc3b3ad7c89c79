//! What `secretctl` and the broker that it starts say to each other, over the socket that the broker gets as its standard
//! input: one message, and the answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::session::Session;

/// Begins a broker's work. With it come two descriptors: the socket on which it listens for the program's connections,
/// bound to a loopback address; and a pidfd of the program, with whose end it ends, too. A third is where what it has learned
/// is written, if it is to learn.
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
    /// Whether hosts without a rule are reached, too, without a value, and what is asked for is noted: at the end the rules
    /// that would allow just that are written.
    #[serde(default)]
    pub learn: bool,
}

/// The broker's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// The broker serves. The program needs these variables to go through it.
    Serves(Variables),
    /// The broker cannot serve, for this reason.
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
