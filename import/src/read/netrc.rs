//! `.netrc` (inetutils, "The .netrc file"; curl, "netrc"): passwords of hosts, under the names that `secretctl keyring`
//! looks for. What curl, Python and wget read in different ways is not taken.

use zeroize::Zeroizing;

use crate::found::{Found, PREFIX};
use crate::name;

/// The password of each host.
pub(crate) fn read(text: &str) -> Found {
    let mut found = Found { whole: true, ..Found::default() };
    let mut machine: Option<Machine> = None;
    let mut words = Words { rest: text, line: 1 };
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "machine" | "default" if !word.quoted => {
                store(machine.take(), &mut found);
                let host =
                    (word.text.as_str() == "machine").then(|| words.next().map(|word| word.text.to_string()));
                match host {
                    Some(None) => found.fault(format!("line {}", word.line), None, "no host after machine"),
                    Some(Some(host)) => machine = Some(Machine::of(Some(host))),
                    None => machine = Some(Machine::of(None)),
                }
            }
            "login" | "account" | "password" if machine.is_some() && !word.quoted => {
                let value = words.next();
                let Some(machine) = machine.as_mut() else { continue };
                match (word.text.as_str(), value) {
                    (_, None) => {
                        found.fault(format!("line {}", word.line), None, "nothing follows this word")
                    }
                    ("login", Some(value)) => machine.user = Some(value.text.to_string()),
                    ("password", Some(value)) => machine.password = Some(value),
                    (_, Some(_)) => {}
                }
            }
            "macdef" if !word.quoted => {
                words.skip_macro();
                found.whole = false;
                found.say("a macro (macdef) was left out; it is no secret");
            }
            text if text.starts_with('#') => words.skip_line(),
            _ => {
                let reason = "a word that is none of machine, login, password, account, default and macdef";
                return Found::refused(format!("line {}", word.line), reason);
            }
        }
    }
    store(machine, &mut found);
    // Programs go on reading it.
    found.whole = false;
    found
}

/// A host and what belongs to it.
struct Machine {
    host: Option<String>,
    user: Option<String>,
    password: Option<Word>,
}

impl Machine {
    fn of(host: Option<String>) -> Self {
        Self { host, user: None, password: None }
    }
}

fn store(machine: Option<Machine>, found: &mut Found) {
    let Some(Machine { host, user, password: Some(password) }) = machine else { return };
    let place = format!("line {}", password.line);
    let Some(host) = host else {
        found.say(format!("{place}: left out, the password of default belongs to no host"));
        return;
    };
    let name = name::of_host("KEYRING", &host);
    let text = &password.text;
    let is_odd = !password.quoted && (text.contains('\\') || text.starts_with(['#', '\'']));
    if is_odd || password.is_open {
        let reason = "curl, Python and wget read this password in different ways; put it in double quotes, with \\\" and \\\\";
        return found.fault(place, name, reason);
    }
    if let Some(name) = &name {
        let git = format!(
            "git config --global --add credential.helper '!secretctl git-credential --host {host}={PREFIX}{name}'"
        );
        found.put_instead(format!("nothing for {host}; for git: {git}"));
    }
    found.add_noted(place, name, password.text, user.map(|user| format!("user={user}")));
}

struct Word {
    line: usize,
    text: Zeroizing<String>,
    quoted: bool,
    /// A quote that is not closed on its line.
    is_open: bool,
}

struct Words<'a> {
    rest: &'a str,
    line: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Word> {
        let start = self.rest.find(|c: char| !c.is_whitespace())?;
        self.pass(start);
        let line = self.line;
        if self.rest.starts_with('"') {
            let mut text = Zeroizing::new(String::with_capacity(self.rest.len().min(1 << 16)));
            let mut characters = self.rest.char_indices().skip(1);
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        self.pass(at + 1);
                        let is_open = self.rest.starts_with(|c: char| !c.is_whitespace());
                        return Some(Word { line, text, quoted: true, is_open });
                    }
                    '\n' => break,
                    '\\' => match characters.next() {
                        Some((_, c @ ('"' | '\\'))) => text.push(c),
                        // curl knows \n, \r and \t; Python takes the letter.
                        _ => return self.open(line),
                    },
                    c => text.push(c),
                }
            }
            return self.open(line);
        }
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let text = Zeroizing::new(self.rest.get(..end).unwrap_or_default().to_owned());
        self.pass(end);
        Some(Word { line, text, quoted: false, is_open: false })
    }

    fn open(&mut self, line: usize) -> Option<Word> {
        self.skip_line();
        Some(Word { line, text: Zeroizing::default(), quoted: true, is_open: true })
    }

    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    fn skip_line(&mut self) {
        self.pass(self.rest.find('\n').unwrap_or(self.rest.len()));
    }

    /// Up to an empty line.
    fn skip_macro(&mut self) {
        let end = self.rest.replace('\r', " ").find("\n\n").map_or(self.rest.len(), |at| at + 1);
        self.pass(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_users_and_passwords() {
        let text = "# c\nmachine a.example login me password p#w\nmachine b.example\n\tlogin you\n\tpassword \"a b\\\"c\\\\\"\nmacdef init\ncd x\n\nmachine c.example password only\ndefault login x password canary\n";
        let found = read(text);
        assert_eq!(found.faults, []);
        let read: Vec<_> = found
            .entries
            .iter()
            .map(|entry| {
                (entry.place.as_str(), entry.name.as_str(), entry.value.as_str(), entry.note.as_deref())
            })
            .collect();
        assert_eq!(
            read,
            [
                ("line 2", "KEYRING__A_EXAMPLE", "p#w", Some("user=me")),
                ("line 5", "KEYRING__B_EXAMPLE", "a b\"c\\", Some("user=you")),
                ("line 9", "KEYRING__C_EXAMPLE", "only", None),
            ]
        );
        assert_eq!(found.notes.len(), 2);
    }

    #[test]
    fn what_readers_differ_on_is_not_taken() {
        for password in ["a\\b", "#ab", "'ab'", "\"a\\nb\"", "\"open", "\"a\"b"] {
            let found = read(&format!("machine a.example login x password {password}\n"));
            assert_eq!((found.entries.len(), found.faults.len()), (0, 1), "{password}");
            assert!(!found.faults[0].reason.contains(password), "{password}");
        }
        for text in ["machine", "canary x", "machine a login", "login x"] {
            assert_eq!(read(text).faults.len(), 1, "{text}");
        }
    }
}
