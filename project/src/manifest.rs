//! A file with those that it extends: merged, and checked as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::document::{Document, RequireReason, Required, Scope, Written};
use crate::fault::Fault;
use crate::profile::Profile;
use crate::table::Place;
use crate::{DEFAULT, FILE, names};

/// The most bytes of one file, for who reads them.
pub const LIMIT: usize = 1 << 20;

/// The most files that belong together.
const MOST_FILES: usize = 64;

/// The longest name that the vault takes.
const LONGEST_NAME: usize = 255;

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which file it is, by whatever name it was found: the same file has the same one.
    pub file: PathBuf,
    /// The directory from which the paths in it go.
    pub dir: PathBuf,
    /// What it holds.
    pub text: Vec<u8>,
}

/// What is said in a manifest and does not count here, because it is about other stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key with those of the tables that it is in.
    pub key: String,
}

/// What a project wants.
#[derive(Debug, Clone)]
pub struct Manifest {
    name: String,
    require_reason: Option<RequireReason>,
    profiles: BTreeMap<String, Profile>,
    scopes: BTreeMap<String, Vec<String>>,
    files: Vec<PathBuf>,
    ignored: Vec<Ignored>,
}

impl Manifest {
    /// Reads a manifest; `read` reads each file that it extends, by path, and says in a few words why if it can't.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with any of the files, with file, line and key.
    pub fn load(first: Source, read: &mut dyn FnMut(&Path) -> Result<Source, String>) -> Result<Self, Fault> {
        let mut graph = Graph { read, open: Vec::new(), files: Vec::new(), documents: Vec::new() };
        graph.visit(first)?;
        let Graph { files, documents, .. } = graph;
        let ignored = documents.iter().flat_map(|document| &document.stores).map(Ignored::of).collect();
        let mut documents = documents.into_iter();
        let Some(mut merged) = documents.next() else {
            return Err(Fault::of_file(Path::new(FILE), "there is nothing to read"));
        };
        documents.for_each(|later| merged.overlay(later));
        Self::settle(merged, files, ignored)
    }

    fn settle(document: Document, files: Vec<PathBuf>, ignored: Vec<Ignored>) -> Result<Self, Fault> {
        let base = document.profiles.get(DEFAULT);
        let mut profiles = BTreeMap::new();
        // `default` comes first, so that what others inherit is told where it stands.
        let first = base.map(|base| (DEFAULT, base));
        let others = document.profiles.iter().filter(|(name, _)| *name != DEFAULT);
        for (name, written) in first.into_iter().chain(others.map(|(name, written)| (name.as_str(), written)))
        {
            check_keys(&document, name, written)?;
            let inherits = name != DEFAULT && written.defaults.inherit.unwrap_or(true);
            let profile = Profile::of(name, written, base.filter(|_| inherits))?;
            profiles.insert(name.to_owned(), profile);
        }
        if profiles.is_empty() {
            return Err(document.place.fault("there must be a profile, such as [profiles.default]"));
        }
        check_profiles(&document)?;
        for (name, scope) in &document.scopes {
            check_scope(name, scope, &profiles)?;
        }
        Ok(Self {
            name: document.name,
            require_reason: document.require_reason,
            profiles,
            scopes: document.scopes.into_iter().map(|(name, scope)| (name, scope.secrets)).collect(),
            files,
            ignored,
        })
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the project's names in the vault begin with.
    pub fn prefix(&self) -> String {
        names::prefix(&self.name)
    }

    /// Whose requests need a reason, if the manifest says so.
    pub const fn require_reason(&self) -> Option<RequireReason> {
        self.require_reason
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The profiles' names.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The secrets of this scope.
    pub fn scope(&self, name: &str) -> Option<&[String]> {
        self.scopes.get(name).map(Vec::as_slice)
    }

    /// The scopes' names.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    /// Each secret of any profile, once.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> =
            self.profiles.values().flat_map(|profile| profile.secrets.keys()).map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Each secret that some profile looks for in the vault, once: what is composed of others is not there.
    pub fn looked_for(&self) -> BTreeSet<&str> {
        let all = self.profiles.values().flat_map(|profile| profile.secrets.iter());
        all.filter(|(_, secret)| secret.composed.is_none()).map(|(key, _)| key.as_str()).collect()
    }

    /// The files that were read; the manifest itself is the last one.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What does not count here.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// What is asked for, by profile and name, as texts that differ whenever something else than a description does.
    pub fn asks(&self) -> BTreeMap<&str, BTreeMap<&str, &str>> {
        let all = self.profiles.iter();
        all.map(|(name, profile)| (name.as_str(), profile.asks())).collect()
    }

    /// All that counts, as a text that differs whenever something else than a description does.
    pub fn meaning(&self) -> String {
        format!("{:?}", (&self.name, self.require_reason, self.asks(), &self.scopes))
    }
}

impl Ignored {
    fn of(place: &Place) -> Self {
        Self { file: place.file.clone(), line: place.line, key: place.key.clone() }
    }
}

/// Files on the way to one manifest: each once, what is extended before what extends it.
struct Graph<'r> {
    read: &'r mut dyn FnMut(&Path) -> Result<Source, String>,
    open: Vec<PathBuf>,
    files: Vec<PathBuf>,
    documents: Vec<Document>,
}

impl Graph<'_> {
    fn visit(&mut self, source: Source) -> Result<(), Fault> {
        let Source { file, dir, text } = source;
        let text = String::from_utf8(text).map_err(|error| {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            Fault { line: Some(line), ..Fault::of_file(&file, "not UTF-8 text") }
        })?;
        let document = Document::parse(&file, &text)?;
        self.open.push(file.clone());
        for (at, entry) in document.extends.iter().enumerate() {
            let wrong = |what: &str| document.extends_at.fault(format!("entry {}: {what}", at + 1));
            if self.open.len() + self.files.len() >= MOST_FILES {
                return Err(wrong("too many files belong together"));
            }
            let path = if entry.ends_with(".toml") { dir.join(entry) } else { dir.join(entry).join(FILE) };
            let parent = (self.read)(&path).map_err(|what| wrong(&what))?;
            if self.open.contains(&parent.file) {
                return Err(wrong("it extends itself, if not at once"));
            }
            if !self.files.contains(&parent.file) {
                self.visit(parent)?;
            }
        }
        self.open.pop();
        self.files.push(file);
        self.documents.push(document);
        Ok(())
    }
}

impl Document {
    /// Takes over what a file says that extends this one. A secret that it has counts as a whole.
    fn overlay(&mut self, later: Self) {
        (self.name, self.place) = (later.name, later.place);
        self.require_reason = later.require_reason.or(self.require_reason);
        for (name, later) in later.profiles {
            match self.profiles.get_mut(&name) {
                Some(profile) => profile.overlay(later),
                None => drop(self.profiles.insert(name, later)),
            }
        }
        self.scopes.extend(later.scopes);
    }
}

impl Written {
    fn overlay(&mut self, later: Self) {
        let earlier = std::mem::take(&mut self.defaults);
        self.defaults.inherit = later.defaults.inherit.or(earlier.inherit);
        self.defaults.required = later.defaults.required.or(earlier.required);
        self.defaults.default = later.defaults.default.or(earlier.default);
        self.place = later.place;
        self.secrets.extend(later.secrets);
    }
}

/// Names of secrets are names of variables and of secrets in the vault, which knows no lower case.
fn check_keys(document: &Document, profile: &str, written: &Written) -> Result<(), Fault> {
    let prefix = names::prefix(&document.name);
    let all = document.profiles.values().flat_map(|profile| profile.secrets.keys());
    // Of two that become the same the last one is kept, from which the first one differs.
    let keys: BTreeMap<String, &String> = all.map(|key| (key.to_ascii_uppercase(), key)).collect();
    for (key, fields) in &written.secrets {
        let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !starts_well || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let what =
                "a secret's name has letters from A to Z, digits and underscores, and begins with no digit";
            return Err(fields.place.fault(what));
        }
        if names::Names::of(&prefix, profile, key).own().len() > LONGEST_NAME {
            return Err(fields.place.fault("with the project's name it is longer than 255 characters"));
        }
        if fields.required == Some(Required::Alone(true)) && fields.default.is_some() {
            return Err(fields.place.fault("what has a default is not required"));
        }
        if keys.get(&key.to_ascii_uppercase()).is_some_and(|other| *other != key) {
            let what =
                "another secret differs in upper and lower case alone, which the vault does not tell apart";
            return Err(fields.place.fault(what));
        }
    }
    Ok(())
}

/// Profiles whose names become the same would have each other's secrets.
fn check_profiles(document: &Document) -> Result<(), Fault> {
    let mut seen = Vec::new();
    for (name, written) in &document.profiles {
        if name.trim().is_empty() {
            return Err(written.place.fault("a profile must have a name"));
        }
        let part = names::profile(name);
        if seen.contains(&part) {
            let what = "in the vault its names would be those of another profile; rename one";
            return Err(written.place.fault(what));
        }
        seen.push(part);
    }
    Ok(())
}

fn check_scope(name: &str, scope: &Scope, profiles: &BTreeMap<String, Profile>) -> Result<(), Fault> {
    let is_known = |key: &String| profiles.values().any(|profile| profile.secrets.contains_key(key));
    let mut seen: Vec<&String> = Vec::new();
    let wrong = if name.trim().is_empty() {
        Some("a scope must have a name".to_owned())
    } else if scope.secrets.is_empty() {
        Some("it must name a secret".to_owned())
    } else {
        scope.secrets.iter().enumerate().find_map(|(at, key)| {
            let is_repeated = seen.contains(&key);
            seen.push(key);
            let what = if is_repeated {
                "is there already"
            } else if !is_known(key) {
                "is a secret of no profile"
            } else {
                return None;
            };
            Some(format!("entry {} {what}", at + 1))
        })
    };
    wrong.map_or(Ok(()), |what| Err(scope.place.fault(what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, text: String) -> Source {
        Source { file: file.into(), dir: "/p".into(), text: text.into_bytes() }
    }

    fn text(name: &str, extends: &str, secrets: &str) -> String {
        format!(
            "[project]\nname = {name:?}\nrevision = \"1.0\"\nextends = [{extends}]\n[profiles.default]\n{secrets}"
        )
    }

    fn load(name: &str, secrets: &str) -> Result<Manifest, Fault> {
        let source = source("/p/secretspec.toml", text(name, "", secrets));
        Manifest::load(source, &mut |_| Err("nothing is read".to_owned()))
    }

    #[test]
    fn names_fit_into_the_vault() {
        let secret = |key: &str| format!("{key} = {{ description = \"a\" }}\n");
        let long = "A".repeat(LONGEST_NAME - "P__".len());
        assert!(load("p", &secret(&long)).is_ok());
        for bad in [format!("{long}A"), "\"Ä\"".to_owned(), "\"A B\"".to_owned(), "9".to_owned()] {
            assert!(load("p", &secret(&bad)).is_err(), "{bad}");
        }
        let fault = load("p", &(secret("A") + &secret("a"))).unwrap_err();
        assert_eq!((fault.line, fault.key.as_deref()), (Some(6), Some("profiles.default.A")));
        for bad in ["", "a\u{0}", "a\nb"] {
            assert!(load(bad, &secret("A")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_composed_in_few_steps() {
        let chain = |steps: usize| {
            let step =
                |at: usize| format!("A{} = {{ description = \"a\", composed = \"${{A{}}}\" }}\n", at + 1, at);
            "A0 = { description = \"a\" }\n".to_owned() + &(0..steps).map(step).collect::<String>()
        };
        assert!(load("p", &chain(20)).is_ok());
        for steps in [40, 20_000] {
            let fault = load("p", &chain(steps)).unwrap_err();
            assert!(fault.what.contains("in more than"), "{fault}");
        }
    }

    #[test]
    fn files_without_end_are_not_read() {
        let mut count = 0;
        let mut endless = |_: &Path| {
            count += 1;
            Ok(source(&format!("/p/{count}"), text("p", "\"x\"", "")))
        };
        let first = source("/p/secretspec.toml", text("p", "\"x\"", "A = { description = \"a\" }"));
        let fault = Manifest::load(first, &mut endless).unwrap_err();
        assert!(fault.what.contains("too many files"), "{fault}");
        assert!(count <= MOST_FILES, "{count}");
    }

    #[test]
    fn what_counts_differs_and_descriptions_do_not_count() {
        let meaning = |secrets: &str| load("p", secrets).unwrap().meaning();
        let base = meaning("A = { description = \"a\" }");
        assert_eq!(base, meaning("# so\nA.description = 'another'"));
        for other in [
            "A = { description = \"a\", required = true }",
            "A = { description = \"a\", as_path = true }",
            "A = { description = \"a\", encoding = \"hex\" }",
            "A = { description = \"a\", default = \"\" }",
            "A = { description = \"a\", type = \"hex\", generate = true }",
            "A = { description = \"a\", prompt = true }",
            "A = { description = \"a\" }\n[scopes.s]\nsecrets = [\"A\"]",
            "A = { description = \"a\" }\n[profiles.p]",
        ] {
            assert_ne!(base, meaning(other), "{other}");
        }
    }
}
