//! What git would obey in a directory that a fenced command writes to: hooks, settings, and files that say where those are.
//! They stay as they are, even where they are not there yet; otherwise the next git outside would do what the command wrote
//! into them.
//!
//! Guarded are the checkouts that the writable directories are themselves, and those that are below them when the fence is
//! built (`nested`), with their submodules' and work trees' settings, and what those include. What the command makes below
//! is its own, and so is the index of the checkout, by which git looks into directories below.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::nested::{self, is_bare};
use super::reserve::{Blank, Reserved};

/// How deep submodules may be nested, with the parts of their names.
const DEEPEST: usize = 8;

/// More files of settings than include each other anywhere; git itself follows them ten deep.
const MOST_INCLUDED: usize = 1_000;

/// What `.git/commondir` says of a repository that is its own.
const ITSELF: Blank = Blank::File(".\n");

/// One guarded place.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) path: PathBuf,
    /// Whether only the place itself stays, as with `.git`, in which git writes.
    pub(super) may_change: bool,
    /// What is put there first, if nothing is there.
    pub(super) blank: Option<Blank>,
    /// Which file it was.
    was: Option<(u64, u64)>,
}

impl Guard {
    fn new(path: PathBuf, blank: Option<Blank>) -> Self {
        let was = fs::symlink_metadata(&path).ok().map(|found| identity(&found));
        Self { path, may_change: false, blank, was }
    }

    /// Whether something else is there now.
    pub(super) fn is_replaced(&self) -> bool {
        let is = fs::symlink_metadata(&self.path).ok().map(|found| identity(&found));
        self.was.is_some() && is != self.was
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// What is guarded in these directories.
///
/// # Errors
/// What cannot be kept as it is, for a person.
pub(super) fn guards(writable: &[PathBuf], home: Option<&Path>) -> Result<Vec<Guard>, String> {
    let mut found = Found { writable, home, guards: Vec::new(), read: HashSet::new() };
    for root in writable {
        let dot = root.join(".git");
        match fs::symlink_metadata(&dot) {
            Ok(git) if git.is_dir() && !Reserved::is_free(&dot, Blank::Directory) => {
                found.repository(&dot, root)?;
            }
            // It says where the repository is: in a submodule, or a work tree.
            Ok(git) if git.is_file() => found.add(Guard::new(dot, None)),
            Ok(git) if git.is_symlink() => return Err(link(&dot)),
            _ if is_bare(root) => {
                found.repository(root, root.parent().filter(|_| root.ends_with(".git")).unwrap_or(root))?
            }
            // No repository is made around the user.
            _ => found.add(Guard::new(dot, Some(Blank::Directory))),
        }
        for tree in nested::below(root)? {
            found.nested(&tree);
        }
    }
    for name in [".gitconfig", ".config/git/config"] {
        if let (Some(home), Some(root)) = (home, writable.first()) {
            found.settings(&home.join(name), root)?;
        }
    }
    Ok(found.guards)
}

fn link(path: &Path) -> String {
    format!(
        "{} is a symbolic link, which the command could replace; put what it leads to in its place",
        path.display()
    )
}

struct Found<'a> {
    writable: &'a [PathBuf],
    home: Option<&'a Path>,
    guards: Vec<Guard>,
    /// The files of settings that were read, each for a tree: they can include each other.
    read: HashSet<(PathBuf, PathBuf)>,
}

impl Found<'_> {
    fn add(&mut self, guard: Guard) {
        if !self.guards.iter().any(|known| known.path == guard.path) {
            self.guards.push(guard);
        }
    }

    /// What git obeys in a checkout below a writable directory. A link in the place of something of it, which the command could
    /// replace, is left as it is: a tool that makes many checkouts may have made it.
    fn nested(&mut self, tree: &Path) {
        let dot = tree.join(".git");
        let _ = match fs::symlink_metadata(&dot) {
            Ok(git) if git.is_dir() => self.repository(&dot, tree),
            Ok(git) if git.is_file() => self.keep(&dot, None),
            _ if is_bare(tree) => self.repository(tree, tree),
            _ => Ok(()),
        };
    }

    /// What git obeys in a repository's directory, whose work tree is there.
    fn repository(&mut self, git: &Path, tree: &Path) -> Result<(), String> {
        if !self.writable.iter().any(|dir| dir == git) {
            self.add(Guard { may_change: true, ..Guard::new(git.to_owned(), None) });
        }
        self.keep(&git.join("config"), Some(Blank::File("")))?;
        self.keep(&git.join("hooks"), Some(Blank::Directory))?;
        self.keep(&git.join("commondir"), Some(ITSELF))?;
        let has_own = self.settings(&git.join("config"), tree)?;
        let for_tree = has_own.then_some(Blank::File(""));
        self.keep(&git.join("config.worktree"), for_tree)?;
        self.settings(&git.join("config.worktree"), tree)?;
        self.linked_hooks(&git.join("hooks"));
        for tree in dirs_in(&git.join("worktrees")) {
            for name in ["commondir", "gitdir"] {
                self.keep(&tree.join(name), None)?;
            }
            self.keep(&tree.join("config.worktree"), for_tree)?;
        }
        self.modules(&git.join("modules"), 0)
    }

    /// Submodules' repositories, whose names can have several parts.
    fn modules(&mut self, dir: &Path, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("submodules in {} are nested too deep", dir.display()));
        }
        for module in dirs_in(dir) {
            if module.join("HEAD").is_file() {
                let tree = tree_of(&module).unwrap_or_else(|| module.clone());
                self.repository(&module, &tree)?;
                self.keep(&tree.join(".git"), None)?;
            } else {
                self.modules(&module, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Keeps a file or directory as it is; or if nothing is there, and something could be that matters, keeps it so.
    fn keep(&mut self, path: &Path, blank: Option<Blank>) -> Result<(), String> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => return Err(link(path)),
            Ok(_) => {
                // What another fence keeps free must not go when that one ends.
                let reserved = blank.filter(|blank| Reserved::is_free(path, *blank));
                self.add(Guard::new(path.to_owned(), reserved));
            }
            Err(_) if blank.is_some() => self.add(Guard::new(path.to_owned(), blank)),
            Err(_) => {}
        }
        Ok(())
    }

    /// What settings name that git obeys, too: another directory of hooks, and more settings. Tells whether work trees have
    /// settings of their own.
    fn settings(&mut self, file: &Path, tree: &Path) -> Result<bool, String> {
        if self.read.len() >= MOST_INCLUDED {
            return Err(format!("more than {MOST_INCLUDED} files of git's settings include each other"));
        }
        // Once for each tree: what they name is relative to it.
        if !self.read.insert((file.to_owned(), tree.to_owned())) {
            return Ok(false);
        }
        let text = fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let text = text.replace("\\\r\n", "").replace("\\\n", "");
        let mut has_own = false;
        for (name, value) in text.lines().filter_map(setting) {
            let (from, blank) = match name.as_str() {
                "hookspath" => (tree, Blank::Directory),
                "path" => {
                    let included = plain(&self.expanded(&value, file.parent().unwrap_or(tree)));
                    self.named(&included, Blank::File(""))?;
                    // It can include more, wherever it is.
                    if included.is_file() {
                        has_own |= self.settings(&included, tree)?;
                    }
                    continue;
                }
                "worktreeconfig" => {
                    has_own = true;
                    continue;
                }
                _ => {
                    self.program(&value, tree);
                    continue;
                }
            };
            self.named(&plain(&self.expanded(&value, from)), blank)?;
        }
        Ok(has_own)
    }

    /// Keeps a file of the work tree that a setting names with a path, as a filter, an editor or a monitor may be.
    fn program(&mut self, value: &str, tree: &Path) {
        let word = value.trim_start_matches('!').split_whitespace().next().filter(|word| word.contains('/'));
        if let Some(real) = word.and_then(|word| tree.join(word).canonicalize().ok())
            && real.is_file()
            && self.is_writable(&real)
        {
            self.add(Guard::new(real, None));
        }
    }

    fn expanded(&self, value: &str, from: &Path) -> PathBuf {
        match (value.strip_prefix("~/"), self.home) {
            (Some(below), Some(home)) => home.join(below),
            _ => from.join(value),
        }
    }

    /// Keeps a path that settings name, if the command could write there.
    fn named(&mut self, path: &Path, blank: Blank) -> Result<(), String> {
        if let Ok(real) = path.canonicalize() {
            let is_way_plain = real == path;
            if !is_way_plain && self.is_writable(path) {
                return Err(link(path));
            }
            if self.is_writable(&real) {
                self.add(Guard::new(real.clone(), None));
                self.linked_hooks(&real);
            }
            return Ok(());
        }
        if !self.is_writable(path) {
            return Ok(());
        }
        // The first part that is not there keeps all below it from being there.
        let mut missing = path;
        let mut blank = blank;
        while let Some(above) = missing.parent().filter(|above| fs::symlink_metadata(above).is_err()) {
            (missing, blank) = (above, Blank::Directory);
        }
        self.keep(missing, Some(blank))
    }

    /// Hooks that are links to files that the command could write.
    fn linked_hooks(&mut self, hooks: &Path) {
        for entry in fs::read_dir(hooks).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink())
                && let Ok(real) = entry.path().canonicalize()
                && self.is_writable(&real)
            {
                self.add(Guard::new(real, None));
            }
        }
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.writable.iter().any(|dir| path.starts_with(dir) && path != dir)
    }
}

/// A path without `.` and `..`, as far as the text goes.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// A line `name = value` of git's settings (git-config(1)), in lower case the name, which can stand behind its section; the
/// value without quotes and comment. Which section it is does not matter here: too much is kept rather than too little.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = if line.starts_with('[') { line.split_once(']')?.1 } else { line };
    let (name, value) = line.split_once('=').unwrap_or((line, "true"));
    Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
}

fn unquoted(value: &str) -> String {
    let (mut plain, mut is_quoted, mut characters) = (String::new(), false, value.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => break,
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain.trim_end().to_owned()
}

/// Where a submodule's files are, by its repository's settings.
fn tree_of(module: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(module.join("config")).ok()?;
    let (_, tree) = text.lines().filter_map(setting).find(|(name, _)| name == "worktree")?;
    module.join(tree).canonicalize().ok()
}

fn dirs_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(writable: &[&Path], root: &Path) -> Vec<String> {
        let writable: Vec<PathBuf> = writable.iter().map(|dir| (*dir).to_owned()).collect();
        let guards = guards(&writable, None).unwrap();
        let mut names: Vec<String> = guards
            .iter()
            .map(|guard| {
                let blank = if guard.blank.is_some() { "+" } else { "" };
                format!("{blank}{}", guard.path.strip_prefix(root).unwrap().display())
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_git_obeys_is_guarded_there_or_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(guarded(&[&root], &root), ["+.git"]);
        write(".git/HEAD", "");
        write(
            ".git/config",
            "[core] hooksPath = .husky/_\n[include]\n\tpath = ../more\n[filter \"x\"]\n\tclean = ./tools/clean -f\n",
        );
        assert_eq!(
            guarded(&[&root], &root),
            ["+.git/commondir", "+.git/hooks", "+.husky", "+more", ".git", ".git/config"]
        );
        write(".husky/_/pre-commit", "");
        write("more", "");
        write(".git/hooks/x", "");
        write("tools/hook", "");
        write("tools/clean", "");
        std::os::unix::fs::symlink(root.join("tools/hook"), root.join(".git/hooks/pre-push")).unwrap();
        write(".git/worktrees/w/gitdir", "");
        write(".git/worktrees/w/commondir", "");
        write(".git/modules/a/b/HEAD", "");
        write(".git/modules/a/b/config", "\tworktree = ../../../../sub\n");
        write("sub/.git", "gitdir: ../.git/modules/a/b\n");
        let expected = [
            "+.git/commondir",
            "+.git/modules/a/b/commondir",
            "+.git/modules/a/b/hooks",
            ".git",
            ".git/config",
            ".git/hooks",
            ".git/modules/a/b",
            ".git/modules/a/b/config",
            ".git/worktrees/w/commondir",
            ".git/worktrees/w/gitdir",
            ".husky/_",
            "more",
            "sub/.git",
            "tools/clean",
            "tools/hook",
        ];
        assert_eq!(guarded(&[&root], &root), expected);
        // A repository's own directory, and a work tree.
        write(".git/objects/x", "");
        assert_eq!(guarded(&[&root.join(".git")], &root)[0], "+.git/commondir");
        assert_eq!(guarded(&[&root.join("sub")], &root), ["sub/.git"]);
        write(".git/config", "[extensions]\n\tworktreeConfig = true\n");
        let names = guarded(&[&root], &root);
        assert!(names.contains(&"+.git/config.worktree".to_owned()), "{names:?}");
        assert!(names.contains(&"+.git/worktrees/w/config.worktree".to_owned()), "{names:?}");
    }

    #[test]
    fn includes_are_followed_and_checkouts_below_are_guarded() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let elsewhere = elsewhere.path().canonicalize().unwrap();
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(root.join(".git/HEAD"), "");
        write(root.join(".git/config"), "[include]\n\tpath = \"../one\" ; a note\n");
        write(root.join("one"), &format!("[include]\n path = {}/two # more\n", elsewhere.display()));
        write(
            elsewhere.join("two"),
            &format!("[include]\n path = {0}/th\\\nree\n path = {0}/one\n", root.display()),
        );
        write(root.join("three"), "[core]\n\thooksPath = far/hooks\n");
        write(root.join("vendor/lib/.git/HEAD"), "");
        write(root.join("vendor/lib/.git/config"), "[include]\npath = ../own\n");
        write(root.join("vendor/bare/HEAD"), "");
        write(root.join("vendor/bare/objects/x"), "");
        write(root.join("vendor/tree/.git"), "gitdir: /elsewhere\n");
        let names = guarded(&[&root], &root);
        for name in [
            "one",
            "three",
            "+far",
            "vendor/lib/.git",
            "vendor/lib/.git/config",
            "+vendor/lib/.git/hooks",
            "+vendor/lib/own",
            "vendor/bare",
            "+vendor/bare/hooks",
            "vendor/tree/.git",
        ] {
            assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
        }
    }

    #[test]
    fn a_link_that_could_be_replaced_is_refused() {
        for name in [".git", ".git/hooks", ".git/config"] {
            let root = tempfile::tempdir().unwrap();
            let root = root.path().canonicalize().unwrap();
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let elsewhere = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            fs::write(root.join(".git/HEAD"), "").err();
            assert!(guards(&[root], None).unwrap_err().contains("symbolic link"), "{name}");
        }
    }
}
