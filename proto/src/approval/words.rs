//! An ask in words that are safe to show anywhere: on a terminal, in a notification, to an agent.

use super::{Approval, ApprovalScope, GuardedRight};
use crate::printable::{in_one_line, printable};

/// Directories that a program of the user cannot write to: who is named from there is the one that is known by that name.
const SYSTEM: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// The name that stands for the owner's token.
const OWNER: &str = "owner";

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

    /// An ask in one line, like `the reveal of KEY by npm`.
    pub fn summary(&self) -> String {
        format!("{} by {}", self.asked_for(), self.asker())
    }

    /// What is asked for as a question, like ``Reveal KEY to npm for `run`?``.
    pub fn question(&self) -> String {
        format!("{}?", self.sentence(&self.names()))
    }

    /// Why a person is asked, like `KEY is guarded`.
    pub fn guarded(&self) -> String {
        match (self.right, self.is_one()) {
            (GuardedRight::Unlock, _) => "the vault is locked".to_owned(),
            (_, true) => format!("{} is guarded", self.names()),
            (_, false) => format!("{} are guarded", self.names()),
        }
    }

    /// An ask in lines: what is asked for, by whom, and what an answer would reach beyond what is seen at once.
    pub fn lines(&self, is_question: bool) -> Vec<String> {
        let mark = if is_question { "?" } else { "" };
        let mut first = format!("{}. {}{mark}", self.guarded(), self.sentence(self.it()));
        if let Some(reason) = &self.reason {
            first.push_str(&format!("   reason: {}", in_one_line(reason.as_str())));
        }
        let mut facts = Vec::new();
        if !self.client.chain.is_empty() {
            let chain: Vec<_> = self.client.chain.iter().map(|name| in_one_line(name)).collect();
            facts.push(chain.join(" ← "));
        }
        facts.extend(self.whereabouts());
        let mut lines = vec![first, facts.join("   ")];
        lines.extend(self.from_where());
        lines.extend(self.how_many());
        lines.extend(self.reach());
        lines
    }

    /// What is asked for, with these words for the secrets.
    fn sentence(&self, secrets: &str) -> String {
        let asker = self.asker();
        match self.right {
            GuardedRight::Unlock => format!("Open the vault for {asker}"),
            GuardedRight::Use => format!("Let {asker} use {secrets} without seeing {}", self.it()),
            GuardedRight::Reveal => {
                let purpose = self.purpose.as_ref().map(|purpose| format!(" for `{}`", purpose.as_str()));
                format!("Reveal {secrets} to {asker}{}", purpose.unwrap_or_default())
            }
            GuardedRight::Write => format!("Let {asker} change {secrets}"),
        }
    }

    const fn it(&self) -> &'static str {
        if self.is_one() { "it" } else { "them" }
    }

    const fn is_one(&self) -> bool {
        self.secrets.len() + self.items.len() == 1
    }

    /// The name of the program that asks, as far as one is known.
    pub fn asker(&self) -> String {
        self.path().map_or_else(|| "a program that cannot be seen".to_owned(), name_of)
    }

    /// The file that the asker's name is of.
    fn path(&self) -> Option<&str> {
        let client = &self.client;
        client.command.as_deref().or(client.script.as_deref()).or(client.program.as_deref())
    }

    /// Where the asker's file lies, like `npm is /home/ada/npm`, unless that is where the system has its programs: any
    /// program can lie elsewhere under the name of another.
    pub fn from_where(&self) -> Option<String> {
        let path = self.path()?;
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        (!SYSTEM.contains(&directory)).then(|| format!("{} is {}", name_of(path), in_one_line(path)))
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

    /// What an answer for the session would be for, where that is more than the one program that is named: a shell, an
    /// interpreter or what starts others is named by whatever it runs. Such a client is one that is offered nothing
    /// that lasts.
    pub fn reach(&self) -> Option<String> {
        let offered = |scope| self.offers.contains(&scope);
        if !offered(ApprovalScope::Session) || offered(ApprovalScope::Time) {
            return None;
        }
        let place =
            self.place().map_or_else(|| "its session".to_owned(), |place| in_one_line(place).into_owned());
        Some(match self.path() {
            Some(path) => format!("session is for whatever {} runs in {place}", name_of(path)),
            None => format!("session is for every program in {place}"),
        })
    }

    /// The clients that would be allowed for good.
    pub fn lasting_clients(&self) -> String {
        let client = &self.client;
        if client.token != OWNER {
            return format!("token {}", in_one_line(&client.token));
        }
        let directory =
            client.directory.as_deref().map(|directory| format!(" in {}", in_one_line(directory)));
        match (&client.command, &client.program, &client.script) {
            (Some(command), _, _) => format!("{}{}", name_of(command), directory.unwrap_or_default()),
            (None, _, Some(script)) => name_of(script),
            (None, Some(program), None) => name_of(program),
            (None, None, None) => client.unit.as_deref().map(in_one_line).unwrap_or_default().into_owned(),
        }
    }

    /// Its terminal or service, else its unit.
    fn place(&self) -> Option<&str> {
        match &self.client.session {
            Some(session) => Some(session.tty.as_deref().unwrap_or(&session.leader)),
            None => self.client.unit.as_deref(),
        }
    }

    /// Where the asker runs: its terminal, else its unit, and its directory and token.
    pub fn whereabouts(&self) -> Vec<String> {
        let known = self.place().into_iter().chain(self.client.directory.as_deref());
        let mut facts: Vec<String> = known.map(|fact| in_one_line(fact).into_owned()).collect();
        facts.push(format!("token {}", in_one_line(&self.client.token)));
        facts
    }
}

fn name_of(path: &str) -> String {
    in_one_line(path.rsplit_once('/').map_or(path, |(_, name)| name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval() -> Approval {
        let text = r#"{"id":"01234567-89ab-4cde-8f01-23456789abcd","state":"pending","created_at":"2026-04-15T12:00:00Z","expires_at":"2026-04-15T12:05:00Z","count":1,"approvers":0,"right":"reveal","secrets":["KEY"],"purpose":"run","reason":"a\u202eb","client":{"token":"owner","pid":7,"chain":["np\u001bm","bash"],"session":{"tty":"pts/3","leader":"bash"},"command":"/usr/bin/npm","directory":"/src"},"offers":["once","session","time","always","never"]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_ask_is_told_in_lines_that_steer_no_terminal() {
        let mut approval = approval();
        let lines = [
            "KEY is guarded. Reveal it to npm for `run`?   reason: a\u{fffd}b",
            "np\u{fffd}m ← bash   pts/3   /src   token owner",
        ];
        assert_eq!(approval.lines(true), lines);
        assert_eq!(approval.question(), "Reveal KEY to npm for `run`?");
        assert_eq!(approval.summary(), "the reveal of KEY by npm");
        assert_eq!(approval.lasting_clients(), "npm in /src");
        // What is said with many blanks stays in its place.
        approval.reason = Some(crate::reveal::Remark::parse("x?     pts/9   token   ci").unwrap());
        assert!(
            approval.lines(true)[0].ends_with("?   reason: x? pts/9 token ci"),
            "{:?}",
            approval.lines(true)
        );
    }

    #[test]
    fn several_secrets_are_spoken_of_as_several() {
        let mut approval = approval();
        approval.secrets.push(crate::SecretName::parse("OTHER").unwrap());
        assert!(approval.lines(true)[0].starts_with("KEY, OTHER are guarded. Reveal them to npm for `run`?"));
        approval.right = GuardedRight::Use;
        assert!(
            approval.lines(false)[0]
                .starts_with("KEY, OTHER are guarded. Let npm use them without seeing them ")
        );
        assert_eq!(approval.question(), "Let npm use KEY, OTHER without seeing them?");
    }

    #[test]
    fn how_many_ask_is_told() {
        let mut approval = approval();
        (approval.count, approval.processes) = (3, 1);
        assert_eq!(approval.how_many().unwrap(), "asked 3 times");
        approval.processes = 2;
        let told = "2 processes ask the same, 3 times; once is for process 7 alone";
        assert_eq!(approval.lines(true).last().unwrap(), told);
    }

    /// Any program can lie in some directory of the user under the name of another.
    #[test]
    fn a_name_from_elsewhere_is_told_with_its_path() {
        let mut approval = approval();
        assert_eq!(approval.from_where(), None);
        approval.client.command = Some("/home/ada/.cache/usr/bin/npm".to_owned());
        assert_eq!(approval.lines(true)[2], "npm is /home/ada/.cache/usr/bin/npm");
        approval.client.command = None;
        approval.client.program = Some("/usr/bin/python3".to_owned());
        approval.client.script = Some("/usr/bin/../lib/x".to_owned());
        assert_eq!(approval.from_where().unwrap(), "x is /usr/bin/../lib/x");
    }

    /// An answer for the session is for more than what is named, if that runs whatever it is given.
    #[test]
    fn a_session_that_reaches_further_says_so() {
        let mut approval = approval();
        assert_eq!(approval.reach(), None);
        approval.offers = vec![ApprovalScope::Once, ApprovalScope::Session, ApprovalScope::Never];
        approval.client.command = None;
        approval.client.program = Some("/usr/bin/bash".to_owned());
        assert_eq!(approval.lines(true).last().unwrap(), "session is for whatever bash runs in pts/3");
        approval.client.program = None;
        assert_eq!(approval.reach().unwrap(), "session is for every program in pts/3");
        approval.offers = vec![ApprovalScope::Once];
        assert_eq!(approval.reach(), None);
    }
}
