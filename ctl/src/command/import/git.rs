//! Whether git tracks a file: asked of git itself, which is given no chance to run what a repository configures.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::environment;

/// How long git may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What git says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    Yes,
    No,
    Unknown(&'static str),
}

/// Asks git, if the file is in a repository at all.
pub(super) fn tracked(path: &Path) -> Tracked {
    let Ok(path) = path.canonicalize() else { return Tracked::No };
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Tracked::No };
    if !dir.ancestors().any(|dir| dir.join(".git").exists()) {
        return Tracked::No;
    }
    // Variables like GIT_DIR speak of another repository.
    let variables = environment::for_child(false).into_iter();
    let variables = variables.filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"GIT_"));
    let spawned = Command::new("git")
        .args(["--literal-pathspecs", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C"])
        .arg(dir)
        .args(["ls-files", "--error-unmatch", "--"])
        .arg(name)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut git) = spawned else { return Tracked::Unknown("git not found") };
    match wait(&mut git).and_then(|status| status.code()) {
        Some(0) => Tracked::Yes,
        Some(1) => Tracked::No,
        Some(_) => Tracked::Unknown("git failed; see: git status"),
        None => Tracked::Unknown("git does not answer"),
    }
}

fn wait(git: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(status) = git.try_wait().ok()? {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = git.kill();
    let _ = git.wait();
    None
}
