//! What `secretctl` and the broker that it starts say to each other. The broker of one command has one connected socket as
//! its standard input: a [`Begin`], and the answer. That of a session with a name has a listening one there, on which its
//! user sends [`Order`]s; and another, the control socket, which may be mounted into a container or forwarded to another
//! machine, and takes nothing but [`Ask`]s.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::session::Session;
use crate::{SecretName, Timestamp};

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

/// The name that a user gives a session which outlasts the program that began it: 1–32 characters of `A–Z a–z 0–9 _ -`,
/// the first a letter or digit. It is a part of paths and of a unit's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName(String);

impl SessionName {
    /// The longest name.
    pub const LONGEST: usize = 32;

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if begins && text.len() <= Self::LONGEST && text.bytes().all(is_sound) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            FieldErrorType::StringPatternMismatch,
            "a session's name has 1 to 32 letters, digits, `_` and `-`, and begins with a letter or digit",
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for SessionName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> Self {
        name.0
    }
}

/// What the user of a session with a name tells its broker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Begins its work; the answer is a [`Begun`]. With it come two listening sockets: one of the loopback, for programs
    /// that have the variables alone, and the control socket.
    Begin(Box<Begin>, Named),
    /// Ends the session. The connection is closed when nothing of it is left.
    End,
}

/// What a session with a name has beside others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: SessionName,
    /// When it began.
    pub started_at: Timestamp,
}

/// What can be asked of a session with a name over its control socket; the answer is a [`Told`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Serves a program with a listener of its own. With it come a listening socket of the loopback that the program
    /// sees, and a pidfd of the program, with whose end the listener ends. Where no descriptor arrives, because something
    /// on the way passes bytes alone, the program's side listens itself and sends a [`Ask::Stream`] for each connection.
    Attach(Attach),
    /// What follows on this connection is one connection of a program to its proxy. There is no answer.
    Stream,
    /// Tells what the session is, with the variables for its own listener.
    Describe,
}

/// Where the program finds what it needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attach {
    /// The listener's port.
    pub port: u16,
    /// The directory in which the program's side puts the files that the variables name; without one the variables name
    /// those of the broker.
    #[serde(default)]
    pub files_in: Option<PathBuf>,
}

/// The answer to an [`Ask`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The program can come.
    Attached(Attached),
    /// What the session is.
    Described(Described),
    /// No, for this reason.
    Refused(String),
}

/// What a program needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attached {
    /// Its variables.
    pub variables: Variables,
    /// Names and contents of the files to put into the directory that was named.
    pub files: Vec<(String, String)>,
    /// Whether the broker has the listener.
    pub listens: bool,
}

/// A session with a name, without its token.
#[derive(Debug, Serialize, Deserialize)]
pub struct Described {
    /// What it is.
    #[serde(flatten)]
    pub note: Note,
    /// How many requests have carried a value.
    pub uses: u64,
    /// The variables for its own listener.
    pub variables: Variables,
}

/// What is known of a session with a name when its broker is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Name and beginning.
    #[serde(flatten)]
    pub named: Named,
    /// The session's id.
    pub session: Uuid,
    /// The secrets that are used in it.
    pub secrets: Vec<SecretName>,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_session_is_a_part_of_a_path_and_nothing_else() {
        for good in ["a", "build-1", "A_b", "0", &"x".repeat(32)] {
            assert_eq!(SessionName::parse(good).unwrap().as_str(), good);
        }
        let bad =
            ["", ".", "..", "a.b", "a/b", "-a", "_a", "a b", "a@b", "a\n", "ä", "a\0", "%i", &"x".repeat(33)];
        for bad in bad {
            assert!(SessionName::parse(bad).is_err(), "{bad}");
            assert!(serde_json::from_value::<SessionName>(serde_json::json!(bad)).is_err(), "{bad}");
        }
    }
}
