//! A file of mode 0600 that is there as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::vault_file::sync_parent;

/// Writes beside the path, makes it durable, and gives it its name then. A regular file or a link of that name is
/// replaced; anything else is refused.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() && !there.is_symlink() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something else than a file"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
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
    fn replaces_files_and_links_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let link = dir.path().join("link");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&path, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "written through a link");
        write(&path, b"newer").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            (fs::read(&link).unwrap(), fs::read(&path).unwrap()),
            (b"new".to_vec(), b"newer".to_vec())
        );
        assert!(write(dir.path(), b"x").is_err());
        assert!(write(&dir.path().join("none/file"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "a draft was left");
    }
}
