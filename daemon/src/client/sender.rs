//! Whom a client speaks for, in the words that it says it with: the process at the other end of a connection to a bus.

use secrets_local::peer::lineage::{ProcessKey, Session, SessionKey};
use secrets_proto::printable;

/// The most names of a chain, and the most characters of each and of a unit.
const CHAIN: usize = 9;
const NAME: usize = 256;

/// A process as what serves the bus has found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) pid: i32,
    pub(super) process: Option<ProcessKey>,
    session: Option<SessionKey>,
    tty: Option<String>,
    leader: Option<String>,
    pub(super) unit: Option<String>,
    /// The names of it and of those that started it, the nearest first.
    pub(super) chain: Vec<String>,
}

impl Sender {
    /// Takes a word, if it is one of these. What cannot be read is no fact.
    pub(super) fn take(&mut self, word: &str, text: &str) {
        let shown = || Some(printable::printable(text).chars().take(NAME).collect::<String>());
        match word {
            "pid" => self.pid = text.parse().ok().filter(|pid| *pid > 0).unwrap_or_default(),
            "process" => self.process = text.parse().ok(),
            "session" => self.session = text.parse().ok(),
            "tty" => self.tty = shown(),
            "leader" => self.leader = shown(),
            "unit" => self.unit = shown(),
            "chain" if self.chain.len() < CHAIN => self.chain.extend(shown()),
            _ => {}
        }
    }

    /// Where it runs.
    pub(super) fn session(&self) -> Option<Session> {
        let leader = self.leader.clone().unwrap_or_default();
        Some(Session { key: self.session.clone()?, tty: self.tty.clone(), leader })
    }
}
