//! Files and directories that a fenced command must not create, because git would obey them: they are there before it, in a
//! form that means nothing, and mounted so that it cannot change them. They go with the last fence that needs them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// What stands in the place of something that must not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// An empty directory.
    Directory,
    /// A file with this text.
    File(&'static str),
}

/// One such place, as long as it is held. Each fence has a shared lock on it; so what one needs no other removes.
#[derive(Debug)]
pub(super) struct Reserved {
    path: PathBuf,
    blank: Blank,
    file: File,
}

impl Reserved {
    /// Whether something can be reserved there: nothing is there, or what another fence has reserved.
    pub(super) fn is_free(path: &Path, blank: Blank) -> bool {
        match fs::symlink_metadata(path) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(found) => match blank {
                Blank::Directory => {
                    found.is_dir() && fs::read_dir(path).is_ok_and(|mut all| all.next().is_none())
                }
                Blank::File(text) => {
                    found.is_file()
                        && found.len() == text.len() as u64
                        && fs::read(path).is_ok_and(|read| read == text.as_bytes())
                }
            },
        }
    }

    /// Makes it, or takes over what another fence has made.
    pub(super) fn make(path: &Path, blank: Blank) -> io::Result<Self> {
        loop {
            make(path, blank)?;
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            flock(&file, FlockOperation::LockShared)?;
            let is_there = fs::symlink_metadata(path).is_ok_and(|there| {
                file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
            });
            if is_there {
                return Ok(Self { path: path.to_owned(), blank, file });
            }
        }
    }
}

fn make(path: &Path, blank: Blank) -> io::Result<()> {
    let made = match blank {
        Blank::Directory => DirBuilder::new().mode(0o755).create(path),
        Blank::File(text) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes())),
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Reserved {
    /// Removes it if no other fence needs it, and nobody has put something into it.
    fn drop(&mut self) {
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        match self.blank {
            Blank::Directory => drop(fs::remove_dir(&self.path)),
            Blank::File(text) => {
                let mut read = String::new();
                if (&self.file).take(64).read_to_string(&mut read).is_ok() && read == text {
                    drop(fs::remove_file(&self.path));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_goes_with_the_last_who_needs_it() {
        let root = tempfile::tempdir().unwrap();
        for (name, blank) in [("hooks", Blank::Directory), ("commondir", Blank::File(".\n"))] {
            let path = root.path().join(name);
            assert!(Reserved::is_free(&path, blank));
            let first = Reserved::make(&path, blank).unwrap();
            assert!(path.exists() && Reserved::is_free(&path, blank));
            let second = Reserved::make(&path, blank).unwrap();
            drop(first);
            assert!(path.exists(), "{name}");
            drop(second);
            assert!(!path.exists(), "{name}");
        }
    }

    #[test]
    fn what_somebody_has_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let dir = Reserved::make(&root.path().join("hooks"), Blank::Directory).unwrap();
        fs::write(root.path().join("hooks/x"), "").unwrap();
        let file = Reserved::make(&root.path().join("commondir"), Blank::File(".\n")).unwrap();
        fs::write(root.path().join("commondir"), "else").unwrap();
        drop((dir, file));
        assert!(root.path().join("hooks/x").exists() && root.path().join("commondir").exists());
        assert!(!Reserved::is_free(&root.path().join("hooks"), Blank::Directory));
        assert!(!Reserved::is_free(&root.path().join("commondir"), Blank::File(".\n")));
    }
}
