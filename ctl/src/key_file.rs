//! Key files on their way to the daemon, which reads them itself. What only we can read, a pipe of the shell or our stdin,
//! is passed on as a file beside the socket, for as long as we run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use run_files::RunFiles;
use secrets_local::{files, key_file};
use signal_hook::consts::{SIGCONT, SIGTSTP};

use crate::failure::{Exit, Failure};
use crate::{ending, environment, input};

/// The most bytes of a key file, and one more.
const LIMIT: usize = 4_096;

/// What we pass on.
static PASSED: Mutex<Vec<RunFiles>> = Mutex::new(Vec::new());

/// A key file's path as the daemon needs it: absolute, and text, because it travels in JSON. `runtime` is the directory of
/// the daemon's socket.
pub(crate) fn path(runtime: Option<&Path>, path: &Path) -> Result<(PathBuf, String), Failure> {
    let mut path = environment::absolute(path)?;
    if is_our_descriptor(&path) {
        path = pass_on(runtime, &path)?;
    }
    let Some(text) = path.to_str().map(str::to_owned) else {
        return Err(Failure::new(Exit::Invalid, "the key file's path is not UTF-8 text; choose another"));
    };
    Ok((path, text))
}

/// Removes what was passed on.
pub(crate) fn forget() {
    PASSED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Whether it is something that we have open, like `/dev/fd/63` and `/dev/stdin`: it is nothing to the daemon.
fn is_our_descriptor(path: &Path) -> bool {
    let ours = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
    let is_below =
        |path: &Path| path.parent().and_then(|dir| dir.canonicalize().ok()).is_some_and(|dir| dir == ours);
    is_below(path) || fs::read_link(path).is_ok_and(|target| is_below(&target))
}

fn pass_on(runtime: Option<&Path>, path: &Path) -> Result<PathBuf, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Invalid, format!("the key file cannot be read: {error}"))
    };
    let file = input::open(path, "the key file").map_err(|error| unusable(&error))?;
    let metadata = file.metadata().map_err(|error| unusable(&error))?;
    key_file::check(path, &metadata).map_err(|error| unusable(&error))?;
    let content = input::bounded(file, "the key file", LIMIT)?;
    let unplaced = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Other, format!("cannot pass the key file on to secretsd: {error}"))
    };
    let runtime = files::private_dir(runtime.unwrap_or(Path::new("/"))).map_err(|error| unplaced(&error))?;
    ending::before(|signal| {
        if signal != SIGCONT && signal != SIGTSTP {
            forget();
        }
    })
    .map_err(|error| unplaced(&error))?;
    let files = RunFiles::create(&runtime).map_err(|error| unplaced(&error))?;
    let passed = files.put("key", &content).map_err(|error| unplaced(&error))?;
    PASSED.lock().unwrap_or_else(PoisonError::into_inner).push(files);
    Ok(passed)
}
