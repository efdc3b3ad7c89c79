//! What a caller runs for, as people and approval rules name it: what the kernel says of its process, and where that says
//! nothing, what the client says itself in a header. Any program of the user can pass for another in what either tells.

mod sender;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use secrets_local::peer::Facts;
use secrets_local::peer::lineage::{self, Lineage, ProcessKey, Session, SessionKey};
use secrets_proto::approval::{ApprovalClient, CLIENT_HEADER_MAX, ClientSession, ToldBy};
use secrets_proto::{Uuid, printable};

use sender::Sender;

/// What a client says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    program: Option<String>,
    script: Option<String>,
    directory: Option<String>,
    command: Option<String>,
    /// Whom it speaks for; it counts if it is what serves the Secret Service, and is overlooked otherwise.
    sender: Sender,
}

impl Said {
    /// Reads the header's value. Words that are not known are left alone: a newer client may say more.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        if value.len() > CLIENT_HEADER_MAX {
            return Err("X-Secretsd-Client has more than 2048 bytes; send less");
        }
        let text = str::from_utf8(value).map_err(|_| MALFORMED)?;
        let mut said = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(MALFORMED)?;
            let place = match name {
                "program" => &mut said.program,
                "script" => &mut said.script,
                "directory" => &mut said.directory,
                "command" => &mut said.command,
                word => {
                    said.sender.take(word, &decode(value).unwrap_or_default());
                    continue;
                }
            };
            let path = decode(value).ok_or(MALFORMED)?;
            if !path.starts_with('/') || place.is_some() {
                return Err(MALFORMED);
            }
            // What cannot be shown as it is is no fact, and no fault: paths may be anything.
            *place = lineage::path(&path);
        }
        Ok(said)
    }

    /// Only what is there: a file, or for the directory one. What is not is no fact.
    pub(crate) fn existing(&self) -> Self {
        let file = |path: &Option<String>| path.clone().filter(|path| is_there(path, Metadata::is_file));
        let directory = self.directory.clone().filter(|path| is_there(path, Metadata::is_dir));
        Self {
            program: file(&self.program),
            script: file(&self.script),
            directory,
            command: file(&self.command),
            sender: Sender::default(),
        }
    }

    /// The process that it speaks for, as the audit log describes one.
    pub(crate) fn sender(&self) -> Option<(i32, Facts)> {
        let Self { sender, program, .. } = self;
        let facts =
            Facts { comm: sender.chain.first().cloned(), exe: program.clone(), unit: sender.unit.clone() };
        (sender.pid > 0).then_some((sender.pid, facts))
    }
}

/// Whether that is there, as far as we can see: of directories that the unit of the daemon hides nothing is known, and what
/// lies in the temporary ones is another thing for it than for its client.
fn is_there(path: &str, is_kind: impl Fn(&Metadata) -> bool) -> bool {
    match fs::metadata(path) {
        Ok(found) => is_kind(&found),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            TEMPORARY.iter().any(|place| Path::new(path).starts_with(place))
        }
        Err(_) => true,
    }
}

/// The directories of which a unit with `PrivateTmp=` has its own (systemd.exec(5)).
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

const MALFORMED: &str = "X-Secretsd-Client is malformed; send program, script, directory and command as absolute paths, form-encoded, each once";

/// The text of a form-encoded value (`application/x-www-form-urlencoded` of the URL standard).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Who asks, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// The access token that it shows; none is the owner's.
    pub(crate) token: Option<Uuid>,
    /// That token's name.
    pub(crate) token_name: String,
    /// The process's id, for people.
    pub(crate) pid: i32,
    /// The process, if it is alive and in our view.
    pub(crate) process: Option<ProcessKey>,
    /// The names of the process and of those that started it, for people.
    pub(crate) chain: Vec<String>,
    /// Where it runs.
    pub(crate) session: Option<Session>,
    /// The systemd unit.
    pub(crate) unit: Option<String>,
    /// The program that runs the client.
    pub(crate) program: Option<String>,
    /// The script that this program runs.
    pub(crate) script: Option<String>,
    /// The directory that it is in.
    pub(crate) directory: Option<String>,
    /// The program that will be started with the values.
    pub(crate) command: Option<String>,
    /// Which facts the client has told itself.
    said: Vec<&'static str>,
    /// Whether what serves the Secret Service said them, about another program.
    is_attested: bool,
}

impl Client {
    /// Puts together what the kernel and the client say. What the kernel says wins, and who cannot be seen is known by its
    /// token and by what it says alone.
    pub(crate) fn new(
        token: Option<Uuid>,
        token_name: String,
        pid: i32,
        lineage: Option<&Lineage>,
        said: &Said,
    ) -> Self {
        let mut client = Self {
            token,
            token_name,
            pid,
            process: lineage.map(|lineage| lineage.process),
            chain: lineage.map(|lineage| lineage.chain.clone()).unwrap_or_default(),
            session: lineage.and_then(|lineage| lineage.session.clone()),
            unit: lineage.and_then(|lineage| lineage.unit.clone()),
            program: lineage.and_then(|lineage| lineage.program.clone()),
            script: lineage.and_then(|lineage| lineage.script.clone()),
            directory: lineage.and_then(|lineage| lineage.directory.clone()),
            command: None,
            said: Vec::new(),
            is_attested: false,
        };
        if lineage.is_none() {
            // Dead, or not in our view: what it says of itself could be said by anybody who took its place.
            return client;
        }
        let mut told = Vec::new();
        let mut add = |name: &'static str, fact: &mut Option<String>, said: Option<&String>| {
            if fact.is_none()
                && let Some(said) = said
            {
                *fact = Some(said.clone());
                told.push(name);
            }
        };
        if client.program.is_none() {
            add("program", &mut client.program, said.program.as_ref());
            add("script", &mut client.script, said.script.as_ref());
        }
        add("directory", &mut client.directory, said.directory.as_ref());
        add("command", &mut client.command, said.command.as_ref());
        client.said = told;
        client
    }

    /// The process that what serves the Secret Service speaks for, as it has found it.
    pub(crate) fn attested(token: Option<Uuid>, token_name: String, said: Option<&Said>) -> Self {
        let Said { program, script, directory, command, sender } = said.cloned().unwrap_or_default();
        let session = sender.session();
        let facts = [
            ("session", session.is_some()),
            ("unit", sender.unit.is_some()),
            ("program", program.is_some()),
            ("script", script.is_some()),
            ("directory", directory.is_some()),
            ("command", command.is_some()),
        ];
        Self {
            token,
            token_name,
            pid: sender.pid,
            process: sender.process,
            chain: sender.chain,
            session,
            unit: sender.unit,
            program,
            script,
            directory,
            command,
            said: facts.into_iter().filter(|(_, is_known)| *is_known).map(|(name, _)| name).collect(),
            is_attested: true,
        }
    }

    /// Whether its token tells it from others: the owner's does not, nor does the one that everybody on the bus shares.
    pub(crate) fn is_known_by_token(&self) -> bool {
        self.token.is_some() && !self.is_attested
    }

    /// What identifies its session.
    pub(crate) fn session_key(&self) -> Option<&SessionKey> {
        self.session.as_ref().map(|session| &session.key)
    }

    /// The program that runs it, if that is not what it says itself.
    pub(crate) fn seen_program(&self) -> Option<&String> {
        self.program.as_ref().filter(|_| self.is_attested || !self.said.contains(&"program"))
    }

    /// Its unit, if it is a service without a terminal.
    pub(crate) fn service(&self) -> Option<&String> {
        let has_terminal = self.session.as_ref().is_some_and(|session| session.tty.is_some());
        let is_service = |unit: &&String| unit.ends_with(".service") && !unit.starts_with("user@");
        self.unit.as_ref().filter(is_service).filter(|_| !has_terminal)
    }

    /// What a person is told of it.
    pub(crate) fn to_wire(&self) -> ApprovalClient {
        let shown = |text: &String| printable::printable(text).into_owned();
        let facts = [
            ("session", self.session.is_some()),
            ("unit", self.unit.is_some()),
            ("program", self.program.is_some()),
            ("script", self.script.is_some()),
            ("directory", self.directory.is_some()),
            ("command", self.command.is_some()),
        ];
        let by: BTreeMap<String, ToldBy> = facts
            .into_iter()
            .filter(|(_, is_known)| *is_known)
            .map(|(name, _)| {
                let by = if self.said.contains(&name) { ToldBy::Client } else { ToldBy::Kernel };
                (name.to_owned(), by)
            })
            .collect();
        ApprovalClient {
            token: self.token_name.clone(),
            pid: self.pid,
            chain: self.chain.clone(),
            session: self.session.as_ref().map(|session| ClientSession {
                tty: session.tty.clone(),
                leader: printable::printable(&session.leader).into_owned(),
            }),
            unit: self.unit.as_ref().map(shown),
            program: self.program.as_ref().map(shown),
            script: self.script.as_ref().map(shown),
            directory: self.directory.as_ref().map(shown),
            command: self.command.as_ref().map(shown),
            by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_paths_and_nothing_else() {
        let said = Said::parse(b"program=%2Fusr%2Fbin%2Fnpm&directory=/a+b&later=1").unwrap();
        assert_eq!(said.program.as_deref(), Some("/usr/bin/npm"));
        assert_eq!(said.directory.as_deref(), Some("/a b"));
        assert_eq!(Said::parse(b"").unwrap(), Said::default());
        // What could deceive a reader is no fact.
        assert_eq!(Said::parse("command=/a%1b[2J".as_bytes()).unwrap().command, None);
        assert_eq!(Said::parse("command=/a%E2%80%AEb".as_bytes()).unwrap().command, None);
        for malformed in
            ["program", "program=npm", "program=/a&program=/b", "program=%2", "program=%zz", "program=/%ff"]
        {
            assert!(Said::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
        assert!(Said::parse(&[b'a'; CLIENT_HEADER_MAX + 1]).is_err());
    }

    #[test]
    fn what_is_not_there_is_no_fact() {
        let header = "program=/usr/bin/env&script=/usr/bin&directory=/usr&command=/usr/bin/no-such-program";
        let said = Said::parse(header.as_bytes()).unwrap().existing();
        assert_eq!(
            (said.program.as_deref(), said.directory.as_deref()),
            (Some("/usr/bin/env"), Some("/usr"))
        );
        assert_eq!((said.script, said.command), (None, None));
        assert_eq!(Said::parse(b"directory=/usr/bin/env").unwrap().existing().directory, None);
        // A daemon with temporary directories of its own sees none of the client's.
        let hidden = Said::parse(b"directory=/tmp/no-such-directory").unwrap().existing();
        assert_eq!(hidden.directory.as_deref(), Some("/tmp/no-such-directory"));
    }

    #[test]
    fn what_the_kernel_says_wins_and_who_is_not_seen_says_nothing() {
        let said = Said {
            program: Some("/said/program".to_owned()),
            script: Some("/said/script".to_owned()),
            directory: Some("/said".to_owned()),
            command: Some("/said/command".to_owned()),
            ..Said::default()
        };
        let mut lineage = Lineage {
            process: ProcessKey::Inode(1),
            chain: Vec::new(),
            session: None,
            unit: None,
            program: Some("/seen".to_owned()),
            script: None,
            directory: None,
        };
        let told = |lineage: Option<&Lineage>| Client::new(None, "owner".to_owned(), 1, lineage, &said);
        let client = told(Some(&lineage));
        assert_eq!((client.program.as_deref(), client.script.as_deref()), (Some("/seen"), None));
        assert_eq!(client.directory.as_deref(), Some("/said"));
        let by = client.to_wire().by;
        assert_eq!((by["program"], by["directory"]), (ToldBy::Kernel, ToldBy::Client));
        lineage.program = None;
        assert_eq!(told(Some(&lineage)).script.as_deref(), Some("/said/script"));
        let dead = told(None);
        assert_eq!((dead.program, dead.command, dead.process), (None, None, None));
    }
}
