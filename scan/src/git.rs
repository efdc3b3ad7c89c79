//! git's command, told to run nothing that a repository or a variable names, and to show what is there. Only commands are
//! used that scripts are meant to use (git(1), "plumbing"): the others obey settings. Nothing that a repository
//! holds becomes an argument but ids of objects, which are read from git.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::failure::Failure;

/// Variables by which git tells a hook where it works.
const OF_HOOKS: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"];

/// Settings of a repository that name programs, or change what is seen.
const SETTINGS: [&str; 8] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.sshCommand=false",
    "core.pager=cat",
    "core.commitGraph=false",
    "core.quotePath=false",
    "diff.ignoreSubmodules=none",
    "submodule.recurse=false",
];

/// git in a directory.
#[derive(Debug)]
pub(crate) struct Git {
    is_hook: bool,
    keeps_hooks_path: bool,
}

impl Git {
    /// git in the working directory, whatever the variables say.
    pub(crate) const fn here() -> Self {
        Self { is_hook: false, keeps_hooks_path: false }
    }

    /// git as it has started a hook.
    pub(crate) const fn of_hook(is_hook: bool) -> Self {
        Self { is_hook, keeps_hooks_path: false }
    }

    /// git that says where its hooks are.
    pub(crate) const fn with_hooks() -> Self {
        Self { is_hook: false, keeps_hooks_path: true }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            let is_git = name.as_encoded_bytes().starts_with(b"GIT_");
            if is_git && !(self.is_hook && OF_HOOKS.iter().any(|kept| OsStr::new(kept) == name)) {
                command.env_remove(name);
            }
        }
        for (name, value) in [
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            // Objects that are not here would be fetched, by programs that the repository names.
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command.arg("--no-pager");
        for setting in SETTINGS {
            if !(self.keeps_hooks_path && setting.starts_with("core.hooksPath")) {
                command.args(["-c", setting]);
            }
        }
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// What git prints, or why it does not.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        printed(self.command(arguments))
    }

    /// Whether git ends well with this.
    pub(crate) fn agrees(&self, arguments: &[&str]) -> Result<bool, Failure> {
        let output = self.command(arguments).output().map_err(|error| not_started(&error))?;
        Ok(output.status.success())
    }

    /// The files below a directory, from there: those in the index, and those that are not ignored. A checkout that git does
    /// not look into is one of them. The empty path is the working directory.
    pub(crate) fn files(&self, dir: &Path) -> Result<Vec<PathBuf>, Failure> {
        let mut command = self.command(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        if !dir.as_os_str().is_empty() {
            command.current_dir(dir);
        }
        let listed = printed(command)?;
        let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(|path| PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()))).collect())
    }

    /// Starts it, to be read as it goes on.
    pub(crate) fn start(&self, arguments: &[&str], input: Stdio) -> Result<Running, Failure> {
        let mut command = self.command(arguments);
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Ok(Running { child: child.map_err(|error| not_started(&error))? })
    }
}

/// git at work. It ends with us, or before.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// What it prints.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout, Failure> {
        self.child.stdout.take().ok_or_else(|| Failure::other("git has no output"))
    }

    /// Where it reads.
    pub(crate) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Whether it has ended well.
    pub(crate) fn ended_well(mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }
}

fn printed(mut command: Command) -> Result<Vec<u8>, Failure> {
    let output = command.output().map_err(|error| not_started(&error))?;
    if output.status.success() { Ok(output.stdout) } else { Err(refused(&output.stderr)) }
}

fn not_started(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::other("git is not in PATH; install it");
    }
    Failure::other(format!("cannot start git: {error}"))
}

/// git's own last line: the first that says that something is fatal, or what there is.
fn refused(stderr: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.starts_with("fatal: ")).or_else(|| text.lines().last());
    let line = line.unwrap_or("it does not say why");
    Failure::other(format!("git: {}", line.strip_prefix("fatal: ").unwrap_or(line)))
}

/// An object, as git says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob,
    Tree,
    Commit,
    Tag,
}

/// What `git cat-file --batch` prints: a line for each object, then what it holds.
pub(crate) struct Objects {
    reader: BufReader<ChildStdout>,
}

/// The next of them.
pub(crate) enum Next {
    There(Object),
    /// It is not there, and git says so.
    Missing(String),
}

impl Objects {
    pub(crate) fn new(stdout: ChildStdout) -> Self {
        // A pipe holds 64 KiB.
        Self { reader: BufReader::with_capacity(128 << 10, stdout) }
    }

    /// The next object, until there is none.
    pub(crate) fn next(&mut self) -> io::Result<Option<Next>> {
        let mut line = String::new();
        if self.reader.by_ref().take(4096).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_ascii_whitespace();
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "git answers in another form");
        let (id, kind, size) = (words.next().ok_or_else(odd)?, words.next().ok_or_else(odd)?, words.next());
        let kind = match kind {
            "blob" => Kind::Blob,
            "tree" => Kind::Tree,
            "commit" => Kind::Commit,
            "tag" => Kind::Tag,
            "missing" => return Ok(Some(Next::Missing(id.to_owned()))),
            _ => return Err(odd()),
        };
        let size = size.and_then(|size| size.parse().ok()).ok_or_else(odd)?;
        Ok(Some(Next::There(Object { id: id.to_owned(), kind, size })))
    }

    /// What the object holds that came last. All of it must be read before the next.
    pub(crate) fn content(&mut self, object: &Object) -> io::Take<&mut BufReader<ChildStdout>> {
        self.reader.by_ref().take(object.size)
    }

    /// Reads the line end behind an object.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        self.reader.read_exact(&mut [0])
    }
}

/// The directory of hooks, as git says it.
pub(crate) fn hooks_dir() -> Result<PathBuf, Failure> {
    let said = Git::with_hooks().output(&["rev-parse", "--git-path", "hooks"])?;
    let said = said.strip_suffix(b"\n").unwrap_or(&said).to_vec();
    let path = PathBuf::from(std::ffi::OsString::from_vec(said));
    std::path::absolute(&path).map_err(|error| Failure::other(format!("{}: {error}", shown(&path))))
}

/// A path for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
