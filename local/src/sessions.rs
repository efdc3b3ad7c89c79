//! Where a session with a name has its sockets, and what is known of it when its broker is gone.
//!
//! ```text
//! <runtime directory>/proxy/NAME/control.sock   over which programs come into it; nothing else is in that directory
//! <runtime directory>/brokers/NAME.sock         on which its broker takes its user's orders
//! <runtime directory>/brokers/NAME.json         what it is
//! <runtime directory>/brokers/ID.ended          that the daemon is still to end it
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use secrets_proto::Uuid;
use secrets_proto::broker::{Note, SessionName};

use crate::{files, places};

/// More than a note can be: 64 names.
const MOST_BYTES: u64 = 64 << 10;

/// The paths of one session.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its own directory, to be mounted.
    pub dir: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// The socket for orders.
    pub orders: PathBuf,
    /// What it is.
    pub note: PathBuf,
}

impl Place {
    /// The paths of a session below the directory of the daemon's socket.
    pub fn new(runtime: &Path, name: &SessionName) -> Self {
        let dir = runtime.join(places::SESSIONS).join(name.as_str());
        let brokers = runtime.join(places::BROKERS);
        Self {
            control: dir.join(places::CONTROL),
            dir,
            orders: brokers.join(format!("{name}.sock")),
            note: brokers.join(format!("{name}.json")),
        }
    }

    /// Makes the session's directories, private, and writes down what it is. What an earlier session of the name has left
    /// is removed first.
    ///
    /// # Errors
    /// Where somebody else has a directory, or the system refuses.
    pub fn prepare(&self, note: &Note) -> Result<(), files::Error> {
        self.remove();
        for dir in [self.orders.parent(), self.dir.parent(), Some(&self.dir)].into_iter().flatten() {
            files::private_dir(dir)?;
        }
        let text =
            serde_json::to_vec(note).map_err(|error| files::Error::Io(self.note.clone(), error.into()))?;
        files::replace_private(&self.note, &text)
    }

    /// What the session of this place is, or was.
    pub fn note(&self) -> Option<Note> {
        serde_json::from_slice(&files::read_private(&self.note, MOST_BYTES).ok()?).ok()
    }

    /// Removes all that is there of the session. What is not ours makes that its directory stays.
    pub fn remove(&self) {
        for file in [&self.control, &self.orders, &self.note] {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

/// The names of the sessions below the directory of the daemon's socket, of those that have ended unseen too, in order.
pub fn names(runtime: &Path) -> Vec<SessionName> {
    let entries = fs::read_dir(runtime.join(places::BROKERS)).into_iter().flatten().flatten();
    let mut names: Vec<SessionName> = entries
        .filter_map(|entry| SessionName::parse(entry.file_name().to_str()?.strip_suffix(".json")?).ok())
        .collect();
    names.sort_unstable();
    names
}

/// What the name of a file ends with that says which session is still to be ended.
const ENDED: &str = ".ended";

/// Writes down that a session is over, which the daemon could not be told, because the vault is locked.
///
/// # Errors
/// Where somebody else has the directory, or the system refuses.
pub fn remember_ended(runtime: &Path, session: Uuid) -> Result<(), files::Error> {
    let dir = files::private_dir(&runtime.join(places::BROKERS))?;
    files::replace_private(&dir.join(format!("{session}{ENDED}")), b"")
}

/// The sessions that the daemon is still to end.
pub fn ended(runtime: &Path) -> Vec<Uuid> {
    let entries = fs::read_dir(runtime.join(places::BROKERS)).into_iter().flatten().flatten();
    let id = |name: &str| Uuid::try_parse(name.strip_suffix(ENDED)?).ok();
    entries.filter_map(|entry| id(entry.file_name().to_str()?)).collect()
}

/// Forgets that the daemon is to end this session.
pub fn forget_ended(runtime: &Path, session: Uuid) {
    let _ = fs::remove_file(runtime.join(places::BROKERS).join(format!("{session}{ENDED}")));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_to_be_ended_is_remembered_until_it_is() {
        let runtime =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        assert!(ended(runtime.path()).is_empty());
        let id = Uuid::from_u128(7);
        remember_ended(runtime.path(), id).unwrap();
        assert_eq!((ended(runtime.path()), names(runtime.path())), (vec![id], vec![]));
        forget_ended(runtime.path(), id);
        assert!(ended(runtime.path()).is_empty());
    }

    #[test]
    fn a_session_has_a_directory_with_nothing_but_its_control_socket() {
        let runtime =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let name = SessionName::parse("build-1").unwrap();
        let place = Place::new(runtime.path(), &name);
        let note: Note = serde_json::from_value(serde_json::json!({
            "name": "build-1", "started_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
            "session": "f6b9f6e5-6be2-45c8-8b29-a62331819f3f", "secrets": ["KEY"],
        }))
        .unwrap();
        place.prepare(&note).unwrap();
        assert_eq!(fs::read_dir(&place.dir).unwrap().count(), 0);
        for dir in ["proxy", "proxy/build-1", "brokers"] {
            assert_eq!(
                fs::metadata(runtime.path().join(dir)).unwrap().permissions().mode() & 0o777,
                0o700,
                "{dir}"
            );
        }
        assert_eq!(place.note(), Some(note.clone()));
        fs::write(place.orders.with_file_name("no name.json"), "").unwrap();
        assert_eq!(names(runtime.path()), [name]);
        fs::write(&place.control, "left").unwrap();
        place.prepare(&note).unwrap();
        assert!(!place.control.exists() && place.dir.exists());
        place.remove();
        assert!(!place.dir.exists() && place.note().is_none() && names(runtime.path()).is_empty());
    }
}
