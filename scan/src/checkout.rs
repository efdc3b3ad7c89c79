//! The working directory as git sees it. What git has is looked at in any case: a tree walks by the rules of a library, and
//! where that reads a file of rules otherwise than git (links, braces, brackets), it must hide nothing from us.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ignore::WalkBuilder;

use crate::failure::Failure;
use crate::files::{Seen, listed, name, walk};
use crate::git::Git;
use crate::report::Report;
use crate::stream::Scanner;
use crate::values::Sought;

/// Scans it: what is ignored is left out, unless git has it all the same. Checkouts below it are looked at in the same way,
/// each by its own git.
pub(crate) fn here(sought: &Arc<Sought>, report: &Report) {
    let checkouts = Arc::new(Mutex::new(Vec::new()));
    let mut builder = WalkBuilder::new(".");
    let found = Arc::clone(&checkouts);
    // Files of ripgrep's own would hide what git has.
    builder.ignore(false).hidden(false).filter_entry(move |entry| {
        let is_git = entry.depth() > 0 && entry.file_name() == ".git";
        if is_git && entry.depth() > 1 {
            let dir = entry.path().parent().unwrap_or(entry.path());
            let dir = dir.strip_prefix("./").unwrap_or(dir).to_owned();
            found.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
        }
        !is_git
    });
    let seen = Seen::default();
    let first = thread::scope(|scope| {
        let first = scope.spawn(first);
        walk(&builder, sought, report, Some(&seen));
        first.join().unwrap_or_else(|_| Err(Failure::other("git could not be asked")))
    });
    let mut rest = Rest { seen: seen.paths(), scanner: Scanner::new(sought), report, asked: HashSet::new() };
    let mut next = rest.take(Path::new(""), first);
    next.append(&mut checkouts.lock().unwrap_or_else(PoisonError::into_inner));
    while let Some(dir) = next.pop() {
        if rest.asked.insert(dir.clone()) {
            let files = Git::here().files(&dir);
            next.append(&mut rest.take(&dir, files));
        }
    }
}

/// What git has in the working directory. Where there is no git or no repository there is nothing.
fn first() -> Result<Vec<PathBuf>, Failure> {
    let here = Path::new(".").canonicalize();
    let is_there = |dir: &Path| dir.join(".git").symlink_metadata().is_ok();
    if here.is_ok_and(|here| here.ancestors().any(is_there)) {
        return Git::here().files(Path::new(""));
    }
    Ok(Vec::new())
}

/// What the walk has not come by.
struct Rest<'a> {
    seen: HashSet<PathBuf>,
    scanner: Scanner,
    report: &'a Report,
    /// The checkouts whose git was asked.
    asked: HashSet<PathBuf>,
}

impl Rest<'_> {
    /// Looks at what git has in a checkout; what it names as checkouts in their turn is returned.
    fn take(&mut self, dir: &Path, files: Result<Vec<PathBuf>, Failure>) -> Vec<PathBuf> {
        let files = match files {
            Ok(files) => files,
            Err(failure) => {
                let what = match dir.as_os_str().is_empty() {
                    true => "what git has here".into(),
                    false => format!("what git has in {}", dir.display()),
                };
                self.report.incomplete(&what, &failure.message);
                return Vec::new();
            }
        };
        let mut checkouts = Vec::new();
        for file in files {
            let path = dir.join(file);
            if self.seen.contains(&path) {
                continue;
            }
            let is_there = listed(&path, &mut self.scanner, self.report);
            // A submodule, or a checkout that git does not look into.
            let is_dir = path.symlink_metadata().is_ok_and(|data| data.is_dir());
            if is_there && is_dir && path.join(".git").symlink_metadata().is_ok() {
                checkouts.push(path.clone());
            }
            if is_there {
                self.names(&path);
            }
        }
        checkouts
    }

    /// The names of a path's directories, and its own, each once.
    fn names(&mut self, path: &Path) {
        for part in path.ancestors().take_while(|part| !part.as_os_str().is_empty()) {
            if !self.seen.insert(part.to_owned()) {
                return;
            }
            name(part, &mut self.scanner, self.report);
        }
    }
}
