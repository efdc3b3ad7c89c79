//! Which manifests the owner has allowed, and what they asked for then: a file in the state directory. A repository that
//! somebody else wrote gets nothing because a command was run in it; and one that was allowed gets nothing more because
//! it has changed. Not a wall against programs that run as the user, who can write this file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock};
use secrets_local::files;
use secrets_project::Manifest;
use secrets_proto::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::failure::{Exit, Failure};

/// The file, in the state directory.
const NAME: &str = "projects.json";

/// What is held while it is replaced.
const LOCK: &str = "projects.lock";

/// More bytes than thousands of projects take.
const LIMIT: u64 = 16 << 20;

/// How many names are told one by one.
const LISTED: usize = 12;

/// What of a digest tells one secret's settings from others.
const SHORT: usize = 16;

/// What the owner has allowed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    version: u32,
    projects: Vec<Record>,
}

/// A manifest that the owner has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The manifest's file.
    pub(crate) manifest: PathBuf,
    /// The project's name.
    pub(crate) project: String,
    /// What its names in the vault begin with.
    pub(crate) prefix: String,
    /// Over all that counts of the manifest and what it extends.
    sha256: String,
    /// The names without the project's prefix that it may have.
    pub(crate) shared: BTreeSet<String>,
    /// What it asked for: by profile the secrets, each with a digest of what was said of it.
    pub(crate) asks: Asks,
    /// When it was allowed.
    pub(crate) allowed_at: Timestamp,
}

impl Book {
    const VERSION: u32 = 1;

    /// What was allowed; nothing if there is no file yet.
    pub(crate) fn read() -> Result<Self, Failure> {
        let path = dir()?.join(NAME);
        let is_there = files::check_private_file(&path).map_err(|error| unusable(&error.to_string()))?;
        if !is_there {
            return Ok(Self { version: Self::VERSION, projects: Vec::new() });
        }
        let bytes = files::read_private(&path, LIMIT).map_err(|error| unusable(&error.to_string()))?;
        let book: Option<Self> = serde_json::from_slice(&bytes).ok();
        book.filter(|book| book.version == Self::VERSION).ok_or_else(|| {
            let path = path.display();
            unusable(&format!(
                "{path} is damaged, or of another version; move it away and allow your projects again"
            ))
        })
    }

    /// Changes what is allowed; nobody else does meanwhile.
    pub(crate) fn change<T>(change: impl FnOnce(&mut Self) -> T) -> Result<T, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Other, format!("nothing was changed: {error}"))
        };
        let dir = files::private_dir(&dir()?).map_err(|error| failed(&error))?;
        let lock: File = files::open_private(&dir.join(LOCK)).map_err(|error| failed(&error))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(&error))?;
        let mut book = Self::read()?;
        let told = change(&mut book);
        let text = serde_json::to_vec_pretty(&book).map_err(|_| failed(&"it cannot be written as JSON"))?;
        files::replace_private(&dir.join(NAME), &text).map_err(|error| failed(&error))?;
        Ok(told)
    }

    /// All of them, by their files.
    pub(crate) fn records(&self) -> &[Record] {
        &self.projects
    }

    /// What was allowed of this file.
    pub(crate) fn of(&self, manifest: &Path) -> Option<&Record> {
        self.projects.iter().find(|record| record.manifest == manifest)
    }

    /// The same manifest, allowed in another place where it is no longer.
    pub(crate) fn moved(&self, manifest: &Manifest) -> Option<&Record> {
        let sha256 = sum(&manifest.meaning());
        self.projects.iter().find(|record| record.sha256 == sha256 && !record.manifest.exists())
    }

    /// Other manifests whose names in the vault begin in the same way.
    pub(crate) fn alike(&self, prefix: &str, except: &Path) -> Vec<&Record> {
        let others = self.projects.iter().filter(|record| record.manifest != except);
        others.filter(|record| record.prefix == prefix).collect()
    }

    /// Allows this; what was allowed of the same file is forgotten.
    pub(crate) fn allow(&mut self, record: Record) {
        self.projects.retain(|other| other.manifest != record.manifest);
        self.projects.push(record);
        self.projects.sort_by(|one, other| one.manifest.cmp(&other.manifest));
    }

    /// Forgets a file; whether it was known.
    pub(crate) fn forget(&mut self, manifest: &Path) -> bool {
        let before = self.projects.len();
        self.projects.retain(|record| record.manifest != manifest);
        self.projects.len() < before
    }
}

impl Record {
    /// A manifest as it is now, with these shared names.
    pub(crate) fn of(file: &Path, manifest: &Manifest, shared: BTreeSet<String>) -> Self {
        Self {
            manifest: file.to_owned(),
            project: manifest.name().to_owned(),
            prefix: manifest.prefix(),
            sha256: sum(&manifest.meaning()),
            shared,
            asks: asks(manifest),
            allowed_at: Timestamp::now(),
        }
    }

    /// Whether a manifest is what was allowed.
    pub(crate) fn is_of(&self, manifest: &Manifest) -> bool {
        self.sha256 == sum(&manifest.meaning())
    }

    /// What is another in a manifest than was allowed, in words.
    pub(crate) fn difference(&self, manifest: &Manifest) -> String {
        let now = asks(manifest);
        let mut parts = Vec::new();
        if self.prefix != manifest.prefix() {
            parts.push(format!("its names are {}__*, and were {}__*", manifest.prefix(), self.prefix));
        }
        let lacks = |other: Option<&String>, _: &String| other.is_none();
        let differs = |other: Option<&String>, own: &String| other.is_some_and(|other| other != own);
        for (what, names) in [
            ("new", among(&now, &self.asks, &lacks)),
            ("gone", among(&self.asks, &now, &lacks)),
            ("changed", among(&now, &self.asks, &differs)),
        ] {
            if !names.is_empty() {
                parts.push(format!("{what}: {}", listed(&names)));
            }
        }
        if parts.is_empty() { "scopes or other settings".to_owned() } else { parts.join("; ") }
    }
}

/// By profile the secrets, each with a digest of what was said of it.
type Asks = BTreeMap<String, BTreeMap<String, String>>;

/// Those secrets that are so beside the other ones; each with its profile, unless it is so in the profile that is meant if
/// none is named, of which the others inherit.
fn among(asks: &Asks, others: &Asks, is_so: &dyn Fn(Option<&String>, &String) -> bool) -> BTreeSet<String> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (profile, keys) in asks {
        let others = others.get(profile);
        for (key, own) in keys {
            if is_so(others.and_then(|others| others.get(key)), own) {
                found.entry(key).or_default().push(profile);
            }
        }
    }
    let told = |(key, profiles): (&str, Vec<&str>)| {
        if profiles.contains(&secrets_project::DEFAULT) {
            key.to_owned()
        } else {
            format!("{key} ({})", profiles.join(", "))
        }
    };
    found.into_iter().map(told).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    let mut text = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

fn asks(manifest: &Manifest) -> Asks {
    let of = |keys: BTreeMap<&str, &str>| {
        let each = keys
            .into_iter()
            .map(|(key, meaning)| (key.to_owned(), sum(meaning).chars().take(SHORT).collect()));
        each.collect()
    };
    manifest.asks().into_iter().map(|(profile, keys)| (profile.to_owned(), of(keys))).collect()
}

fn sum(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dir() -> Result<PathBuf, Failure> {
    environment::state_dir().ok_or_else(|| unusable("HOME is not set, so that there is no state directory"))
}

fn unusable(why: &str) -> Failure {
    Failure::new(Exit::Other, format!("it is not known which projects are allowed: {why}"))
}

#[cfg(test)]
mod tests {
    use secrets_project::Source;

    use super::*;

    fn manifest(name: &str, secrets: &str) -> Manifest {
        let text = format!("[project]\nname = \"{name}\"\nrevision = \"1.0\"\n[profiles.default]\n{secrets}");
        let source = Source { file: "/p/secretspec.toml".into(), dir: "/p".into(), text: text.into_bytes() };
        Manifest::load(source, &mut |_| Err("none".to_owned())).unwrap()
    }

    #[test]
    fn a_description_is_no_change_and_everything_else_is_one() {
        let before = manifest("a", "A = { description = \"a\" }\nB = { description = \"b\" }");
        let record = Record::of(Path::new("/p/secretspec.toml"), &before, BTreeSet::new());
        for same in [
            "A = { description = \"other\" }\nB = { description = \"b\" }",
            "# so\n[profiles.default.A]\ndescription = \"a\"\n[profiles.default.B]\ndescription = \"b\"",
        ] {
            assert!(record.is_of(&manifest("a", same)), "{same}");
        }
        for (name, secrets, difference) in [
            ("a", "A = { description = \"a\" }", "gone: B"),
            ("a", "A = { description = \"a\" }\nC = { description = \"b\" }", "new: C; gone: B"),
            ("a", "A = { description = \"a\", default = \"x\" }\nB = { description = \"b\" }", "changed: A"),
            (
                "b",
                "A = { description = \"a\" }\nB = { description = \"b\" }",
                "its names are B__*, and were A__*",
            ),
            (
                "a",
                "A = { description = \"a\" }\nB = { description = \"b\" }\n[scopes.s]\nsecrets = [\"A\"]",
                "scopes or other settings",
            ),
            (
                "a",
                "A = { description = \"a\" }\nB = { description = \"b\" }\n[profiles.p]\n",
                "new: A (p), B (p)",
            ),
        ] {
            let after = manifest(name, secrets);
            assert!(!record.is_of(&after), "{secrets}");
            assert_eq!(record.difference(&after), difference);
        }
    }
}
