//! Who has the vault: the daemon that has written itself into its lock, if it runs.

use std::fs;
use std::path::Path;

use secrets_local::lock::{self, Noted};
use secrets_local::places;

/// What the daemon that has the vault in this directory has written about itself, if it runs.
pub(crate) fn of(data_dir: &Path) -> Option<Noted> {
    let path = data_dir.join(places::LOCK);
    let noted = lock::last_holder(&path);
    let runs = match noted.pid() {
        Some(pid) => is_daemon(pid.as_raw_nonzero().get()),
        None => noted.is_elsewhere() && lock::is_held(&path),
    };
    runs.then_some(noted)
}

/// Whether both paths name one socket: directories may be written in several ways.
pub(crate) fn is_same_socket(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_owned()));
    one == other || place(one).is_some_and(|place_of_one| place(other) == Some(place_of_one))
}

fn is_daemon(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, and the state: one that has ended may still be listed until its parent asks.
    let Some((name, state)) = stat.rsplit_once(") ") else { return false };
    name.ends_with(" (secretsd") && !state.starts_with(['Z', 'X'])
}
