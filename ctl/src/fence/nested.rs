//! Checkouts and repositories below a directory: git obeys their settings and hooks as it does those of the directory itself,
//! once somebody goes there. They are looked for when the fence is built, so that all of them are somebody else's than the
//! command's.

use std::fs;
use std::path::{Path, PathBuf};

/// The most directories that are looked into. A package manager's can be tens of thousands.
const MOST_LOOKED: usize = 500_000;

/// The most that are guarded: each takes several mounts, and a fence with thousands of these is slow to build.
const MOST_FOUND: usize = 64;

/// The directories below this one, not itself, that are the top of a checkout, or a repository.
///
/// # Errors
/// For a person, if there are too many to look at or to guard.
pub(super) fn below(root: &Path) -> Result<Vec<PathBuf>, String> {
    let too_many = |what: &str| {
        Err(format!("{} holds too many {what}; start in the directory of one project", root.display()))
    };
    let (mut found, mut left, mut looked) = (Vec::new(), vec![root.to_owned()], 0);
    while let Some(dir) = left.pop() {
        looked += 1;
        if looked > MOST_LOOKED {
            return too_many("directories to look for checkouts in");
        }
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let (mut below, mut is_checkout) = (Vec::new(), false);
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            if entry.file_name() == ".git" {
                is_checkout = true;
            } else if kind.is_dir() {
                below.push(entry.path());
            }
        }
        if dir != root {
            let is_repository = !is_checkout && is_bare(&dir);
            if is_checkout || is_repository {
                found.push(dir);
            }
            if found.len() > MOST_FOUND {
                return too_many("checkouts");
            }
            // What is in one is its objects.
            if is_repository {
                continue;
            }
        }
        left.append(&mut below);
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether git takes a directory itself for a repository, if there is no other in it.
pub(super) fn is_bare(dir: &Path) -> bool {
    dir.join("HEAD").is_file() && dir.join("objects").is_dir()
}
