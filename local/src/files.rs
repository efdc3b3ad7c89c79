//! Private directories and files: made with the owner's modes whatever the umask, and refused by name
//! when somebody else could read or replace them. Everything the programs keep on disk goes through here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::file_system;

/// What to do where the environment is another user's.
const CURE: &str = "run it as that user, or with an environment of your own, which sudo -i and su - give";

/// Why a path cannot be used. It names the path, so that this must be a setting of the user and no content of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not absolute.
    #[error("{0} is not an absolute path")]
    Relative(PathBuf),
    /// A symbolic link where a real directory or file is expected.
    #[error("{0} is a symbolic link; replace it by its target, or name the target itself")]
    Symlink(PathBuf),
    /// Something else of that name.
    #[error("{0} is not a {1}")]
    WrongKind(PathBuf, &'static str),
    /// Owned by another user.
    #[error("{0} belongs to uid {1}, not to you; choose another path or change its owner")]
    ForeignOwner(PathBuf, u32),
    /// In a directory of another user.
    #[error("{path} belongs to uid {owner}, and this runs as uid {own}; {CURE}")]
    ForeignPlace {
        /// The directory of the other user.
        path: PathBuf,
        /// The other user.
        owner: u32,
        /// The uid that this process runs as.
        own: u32,
    },
    /// Open to group or others.
    #[error("{path} has mode {mode:04o}, which lets others in{}; run: chmod {wanted:04o} {}", no_modes(.path), quoted(.path))]
    TooOpen {
        /// The path.
        path: PathBuf,
        /// The permission bits of the file or directory.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// Larger than such a file can be.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(PathBuf, u64),
    /// A file system that cannot do what is needed: the path, what that is, the file system's name.
    #[error("{0} is on {2}, which cannot {1}; choose a directory on another file system")]
    Unfit(PathBuf, &'static str, String),
    /// The system refused.
    #[error("{}: {}{}", .0.display(), .1, on(.0, .1))]
    Io(PathBuf, #[source] io::Error),
}

/// Whether an error says that the process or the system has no descriptor left.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether there are fewer descriptors left than this, for errors that do not tell.
pub fn has_fewer_descriptors_than(wanted: usize) -> bool {
    let opened: io::Result<Vec<File>> = (0..wanted).map(|_| File::open("/")).collect();
    opened.is_err_and(|error| lacks_descriptors(&error))
}

impl Error {
    /// Whether the system is short of something or failing, so that the path may be good all the same.
    pub fn is_shortage(&self) -> bool {
        let Self::Io(_, error) = self else { return false };
        let short = [Errno::NOMEM, Errno::IO].map(Errno::raw_os_error);
        lacks_descriptors(error) || error.raw_os_error().is_some_and(|code| short.contains(&code))
    }

    /// What is wrong, without the path.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Relative(_) => "not an absolute path",
            Self::Symlink(_) => "a symbolic link",
            Self::WrongKind(..) => "not a regular file",
            Self::ForeignOwner(..) | Self::ForeignPlace { .. } => "belongs to another user",
            Self::TooOpen { .. } => "its mode lets others in",
            Self::TooLarge(..) => "too large",
            Self::Unfit(..) => "its file system cannot hold it",
            Self::Io(..) => "cannot be read",
        }
    }
}

/// Makes sure that a directory for our files is no other user's and lies in none of another user's, as it does where the
/// variables of a user stay set in a shell of root: what root made there would be in the user's way, and the user could
/// replace what root trusts. Root's directories are everybody's to lie in, and so are those above a directory that an
/// ordinary user has already. It changes nothing.
pub fn check_place(path: &Path) -> Result<(), Error> {
    let own = rustix::process::geteuid().as_raw();
    let there = fs::symlink_metadata(path).map(|metadata| metadata.uid());
    match there {
        Ok(owner) if is_anothers(owner, own) => {
            return Err(Error::ForeignPlace { path: path.to_owned(), owner, own });
        }
        Ok(owner) if owner == own && own != 0 => return Ok(()),
        _ => {}
    }
    // Above, the nearest one that exists or can be seen.
    let owner = |dir: &Path| fs::metadata(dir).ok().map(|metadata| metadata.uid());
    match path.ancestors().skip(1).find_map(|dir| Some((dir, owner(dir)?))) {
        Some((dir, owner)) if is_anothers(owner, own) => {
            Err(Error::ForeignPlace { path: dir.to_owned(), owner, own })
        }
        _ => Ok(()),
    }
}

/// Whether this is an ordinary user other than `own`: not root, and none of those that our user namespace has no number for.
pub fn is_anothers(owner: u32, own: u32) -> bool {
    owner != own && owner != 0 && !is_unmapped(owner)
}

/// Whether this stands for every user whom our user namespace does not know, root too: user_namespaces(7).
fn is_unmapped(uid: u32) -> bool {
    let number = |path| fs::read_to_string(path).ok();
    let overflow = number("/proc/sys/kernel/overflowuid").and_then(|uid| uid.trim().parse().ok());
    let knows_all = number("/proc/self/uid_map")
        .is_some_and(|map| map.split_whitespace().eq(["0", "0", &u32::MAX.to_string()]));
    overflow == Some(uid) && !knows_all
}

/// Makes sure that `path` is a directory of ours with mode 0700, and returns its canonical form. Parents that are
/// missing are made 0700 too. One that exists is checked, never changed.
pub fn private_dir(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(Error::Relative(path.to_owned()));
    }
    check_place(path)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| Error::Io(path.to_owned(), error))?;
            widen(path)?;
        }
        Err(error) => return Err(Error::Io(path.to_owned(), error)),
        Ok(_) => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| Error::Io(path.to_owned(), error))?;
    if metadata.is_symlink() {
        return Err(Error::Symlink(path.to_owned()));
    }
    if !metadata.is_dir() {
        return Err(Error::WrongKind(path.to_owned(), "directory"));
    }
    check_owner_and_mode(path, &metadata, 0o700)?;
    path.canonicalize().map_err(|error| Error::Io(path.to_owned(), error))
}

/// Closes a directory of this user to others. One that is absent, of another kind or another user's stays as it is:
/// [`private_dir`] says so.
pub fn close_dir(path: &Path) -> Result<(), Error> {
    let left_alone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(|errno| Some(errno.raw_os_error()));
    match widen(path) {
        Err(Error::Io(_, error)) if left_alone.contains(&error.raw_os_error()) => Ok(()),
        other => other,
    }
}

/// Lets its owner, and nobody else, into a directory that was just made, which the umask may have kept from it. By a descriptor: by its
/// path it could be another one by now. The descriptor is for the path alone, since reading may not be allowed yet.
fn widen(path: &Path) -> Result<(), Error> {
    let at = |error| Error::Io(path.to_owned(), error);
    let flags = flag(OFlags::PATH | OFlags::DIRECTORY) | no_follow();
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(at)?;
    let metadata = directory.metadata().map_err(at)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o7777 == 0o700 {
        return Ok(());
    }
    let by_descriptor = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let set = fs::set_permissions(by_descriptor, fs::Permissions::from_mode(0o700));
    // FAT, NTFS and programs that show another system's files have no modes, whatever they answer.
    if directory.metadata().map_err(at)?.mode() & 0o077 != 0 {
        let _ = fs::remove_dir(path);
        return Err(unfit(
            path,
            "keep others out of a directory (chmod has no effect, but umask=077 at its mount may)",
        ));
    }
    set.map_err(at)
}

/// The error that says that the file system of a path cannot do what is needed.
pub(crate) fn unfit(path: &Path, lacks: &'static str) -> Error {
    Error::Unfit(path.to_owned(), lacks, file_system::name(path))
}

/// On which file system it is, where that may be the reason.
fn on(path: &Path, error: &io::Error) -> String {
    let is_read_only = error.kind() == io::ErrorKind::ReadOnlyFilesystem;
    if is_read_only || file_system::is_lacking(error) {
        return format!(" (on {})", file_system::name(path));
    }
    String::new()
}

/// What to do where modes cannot be changed.
/// A path as a word of a command line that a person may copy.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn no_modes(path: &Path) -> String {
    if file_system::is_native(path) {
        return String::new();
    }
    let name = file_system::name(path);
    format!(" ({name} may keep no modes: then mount it with umask=077 or choose another place)")
}

/// Checks that `path`, if it exists, is a regular file of ours with no rights for others. Returns whether it exists.
pub fn check_private_file(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::Io(path.to_owned(), error)),
        Ok(metadata) => check_regular(path, &metadata).map(|()| true),
    }
}

/// Opens a private file for reading and writing, making it 0600 if it is absent.
pub fn open_private(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
        .map_err(|error| open_error(path, error))?;
    let metadata = file.metadata().map_err(|error| Error::Io(path.to_owned(), error))?;
    check_regular(path, &metadata)?;
    Ok(file)
}

/// Reads a whole private file of at most `limit` bytes; the buffer is wiped when dropped.
pub fn read_private(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    if !path.is_absolute() {
        return Err(Error::Relative(path.to_owned()));
    }
    // O_NONBLOCK: opening a FIFO must not hang before its kind is checked.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow() | flag(OFlags::NONBLOCK))
        .open(path)
        .map_err(|error| open_error(path, error))?;
    let metadata = file.metadata().map_err(|error| Error::Io(path.to_owned(), error))?;
    check_regular(path, &metadata)?;
    if metadata.len() > limit {
        return Err(Error::TooLarge(path.to_owned(), limit));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len() + 1).unwrap_or(0)));
    file.take(limit + 1).read_to_end(&mut content).map_err(|error| Error::Io(path.to_owned(), error))?;
    if content.len() as u64 > limit {
        return Err(Error::TooLarge(path.to_owned(), limit));
    }
    Ok(content)
}

/// Reads a settings file, which others may read but not write; `None` if there is none. Links are followed: people
/// keep their settings in a repository.
pub fn read_settings(path: &Path, limit: u64) -> Result<Option<String>, Error> {
    let at = |error| Error::Io(path.to_owned(), error);
    let file = match OpenOptions::new().read(true).custom_flags(flag(OFlags::NONBLOCK)).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let metadata = file.metadata().map_err(at)?;
    if !metadata.is_file() {
        return Err(Error::WrongKind(path.to_owned(), "regular file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() && metadata.uid() != 0 {
        return Err(Error::ForeignOwner(path.to_owned(), metadata.uid()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Error::TooOpen { path: path.to_owned(), mode, wanted: mode & !0o022 });
    }
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text).map_err(at)?;
    if text.len() as u64 > limit {
        return Err(Error::TooLarge(path.to_owned(), limit));
    }
    Ok(Some(text))
}

/// Checks that a socket at `path` is ours and closed to others.
pub fn check_private_socket(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = fs::symlink_metadata(path).map_err(|error| Error::Io(path.to_owned(), error))?;
    if metadata.is_symlink() {
        return Err(Error::Symlink(path.to_owned()));
    }
    if !metadata.file_type().is_socket() {
        return Err(Error::WrongKind(path.to_owned(), "socket"));
    }
    check_owner_and_mode(path, &metadata, 0o600)
}

/// Replaces a private file in one step: a reader sees the old content or the new, and after a crash one of them is
/// there. The file is durable when this returns.
pub fn replace_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let at = |error| Error::Io(path.to_owned(), error);
    let parent = path.parent().ok_or_else(|| Error::Relative(path.to_owned()))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(&temporary)
        .map_err(at)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        at(error)
    })?;
    sync_dir(parent)
}

/// Removes a file; one that is not there is as good.
pub fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io(path.to_owned(), error)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| Ok(file_system::sync_dir(directory)?))
        .map_err(|error| Error::Io(path.to_owned(), error))
}

fn check_regular(path: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    if metadata.is_symlink() {
        return Err(Error::Symlink(path.to_owned()));
    }
    if !metadata.is_file() {
        return Err(Error::WrongKind(path.to_owned(), "regular file"));
    }
    check_owner_and_mode(path, metadata, 0o600)
}

fn check_owner_and_mode(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), Error> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::ForeignOwner(path.to_owned(), metadata.uid()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::TooOpen { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

fn open_error(path: &Path, error: io::Error) -> Error {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        Error::Symlink(path.to_owned())
    } else {
        Error::Io(path.to_owned(), error)
    }
}

fn no_follow() -> i32 {
    flag(OFlags::NOFOLLOW)
}

fn flag(flags: OFlags) -> i32 {
    i32::from_ne_bytes(flags.bits().to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn makes_directories_and_files_for_the_owner_alone() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("a/b");
        private_dir(&dir).unwrap();
        assert_eq!((mode(&base.path().join("a")), mode(&dir)), (0o700, 0o700));
        open_private(&dir.join("f")).unwrap();
        replace_private(&dir.join("g"), b"x").unwrap();
        replace_private(&dir.join("g"), b"y").unwrap();
        assert_eq!((mode(&dir.join("f")), mode(&dir.join("g"))), (0o600, 0o600));
        assert_eq!(*read_private(&dir.join("g"), 8).unwrap(), b"y");
        assert!(matches!(read_private(&dir.join("g"), 0), Err(Error::TooLarge(..))));
    }

    #[test]
    fn closes_a_directory_and_nothing_behind_a_link() {
        let base = tempfile::tempdir().unwrap();
        let (dir, link) = (base.path().join("dir"), base.path().join("link"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&dir, &link).unwrap();
        close_dir(&link).unwrap();
        close_dir(&base.path().join("absent")).unwrap();
        assert_eq!(mode(&dir), 0o755);
        close_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn settings_may_be_read_by_others_but_not_written() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("config.toml");
        assert!(read_settings(&file, 9).unwrap().is_none());
        fs::write(&file, "a = 1").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_settings(&file, 9).unwrap().unwrap(), "a = 1");
        assert!(matches!(read_settings(&file, 4), Err(Error::TooLarge(..))));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(matches!(read_settings(&file, 9), Err(Error::TooOpen { wanted: 0o644, .. })));
        assert!(matches!(read_settings(base.path(), 9), Err(Error::WrongKind(..))));
    }

    #[test]
    fn refuses_what_others_could_read_or_replace() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(private_dir(&open), Err(Error::TooOpen { mode: 0o750, .. })));
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        assert!(matches!(private_dir(&link), Err(Error::Symlink(_))));
        assert!(matches!(private_dir(Path::new("relative")), Err(Error::Relative(_))));

        let file = base.path().join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_private(&file, 9), Err(Error::TooOpen { mode: 0o640, .. })));
        assert!(matches!(open_private(&file), Err(Error::TooOpen { .. })));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let link = base.path().join("filelink");
        symlink(&file, &link).unwrap();
        assert!(matches!(read_private(&link, 9), Err(Error::Symlink(_))));
        assert!(matches!(open_private(&link), Err(Error::Symlink(_))));
        assert!(matches!(check_private_file(&link), Err(Error::Symlink(_))));
        assert!(matches!(check_private_file(base.path()), Err(Error::WrongKind(..))));
        assert!(!check_private_file(&base.path().join("absent")).unwrap());
    }
}
