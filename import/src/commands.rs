//! Stores whose own program gives the values: `pass`, `gopass` and `keyring`. A value comes through a pipe; on a command
//! line there are only the names under which the store has it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::found::Found;
use crate::name;
use crate::read::pass;

/// The most entries of a store.
const MOST: usize = 5_000;

/// What is said of a link that is not followed.
const OUTSIDE: &str = "a link that leads out of the store, left out; import what it leads to by its own path";

/// How deep a store's directories go.
const DEEPEST: usize = 16;

/// The most bytes that a program may print for an entry.
const LONGEST: u64 = 1 << 20;

/// Reads a store in this directory by its program, which is `pass` or `gopass`.
pub(crate) fn store(program: &str, directory: &Path) -> Found {
    let Entries { names: entries, outside } = entries(directory);
    if let (true, Some(first)) = (entries.is_empty(), outside.first()) {
        return Found::refused(first, OUTSIDE);
    }
    if entries.is_empty() {
        return Found::refused(
            "the store",
            "there are no files that end in .gpg or .age; name the store's directory",
        );
    }
    if entries.len() > MOST {
        return Found::refused("the store", format!("more than {MOST} entries; name one of its directories"));
    }
    let mut found = Found::default();
    for link in outside {
        found.say(format!("{link}: {OUTSIDE}"));
    }
    let flags: &[&str] = if is_gopasspw(program) { &["show", "--noparsing", "--unsafe"] } else { &["show"] };
    // The root of the store has the ids of its keys; a directory inside of it may be named, too.
    let (root, below) = root_of(directory);
    for entry in entries {
        let full = if below.is_empty() { entry.clone() } else { format!("{below}/{entry}") };
        let mut command = Command::new(program);
        command.args(flags).arg("--").arg(&full).env("PASSWORD_STORE_DIR", &root);
        match printed(&mut command) {
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => pass::take(&entry, text, &mut found),
                Err(_) => found.fault(&entry, name::of(entry.split('/')), "not UTF-8 text"),
            },
            Err(Bad::Missing) => {
                return Found::refused("the store", format!("{program} is not installed, or not in PATH"));
            }
            Err(Bad::Failed(reason)) => {
                found.fault(&entry, name::of(entry.split('/')), format!("{program} {reason}"));
                // Each of the others would ask for the key's passphrase again.
                if found.entries.is_empty() {
                    return found;
                }
            }
        }
    }
    found
}

/// Asks `keyring` for each `SERVICE USER` that a list names, one a line; a tab between them if the service has blanks.
pub(crate) fn keyring(list: &str) -> Found {
    let mut found = Found::default();
    for (at, line) in list.lines().enumerate() {
        let (place, line) = (format!("line {}", at + 1), line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (service, user) = match (line.split_once('\t'), words.as_slice()) {
            (Some((service, user)), _) => (service.trim(), user.trim()),
            (None, [service, user]) => (*service, *user),
            _ => {
                found.fault(
                    place,
                    None,
                    "expected a service and a user, with a tab between them if there are blanks",
                );
                continue;
            }
        };
        if service.starts_with('-') || user.starts_with('-') {
            found.fault(place, None, "neither a service nor a user may begin with -");
            continue;
        }
        let is_address = service.contains("://") || service.contains('.');
        let named =
            if is_address { name::of_host("KEYRING", service) } else { name::of_named("KEYRING", service) };
        match printed(Command::new("keyring").args(["get", service, user])) {
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(text);
                    found.add_noted(
                        place,
                        named,
                        Zeroizing::new(text.to_owned()),
                        Some(format!("user={user}")),
                    );
                }
                Err(_) => found.fault(place, named, "not UTF-8 text"),
            },
            Err(Bad::Missing) => return Found::refused(place, "keyring is not installed, or not in PATH"),
            Err(Bad::Failed(_)) => found.fault(place, named, "keyring has nothing for this service and user"),
        }
    }
    found
}

/// What a store has.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// The names of its encrypted files, in their order, without hidden ones.
    pub(crate) names: Vec<String>,
    /// The links that lead out of it.
    outside: Vec<String>,
}

/// What is in a store's directory.
pub(crate) fn entries(directory: &Path) -> Entries {
    let (root, _) = root_of(directory);
    // The directory itself was named, wherever it leads.
    let within = [root.as_path(), directory].iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut walk = Walk { directory, within, seen: HashSet::new(), found: Entries::default() };
    walk.collect(&mut PathBuf::new(), 0);
    let mut found = walk.found;
    found.names.sort();
    found.outside.sort();
    found
}

/// A walk through a store. Links are followed, as pass does, but into each directory once, and not out of the store: a
/// store may be shared, and a link in it lead to anything.
struct Walk<'a> {
    directory: &'a Path,
    within: Vec<PathBuf>,
    seen: HashSet<PathBuf>,
    found: Entries,
}

impl Walk<'_> {
    fn collect(&mut self, below: &mut PathBuf, depth: usize) {
        let here = self.directory.join(&*below);
        if !here.canonicalize().is_ok_and(|path| self.seen.insert(path)) {
            return;
        }
        let Ok(inside) = fs::read_dir(here) else { return };
        for entry in inside.flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || self.found.names.len() > MOST {
                continue;
            }
            below.push(&name);
            self.entry(below, depth);
            below.pop();
        }
    }

    fn entry(&mut self, below: &mut PathBuf, depth: usize) {
        let path = self.directory.join(&*below);
        let (is_dir, is_entry) = (path.is_dir(), is_entry(&path));
        if !is_dir && !is_entry {
            return;
        }
        let is_within = |path: PathBuf| self.within.iter().any(|within| path.starts_with(within));
        if !path.canonicalize().is_ok_and(is_within) {
            if self.found.outside.len() < MOST {
                self.found.outside.push(below.to_string_lossy().into_owned());
            }
        } else if is_dir {
            if depth < DEEPEST {
                self.collect(below, depth + 1);
            }
        } else {
            let text = below.with_extension("");
            self.found.names.extend(text.to_str().map(str::to_owned));
        }
    }
}

fn is_entry(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|end| end == "gpg" || end == "age") && path.is_file()
}

/// The store that a directory is in, and where in it.
fn root_of(directory: &Path) -> (PathBuf, String) {
    let has_ids = |dir: &&Path| dir.join(".gpg-id").exists() || dir.join(".age-recipients").exists();
    // A part of a store may have keys of its own: the outermost directory is the store.
    let root = directory.ancestors().filter(has_ids).last().unwrap_or(directory);
    let below = directory.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
    (root.to_owned(), below.to_owned())
}

/// Whether `gopass` is the one of gopasspw. Debian has another program of this name, whose `show` takes no flags.
fn is_gopasspw(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    program == "gopass" && command.status().is_ok_and(|status| status.success())
}

enum Bad {
    Missing,
    Failed(String),
}

/// What a program prints. It may ask for a passphrase at the terminal, and its own words go to standard error.
fn printed(command: &mut Command) -> Result<Zeroizing<Vec<u8>>, Bad> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let mut child = spawned.map_err(|_| Bad::Missing)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = child.stdout.take().map(|out| out.take(LONGEST + 1).read_to_end(&mut bytes));
    let is_long = bytes.len() as u64 > LONGEST;
    if is_long {
        let _ = child.kill();
    }
    let status = child.wait();
    match (read, status) {
        _ if is_long => Err(Bad::Failed("prints more than a value may have".to_owned())),
        (Some(Ok(_)), Ok(status)) if status.success() => Ok(bytes),
        (_, Ok(status)) => Err(Bad::Failed(
            status.code().map_or("was ended".to_owned(), |code| format!("failed with status {code}")),
        )),
        (_, Err(_)) => Err(Bad::Failed("failed".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_leads_out_of_a_store() {
        let dir = std::env::temp_dir().join(format!("secretctl-import-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let store = dir.join("store");
        for part in ["store/work", "store/other", "outside/deep"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        for file in ["store/.gpg-id", "store/a.gpg", "store/work/b.gpg", "outside/deep/c.gpg"] {
            fs::write(dir.join(file), "x").unwrap();
        }
        symlink("/", store.join("root")).unwrap();
        symlink("../outside", store.join("out")).unwrap();
        symlink("../outside/deep/c.gpg", store.join("file.gpg")).unwrap();
        symlink("../work", store.join("other/inside")).unwrap();
        symlink("../a.gpg", store.join("work/again.gpg")).unwrap();
        symlink(&store, dir.join("link")).unwrap();
        for named in [store.clone(), dir.join("link")] {
            let found = entries(&named);
            let inside = found.names.iter().filter(|name| name.ends_with("/b")).count();
            assert_eq!((found.names.len(), inside), (3, 1), "{found:?}");
            assert!(found.names.contains(&"a".to_owned()), "{found:?}");
            assert_eq!(found.outside, ["file.gpg", "out", "root"], "{found:?}");
        }
        // What was named is read, wherever it leads; and one directory of a store may lead to another.
        assert_eq!(entries(&store.join("out")).names, ["deep/c"]);
        assert_eq!(entries(&store.join("other")).names, ["inside/again", "inside/b"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
