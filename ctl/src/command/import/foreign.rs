//! Files of other programs. They are read by `secretctl-import`, a program of its own: the libraries for their formats are
//! larger than this client. It gets the file's bytes through a pipe and gives back names and values through another.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use secrets_proto::SensitiveString;
use secrets_proto::printable::printable;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::entries::{Fault, Found, Pair, Place, Reading};
use crate::failure::{Exit, Failure};
use crate::{environment, providers, spawn};

/// The most bytes that are taken back: values that are all escaped, and their names.
const LIMIT: u64 = 128 << 20;

/// What is to be read.
pub(super) enum From<'a> {
    /// A file's bytes.
    Bytes(&'a [u8]),
    /// A directory, whose own program gives the values.
    Store(&'a Path),
}

/// As `import/src/found.rs` writes it.
#[derive(Deserialize)]
struct Answer {
    entries: Vec<Entry>,
    faults: Vec<Wrong>,
    notes: Vec<String>,
    instead: Vec<String>,
    whole: bool,
}

#[derive(Deserialize)]
struct Entry {
    place: String,
    name: String,
    value: SensitiveString,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize)]
struct Wrong {
    place: String,
    #[serde(default)]
    name: Option<String>,
    reason: String,
}

/// Reads a file of this format, of which the names are chosen as of any other.
pub(super) fn read(format: &str, from: &From<'_>, reading: &Reading) -> Result<Found, Failure> {
    let mut command = program()?;
    let bytes = match from {
        From::Bytes(bytes) => {
            command.args(["read", format]);
            *bytes
        }
        From::Store(directory) => {
            command.args(["store", format]).arg(directory);
            &[]
        }
    };
    let answer = ask(command, bytes)?;
    // What serde says of it could quote it.
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| broken())?;
    let place = |at: usize, text: &str| Place::named(at, &shown(text));
    let count = answer.entries.len();
    let faults = answer.faults.into_iter().enumerate();
    let faults = faults.filter(|(_, wrong)| wrong.name.as_deref().is_none_or(|name| reading.wants(name)));
    let faults = faults
        .map(|(at, wrong)| Fault { place: place(count + at, &wrong.place), reason: wrong.reason })
        .collect();
    let pair = |(at, entry): (usize, Entry)| Pair {
        place: place(at, &entry.place),
        name: entry.name,
        value: Ok(Zeroizing::new(entry.value.expose().to_owned())),
        provider: entry.provider,
        note: entry.note,
    };
    let pairs = answer.entries.into_iter().enumerate().map(pair).collect();
    let found = reading.check(pairs, faults);
    let notes = answer.notes.iter().map(|note| shown(note)).collect();
    // Where a prefix of all names goes (`import/src/found.rs`).
    let prefix = reading.prefix.as_ref().map_or("", |prefix| prefix.as_str());
    let instead = answer.instead.iter().map(|line| printable(&line.replace('\u{1}', prefix)).into_owned());
    let instead = instead.collect();
    Ok(Found { notes, instead, holds_more: !answer.whole, ..found })
}

/// Which format a file seems to have that was taken for another, in words; nothing if it looks like none.
pub(super) fn hint(bytes: &[u8]) -> Option<String> {
    let mut command = program().ok()?;
    command.arg("detect");
    let answer = ask(command, bytes).ok()?;
    let text = String::from_utf8(answer.to_vec()).ok()?;
    (!text.is_empty()).then(|| printable(&text).into_owned())
}

/// Becomes the program that finds such files. Returns only if it can't.
pub(super) fn find(json: bool) -> Failure {
    match program() {
        Ok(mut command) => {
            command.arg("find").args(json.then_some("--json"));
            Failure::new(Exit::Other, format!("cannot start secretctl-import: {}", command.exec()))
        }
        Err(failure) => failure,
    }
}

fn program() -> Result<Command, Failure> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent());
    let found = spawn::find("secretctl-import", beside, &environment::program_dirs());
    let found = found.ok_or_else(|| {
        Failure::new(Exit::Other, "secretctl-import is neither beside secretctl nor in PATH; install it")
    })?;
    let mut command = Command::new(found);
    // It starts gpg and others, which need the variables; a token of the vault is nothing that they need.
    command.env_clear().envs(environment::for_child(false));
    Ok(command)
}

/// Sends these bytes and gives what comes back. What the program has to say itself goes to standard error.
fn ask(mut command: Command, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command
        .spawn()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot start secretctl-import: {error}")))?;
    let answer = exchange(&mut child, bytes);
    let status = child.wait();
    match (answer, status) {
        (Ok(answer), Ok(status)) if status.success() && answer.len() as u64 <= LIMIT => Ok(answer),
        _ => Err(broken()),
    }
}

fn exchange(child: &mut Child, bytes: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::scope(|scope| {
        // It may answer before it has read everything.
        let writer = scope.spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(bytes)));
        let mut answer = Zeroizing::new(Vec::new());
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(LIMIT + 1).read_to_end(&mut answer));
        let _ = writer.join();
        read.map(|_| answer)
    })
}

fn broken() -> Failure {
    Failure::new(Exit::Other, "secretctl-import could not read it; nothing was stored")
}

/// A place or a note as it may be shown: names in a file may be keys by mistake.
fn shown(text: &str) -> String {
    let separators = [' ', '.', '/', ':', ',', '\'', '"'];
    let word = |piece: &str| {
        let word = piece.trim_end_matches(separators);
        let rest = piece.get(word.len()..).unwrap_or_default();
        if providers::looks_like_key(word) { format!("…{rest}") } else { piece.to_owned() }
    };
    printable(text).split_inclusive(separators).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_shown() {
        let key = format!("sk-proj-{}", "a1B2".repeat(8));
        for text in [format!("a.{key}.b"), format!("{key}: x"), format!("work/{key}")] {
            assert!(!shown(&text).contains("a1B2"), "{}", shown(&text));
        }
        assert_eq!(shown("auths, reg.example:5000"), "auths, reg.example:5000");
    }
}
