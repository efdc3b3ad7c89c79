//! The file to import: read once, looked at for who else can read it, and deleted only if it is still the same.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use secrets_local::file_system;
use zeroize::Zeroizing;

use super::git::{self, Tracked};
use crate::failure::{Exit, Failure};
use crate::new_file::NewFile;
use crate::{environment, input, providers};

/// The most characters that a prefix may have that is only an example.
const SHORT: usize = 16;

/// The most bytes of a file.
const LIMIT: usize = 16 << 20;

/// What was read, and from where.
pub(super) struct Source {
    bytes: Zeroizing<Vec<u8>>,
    file: Option<Named>,
}

/// A file with a name.
struct Named {
    path: PathBuf,
    shown: String,
    metadata: fs::Metadata,
}

impl Source {
    /// Reads the file, or stdin if it is `-`. One that is to be deleted must be a regular file and no link.
    pub(super) fn read(path: &Path, delete: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if delete {
                return Err(Failure::new(Exit::Usage, "stdin cannot be deleted; name the file"));
            }
            return Ok(Self { bytes: input::bounded(io::stdin().lock(), "stdin", LIMIT)?, file: None });
        }
        let shown = input::shown(path).unwrap_or_else(|| "the file to import".to_owned());
        let unreadable = |error: io::Error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Other };
            Failure::new(exit, format!("cannot read {shown}: {error}"))
        };
        let path = environment::absolute(path)?;
        let is_file = fs::symlink_metadata(&path).map_err(unreadable)?.is_file();
        if delete && !is_file {
            let text =
                format!("{shown} is not a regular file, so it cannot be deleted; name the file itself");
            return Err(Failure::new(Exit::Invalid, text));
        }
        let file = if delete { open_file(CWD, path.as_os_str()) } else { input::open(&path, &shown) }
            .map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Failure::new(Exit::Invalid, format!("{shown} is a directory")));
        }
        let bytes = input::bounded(file, &shown, LIMIT)?;
        Ok(Self { bytes, file: Some(Named { path, shown, metadata }) })
    }

    /// A store whose values its own program gives.
    pub(super) fn elsewhere(delete: bool) -> Result<Self, Failure> {
        if delete {
            return Err(Failure::new(
                Exit::Usage,
                "a store is not deleted; remove its entries by its own program",
            ));
        }
        Ok(Self { bytes: Zeroizing::default(), file: None })
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file as it may be shown; nothing for stdin.
    pub(super) fn shown(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.shown.as_str())
    }

    /// A prefix for the names of a second project: by the directory that the file is in.
    pub(super) fn prefix(&self) -> String {
        let directory = self.file.as_ref().and_then(|file| file.path.parent()?.file_name()?.to_str());
        let prefix = directory.filter(|name| !providers::looks_like_key(name)).and_then(prefix_of);
        prefix.unwrap_or_else(|| "SHOP_".to_owned())
    }

    /// What its owner should know about the file.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Some(Named { path, shown, metadata }) = &self.file else { return Vec::new() };
        let mut warnings = Vec::new();
        let mode = metadata.mode() & 0o7777;
        if metadata.is_file() && mode & 0o044 != 0 {
            warnings.push(format!(
                "{shown} has mode {mode:04o}: others could read it; replace these values at their providers"
            ));
        }
        match git::tracked(path) {
            Tracked::No => {}
            Tracked::Yes => warnings.push(format!(
                "git tracks {shown}: its history keeps these values; replace them at their providers"
            )),
            Tracked::Unknown(reason) => {
                warnings.push(format!("cannot find out whether git tracks {shown}: {reason}"));
            }
        }
        warnings
    }

    /// Deletes the file if it is the one that was read, and nothing was written to it since.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        self.at_its_place(|dir, name, kept| {
            unlinkat(dir, name, AtFlags::empty())
                .and_then(|()| file_system::sync_dir(dir))
                .map_err(|error| kept(&error))
        })
    }

    /// Puts a file in its place that has these lines of it alone, by their numbers from 1, under the same condition.
    pub(super) fn keep(&self, lines: &[usize]) -> Result<(), Failure> {
        let Some(named) = &self.file else { return Ok(()) };
        let mut text = Zeroizing::new(Vec::with_capacity(self.bytes.len() + 1));
        for (number, line) in (1..).zip(self.bytes.split_inclusive(|byte| *byte == b'\n')) {
            if lines.contains(&number) {
                text.extend_from_slice(line);
            }
        }
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        self.at_its_place(|_, _, kept| {
            let mode = Mode::from_raw_mode(named.metadata.mode() & 0o777);
            let write = || {
                let mut new = NewFile::beside(&named.path, mode)?;
                new.file().write_all(&text)?;
                new.publish(true)
            };
            write().map_err(|error: io::Error| kept(&error))
        })
    }

    /// Does something with the file if it is the one that was read, and nothing was written to it since.
    fn at_its_place(
        &self,
        act: impl FnOnce(&OwnedFd, &OsStr, &dyn Fn(&dyn std::fmt::Display) -> Failure) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(named) = &self.file else { return Ok(()) };
        let shown = &named.shown;
        let kept = |reason: &dyn std::fmt::Display| {
            Failure::new(Exit::Other, format!("all is stored, but {shown} is not deleted: {reason}"))
        };
        // By the directory's descriptor: by its path, another one could stand there a moment later.
        let (Some(parent), Some(name)) = (named.path.parent(), named.path.file_name()) else {
            return Err(kept(&"it has no name"));
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| kept(&error))?;
        match self.is_the_same(named, &dir, name) {
            Ok(true) => {}
            Ok(false) => {
                let text =
                    format!("all is stored, but {shown} has changed since it was read and is not deleted");
                return Err(Failure::new(Exit::Conflict, text));
            }
            Err(error) => return Err(kept(&error)),
        }
        act(&dir, name, &kept)
    }

    /// Whether the name stands for the same file with the same content. Times tell too little: they step.
    fn is_the_same(&self, named: &Named, dir: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let file = open_file(dir, name)?;
        let now = file.metadata()?;
        let then = &named.metadata;
        let is_it = (now.dev(), now.ino(), now.len()) == (then.dev(), then.ino(), then.len())
            && (now.mtime(), now.mtime_nsec()) == (then.mtime(), then.mtime_nsec());
        if !is_it {
            return Ok(false);
        }
        let again =
            input::bounded(file, "it", LIMIT).map_err(|failure| io::Error::other(failure.to_string()))?;
        Ok(*again == *self.bytes)
    }

    /// How many other names the file has, by which it stays.
    pub(super) fn other_names(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.metadata.nlink().saturating_sub(1))
    }
}

/// The directory of a store, from its root.
pub(super) fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let path = environment::absolute(path)?;
    if path.is_dir() {
        return Ok(path);
    }
    let shown = input::shown(&path).unwrap_or_else(|| "the store".to_owned());
    let exit = if path.exists() { Exit::Invalid } else { Exit::NotFound };
    Err(Failure::new(exit, format!("{shown} is no directory; name the store's directory")))
}

/// Opens what was a regular file a moment ago: neither a link nor a FIFO that took its place leads anywhere.
fn open_file(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(dir, name, flags, Mode::empty())?);
    let is_file = file.metadata()?.is_file();
    if is_file { Ok(file) } else { Err(io::Error::other("it is not a regular file any more")) }
}

/// What names can begin with, of a word that may be another alphabet's or long.
fn prefix_of(word: &str) -> Option<String> {
    let is_usable = word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.len() < SHORT;
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    is_usable.then(|| format!("{}_", word.chars().map(upper).collect::<String>().trim_end_matches('_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_that_was_read_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        let time = || fs::metadata(&path).unwrap().modified().unwrap();
        type Change = fn(&Path);
        let changes: [Change; 5] = [
            |path| fs::write(path, "A=y").unwrap(),
            |path| fs::write(path, "A=x\nB=y").unwrap(),
            |path| {
                // Another file of the same content.
                fs::write(path.with_extension("new"), "A=x").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            },
            |path| {
                fs::rename(path, path.with_extension("old")).unwrap();
                std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
            },
        ];
        for change in changes {
            let _ = fs::remove_file(&path);
            fs::write(&path, "A=x").unwrap();
            let before = time();
            let source = Source::read(&path, true).unwrap();
            change(&path);
            // Clocks step, and who writes can set the time.
            if path.is_file() {
                File::options().append(true).open(&path).unwrap().set_modified(before).unwrap();
            }
            assert!(source.delete().is_err());
            assert!(fs::symlink_metadata(&path).is_ok());
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "A=x").unwrap();
        Source::read(&path, true).unwrap().delete().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn lines_that_stay_are_all_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        fs::write(&path, "A=x\n# a note\nexport PORT=3000 # here\nB=y\nDEBUG=1").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        Source::read(&path, true).unwrap().keep(&[3, 5]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "export PORT=3000 # here\nDEBUG=1\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let source = Source::read(&path, true).unwrap();
        fs::write(&path, "C=z\n").unwrap();
        assert!(source.keep(&[1]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "C=z\n");
    }

    #[test]
    fn what_is_no_file_of_its_own_cannot_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        let link = dir.path().join("link");
        fs::write(&path, "A=x").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Source::read(&link, false).is_ok());
        for bad in [&link, dir.path(), Path::new("-")] {
            assert!(Source::read(bad, true).is_err());
        }
        assert_eq!(Source::read(dir.path(), false).err().unwrap().exit(), Exit::Invalid);
    }

    #[test]
    fn a_directory_makes_a_prefix_if_it_can() {
        for (name, prefix) in [("blog", "BLOG_"), ("my-app.v2", "MY_APP_V2_"), ("a_", "A_")] {
            assert_eq!(prefix_of(name).as_deref(), Some(prefix));
        }
        for name in ["", "7up", ".config", "größe-und-mehr-und-mehr", "日本"] {
            assert_eq!(prefix_of(name), None, "{name}");
        }
    }
}
