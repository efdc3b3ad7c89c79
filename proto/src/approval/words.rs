//! An ask in words that are safe to show anywhere: on a terminal, in a notification, to an agent.

use super::{Approval, GuardedRight};
use crate::printable::printable;

impl Approval {
    /// The names of the secrets, by commas, and the labels of items.
    pub fn names(&self) -> String {
        let items = self.items.iter().map(|item| format!("item \"{}\"", printable(&item.label)));
        let names: Vec<String> =
            self.secrets.iter().map(|name| name.as_str().to_owned()).chain(items).collect();
        names.join(", ")
    }

    /// What is asked for, like `the reveal of KEY`.
    pub fn asked_for(&self) -> String {
        match self.right {
            GuardedRight::Unlock => "opening the vault".to_owned(),
            GuardedRight::Use => format!("the use of {}", self.names()),
            GuardedRight::Reveal => format!("the reveal of {}", self.names()),
            GuardedRight::Write => format!("the change of {}", self.names()),
        }
    }

    /// What is asked for as a question, like ``Reveal KEY to npm for `run`?``.
    pub fn question(&self) -> String {
        let (names, asker) = (self.names(), self.asker());
        match self.right {
            GuardedRight::Unlock => format!("Open the vault for {asker}?"),
            GuardedRight::Use => format!("Let {asker} use {names} without seeing it?"),
            GuardedRight::Reveal => {
                let purpose = self.purpose.as_ref().map(|purpose| format!(" for `{}`", purpose.as_str()));
                format!("Reveal {names} to {asker}{}?", purpose.unwrap_or_default())
            }
            GuardedRight::Write => format!("Let {asker} change {names}?"),
        }
    }

    /// The name of the program that asks, as far as one is known.
    pub fn asker(&self) -> String {
        let client = &self.client;
        let known = client.command.as_ref().or(client.script.as_ref()).or(client.program.as_ref());
        known.map_or_else(
            || "a program that cannot be seen".to_owned(),
            |path| printable(path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name)).into_owned(),
        )
    }

    /// How many ask the same, if it is more than one request, and for which of them an answer for once is.
    pub fn how_many(&self) -> Option<String> {
        let Self { count, processes, client, .. } = self;
        match processes {
            0 | 1 => (*count > 1).then(|| format!("asked {count} times")),
            _ => Some(format!(
                "{processes} processes ask the same, {count} times; once is for process {} alone",
                client.pid
            )),
        }
    }

    /// Where the asker runs: its terminal, else its unit, and its directory and token.
    pub fn whereabouts(&self) -> Vec<String> {
        let client = &self.client;
        let place = match &client.session {
            Some(session) => Some(session.tty.as_ref().unwrap_or(&session.leader)),
            None => client.unit.as_ref(),
        };
        let known = place.into_iter().chain(&client.directory);
        let mut facts: Vec<String> = known.map(|fact| printable(fact).into_owned()).collect();
        facts.push(format!("token {}", printable(&client.token)));
        facts
    }
}
