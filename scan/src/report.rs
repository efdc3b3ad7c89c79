//! What is printed: places and names on stdout, everything else on stderr. A path is printed with its values masked, and so
//! that it cannot steer a terminal.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use secrets_local::telling;
use secrets_proto::printable::{each, printable};
use serde_json::{Map, Value, json};

use crate::PROGRAM;
use crate::failure::Failure;
use crate::guarded::Why;
use crate::hits::{Hit, Hits};
use crate::values::Sought;

/// A value was found.
const FOUND: u8 = 10;

/// Not everything could be looked at.
const INCOMPLETE: u8 = 1;

/// So many commits are named.
const COMMITS: usize = 3;

/// Where something was found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In a file, by its path as it was come by.
    File(&'a Path),
    /// In the name of a file or directory.
    Name(&'a Path),
    /// In what a symbolic link leads to.
    Link(&'a Path),
    /// In what is staged as this file.
    Staged(&'a [u8]),
    /// In a file of these commits, the oldest first.
    Committed(&'a [u8], &'a [String]),
    /// In the name of a file of these commits.
    CommittedName(&'a [u8], &'a [String]),
    /// In the message of a commit, or of an annotated tag.
    Message(&'a str, &'a str),
    /// In the name of a branch, a tag or another reference.
    Reference(&'a [u8]),
    /// In an object that no commit of a branch or tag has.
    Object(&'a str),
    /// In what was read from standard input.
    Stdin,
}

/// Prints what is found, and counts.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    sought: Arc<Sought>,
    found: AtomicU64,
    texts: AtomicU64,
    is_incomplete: AtomicBool,
    /// How many guarded secrets were not looked for.
    guarded: AtomicU64,
    /// A reader that went away reads no more.
    is_closed: Mutex<bool>,
}

impl Report {
    pub(crate) fn new(json: bool, sought: Arc<Sought>) -> Self {
        Self {
            json,
            sought,
            found: AtomicU64::new(0),
            texts: AtomicU64::new(0),
            is_incomplete: AtomicBool::new(false),
            guarded: AtomicU64::new(0),
            is_closed: Mutex::new(false),
        }
    }

    /// A text was looked through, and this found.
    pub(crate) fn hits(&self, place: &Place<'_>, hits: &Hits) {
        if !matches!(place, Place::Name(_) | Place::CommittedName(..) | Place::Reference(_)) {
            self.texts.fetch_add(1, Ordering::Relaxed);
        }
        if hits.is_empty() {
            return;
        }
        self.found.fetch_add(hits.hits.len() as u64 + hits.more, Ordering::Relaxed);
        let mut text = String::new();
        for hit in &hits.hits {
            text.push_str(&if self.json { self.object(place, hit) } else { self.line(place, hit) });
            text.push('\n');
        }
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_closed {
            *is_closed = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).is_err();
        }
        drop(is_closed);
        if hits.more > 0 {
            let (path, _) = self.path(place);
            self.say(&format!("{}: {} more are not shown", printable(&path), hits.more));
        }
    }

    /// Says that something was not looked at which should have been.
    pub(crate) fn incomplete(&self, what: &str, why: &str) {
        self.is_incomplete.store(true, Ordering::Relaxed);
        self.say(&format!("cannot look at {}: {}", self.shown(what.as_bytes()), self.shown(why.as_bytes())));
    }

    /// Says that these guarded secrets were not looked for, and what can be done.
    pub(crate) fn left_out(&self, why: &Why, names: &[String]) {
        self.is_incomplete.store(true, Ordering::Relaxed);
        self.guarded.fetch_add(names.len() as u64, Ordering::Relaxed);
        let (what, fix) = why.told(names);
        let it = if names.len() == 1 { "it was" } else { "they were" };
        self.say(&format!("{}; {it} not looked for", printable(&what)));
        let _ = writeln!(io::stderr(), "fix: {}", printable(&fix));
    }

    /// Says that something was passed over that holds nothing.
    pub(crate) fn skipped(&self, path: &Path, what: &str) {
        self.say(&format!("skipped {}: it is {what}", self.shown(path.as_os_str().as_bytes())));
    }

    /// Says the rest, and how it ended.
    pub(crate) fn end(&self) -> ExitCode {
        let (found, texts) = (self.found.load(Ordering::Relaxed), self.texts.load(Ordering::Relaxed));
        let is_incomplete = self.is_incomplete.load(Ordering::Relaxed);
        let mut notes = Vec::new();
        if self.sought.short > 0 {
            let count = counted(self.sought.short as u64, "value", "values");
            notes.push(format!("{count} of fewer than 8 characters not looked for"));
        }
        if self.sought.placeholders > 0 {
            let count = counted(self.sought.placeholders as u64, "placeholder", "placeholders");
            notes.push(format!("{count} stored as values not looked for"));
        }
        let mut gaps = Vec::new();
        let guarded = self.guarded.load(Ordering::Relaxed);
        if guarded > 0 {
            gaps.push(format!("{} not looked for", counted(guarded, "guarded value", "guarded values")));
        } else if is_incomplete {
            gaps.push("not everything could be looked at".to_owned());
        }
        let values = counted(self.sought.count() as u64, "value", "values");
        let texts = counted(texts, "file or object", "files and objects");
        let what = if found > 0 {
            notes.append(&mut gaps);
            format!("found in {}", counted(found, "place", "places"))
        } else if gaps.is_empty() {
            "nothing found".to_owned()
        } else {
            // First: it is why the exit code is not that of nothing found.
            format!("{}; nothing else found", gaps.join("; "))
        };
        let notes = notes.iter().map(|note| format!("; {note}")).collect::<String>();
        self.say(&format!("{what}: looked for {values} in {texts}{notes}"));
        ExitCode::from(match (found, is_incomplete) {
            (1.., _) => FOUND,
            (0, true) => INCOMPLETE,
            (0, false) => 0,
        })
    }

    fn say(&self, message: &str) {
        telling::say(PROGRAM, message);
    }

    /// Text from outside, without values and in one line.
    fn shown(&self, text: &[u8]) -> String {
        printable(&String::from_utf8_lossy(&self.sought.masked(text))).into_owned()
    }

    /// The path without values, and what is said of the place.
    fn path(&self, place: &Place<'_>) -> (String, &'static str) {
        let masked = |path: &[u8]| String::from_utf8_lossy(&self.sought.masked(path)).into_owned();
        let of = |path: &Path| masked(path.as_os_str().as_bytes());
        match place {
            Place::File(path) => (of(path), "file"),
            Place::Name(path) => (of(path), "name"),
            Place::Link(path) => (of(path), "link"),
            Place::Staged(path) => (masked(path), "staged"),
            Place::Committed(path, _) => (masked(path), "committed"),
            Place::CommittedName(path, _) => (masked(path), "committed name"),
            Place::Message(kind, id) => (format!("{kind} {}", short(id)), "message"),
            Place::Reference(name) => (masked(name), "reference"),
            Place::Object(id) => (format!("object {}", short(id)), "object"),
            Place::Stdin => ("-".to_owned(), "stdin"),
        }
    }

    fn line(&self, place: &Place<'_>, hit: &Hit) -> String {
        let (path, _) = self.path(place);
        let Hit { line, column, form, .. } = hit;
        let mut notes = Vec::new();
        if hit.is_wide {
            notes.push("utf-16".to_owned());
        }
        if hit.is_part {
            notes.push("part".to_owned());
        }
        match place {
            Place::Name(_) => notes.push("name".to_owned()),
            Place::CommittedName(_, commits) => {
                notes.push("name".to_owned());
                notes.push(in_commits(commits));
            }
            Place::Link(_) => notes.push("link".to_owned()),
            Place::Reference(_) => notes.push("name".to_owned()),
            Place::Staged(_) => {
                notes.extend((*line == 0).then(|| "name".to_owned()));
                notes.push("staged".to_owned());
            }
            Place::Committed(_, commits) => notes.push(in_commits(commits)),
            Place::Object(_) => notes.push("in no commit of a branch or tag".to_owned()),
            Place::File(_) | Place::Message(..) | Place::Stdin => {}
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{}:{line}:{column} {} {form}{notes}", printable(&path), self.sought.name(hit.value))
    }

    fn object(&self, place: &Place<'_>, hit: &Hit) -> String {
        let (path, kind) = self.path(place);
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("place", json!(kind));
        put("path", json!(path));
        put("line", json!(hit.line));
        put("column", json!(hit.column));
        put("offset", json!(hit.offset));
        put("name", json!(self.sought.name(hit.value)));
        put("form", json!(hit.form));
        put("part", json!(hit.is_part));
        put("utf16", json!(hit.is_wide));
        match place {
            Place::Committed(_, commits) | Place::CommittedName(_, commits) => {
                put("commits", json!(commits));
            }
            Place::Message(_, id) | Place::Object(id) => {
                put("object", json!(id));
            }
            Place::File(_)
            | Place::Name(_)
            | Place::Link(_)
            | Place::Staged(_)
            | Place::Reference(_)
            | Place::Stdin => {}
        }
        escaped(&Value::Object(object).to_string())
    }
}

/// JSON in which what could steer a terminal is escaped.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for (character, shown) in each(json) {
        if character == shown {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

fn in_commits(commits: &[String]) -> String {
    let named: Vec<&str> = commits.iter().take(COMMITS).map(|id| short(id)).collect();
    let more = commits.len().saturating_sub(COMMITS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}{more}", if commits.len() == 1 { "commit" } else { "commits" }, named.join(" "))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Says why nothing was done. What can be done about it is on a line of its own.
pub(crate) fn failed(failure: &Failure) -> ExitCode {
    telling::say(PROGRAM, &printable(&failure.message));
    if let Some(fix) = &failure.fix {
        let _ = writeln!(io::stderr(), "fix: {}", printable(fix));
    }
    ExitCode::from(failure.code)
}

/// Says what was done.
pub(crate) fn said(message: &str) {
    telling::say(PROGRAM, &printable(message));
}

/// Prints an answer.
pub(crate) fn answered(text: &str) -> Result<ExitCode, Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::other(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
