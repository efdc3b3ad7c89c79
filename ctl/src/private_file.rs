//! A file of mode 0600 that is there as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::vault_file::sync_parent;

/// Writes beside the path, makes it durable, and gives it its name then. Replaces a regular file and nothing else.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    check_replaceable(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}", std::process::id()));
    let draft = Draft(path.with_file_name(draft));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft.0, path)?;
    sync_parent(path)
}

/// Whether a file may take this name: nothing has it, or a regular file. A link may be `/dev/stdout`, or belong to
/// somebody who does not expect to find a file in its place.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => Ok(()),
        Ok(there) if there.is_symlink() => refused("there is a symbolic link; name the file itself"),
        Ok(_) => refused("there is something else than a file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removed when dropped; after the renaming there is nothing of that name.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn replaces_files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        for target in ["file", "none", "/dev/null", "."] {
            let link = dir.path().join("link");
            symlink(target, &link).unwrap();
            assert!(write(&link, b"new").is_err(), "{target}");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{target}");
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"old", "written through a link");
        write(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write(dir.path(), b"x").is_err());
        assert!(write(&dir.path().join("none/file"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left");
    }
}
