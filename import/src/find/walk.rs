//! Files that may lie anywhere below the home directory and the working directory: dotenv files, `.npmrc` of projects, and
//! exports of password managers. Bounded, for a home directory may be large; where a bound was reached, that is said.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::known::home;
use super::{Kind, Place};
use crate::format::Format;

/// The most entries of directories that are looked at.
const ENTRIES: usize = 200_000;

/// How deep below where it begins.
const DEEPEST: usize = 6;

/// Directories in which projects keep what others wrote, and caches.
const PASSED: [&str; 12] = [
    "node_modules",
    "target",
    "venv",
    ".venv",
    "__pycache__",
    "site-packages",
    "vendor",
    "dist",
    "build",
    "snap",
    "lost+found",
    "proc",
];

/// Ends of names of dotenv files that are examples.
const EXAMPLES: [&str; 6] = [".example", ".sample", ".template", ".dist", ".tmpl", ".defaults"];

/// What was found, and whether everything was looked at.
pub(crate) struct Walked {
    pub(crate) places: Vec<Place>,
    pub(crate) complete: bool,
}

/// Looks below the home directory and the working directory. It follows no links and stays on their file systems.
pub(crate) fn places() -> Walked {
    let mut walked = Walked { places: Vec::new(), complete: true };
    let (mut seen, mut entries) = (HashSet::new(), 0);
    for root in roots() {
        let Ok(device) = fs::metadata(&root).map(|metadata| metadata.dev()) else { continue };
        let mut waiting = VecDeque::from([(root, 0)]);
        while let Some((directory, depth)) = waiting.pop_front() {
            let Ok(metadata) = fs::symlink_metadata(&directory) else { continue };
            if metadata.dev() != device || !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            let Ok(inside) = fs::read_dir(&directory) else { continue };
            for entry in inside.flatten() {
                entries += 1;
                if entries > ENTRIES {
                    walked.complete = false;
                    return sorted(walked);
                }
                let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
                if kind.is_dir() {
                    if may_enter(&path) {
                        if depth < DEEPEST {
                            waiting.push_back((path, depth + 1));
                        } else {
                            walked.complete = false;
                        }
                    }
                } else if kind.is_file()
                    && let Some(kind) = kind_of(&path)
                {
                    walked.places.push(Place { path, kind });
                }
            }
        }
    }
    sorted(walked)
}

/// Where it begins.
pub(crate) fn roots() -> Vec<PathBuf> {
    let roots = [std::env::current_dir().ok(), home("")].into_iter().flatten();
    // As they were before anything was joined to them.
    let mut roots: Vec<PathBuf> = roots.map(|root| root.components().collect()).collect();
    roots.dedup();
    roots
}

fn sorted(mut walked: Walked) -> Walked {
    walked.places.sort_by(|one, other| one.path.cmp(&other.path));
    walked
}

fn may_enter(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !name.starts_with('.') && !PASSED.contains(&name)
}

/// What a file is by its name.
fn kind_of(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    let is_dotenv = name == ".env" || name == ".envrc.local" || name.starts_with(".env.");
    if is_dotenv && !EXAMPLES.iter().any(|end| name.ends_with(end)) {
        return Some(Kind::Dotenv);
    }
    let low = name.to_ascii_lowercase();
    if name == ".npmrc" {
        return Some(Kind::Of(Format::Npm));
    }
    if name == ".pypirc" {
        return Some(Kind::Of(Format::Pypirc));
    }
    if low.ends_with(".1pux") {
        return Some(Kind::OnePux);
    }
    let is_table = low.ends_with(".csv") || low.ends_with(".json");
    if is_table && low.starts_with("bitwarden") && low.contains("export") {
        return Some(Kind::Of(Format::Bitwarden));
    }
    (low.ends_with(".csv") && low.starts_with("1password")).then_some(Kind::Of(Format::OnePassword))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, kind) in [
            (".env", Some(Kind::Dotenv)),
            (".env.local", Some(Kind::Dotenv)),
            (".env.example", None),
            (".env.production.sample", None),
            (".environment", None),
            ("x.env", None),
            (".npmrc", Some(Kind::Of(Format::Npm))),
            ("1PasswordExport-ABC-20261127.1pux", Some(Kind::OnePux)),
            ("1Password.csv", Some(Kind::Of(Format::OnePassword))),
            ("bitwarden_export_20261127.json", Some(Kind::Of(Format::Bitwarden))),
            ("bitwarden_encrypted_export_20261127.json", Some(Kind::Of(Format::Bitwarden))),
            ("notes.csv", None),
        ] {
            assert_eq!(kind_of(Path::new("/x").join(name).as_path()), kind, "{name}");
        }
    }
}
