//! A file that is there as a whole or not at all, made where others may have put something.
//!
//! It has no name until it is written (`O_TMPFILE`, open(2)), so that nothing is left of it whatever ends the process. A
//! name that is free is then given to it at once. To replace a file it needs a name of its own for the moment between
//! two system calls; where the file system knows no files without a name, it has one all along. Such a draft is removed
//! before a signal ends us. SIGKILL can leave one, which the next file that is created in that directory removes: the
//! writer of a draft holds a lock on it.
//!
//! Only the directory is looked up by its path, once; all else goes by its descriptor.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, linkat, open,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use secrets_local::file_system;
use signal_hook::consts::{SIGCONT, SIGTSTP};

use crate::ending;

/// What a draft's name begins with; 32 hex digits follow.
const DRAFT: &str = ".secretctl-draft-";

/// What is compared at once.
const BLOCK: usize = 64 << 10;

/// The owner's alone.
pub(crate) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The drafts that have a name. Who holds this lock is not ended by a signal.
static NAMED: Mutex<Vec<Draft>> = Mutex::new(Vec::new());

/// A file that does not have its name yet. Dropping it leaves nothing.
#[derive(Debug)]
pub(crate) struct NewFile {
    dir: Arc<OwnedFd>,
    name: OsString,
    file: File,
    draft: Option<Named>,
}

/// Makes a private file with this content, durable when this returns. Replaces a regular file and nothing else.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = NewFile::beside(path, PRIVATE)?;
    new.file().write_all(content)?;
    new.publish(true)
}

/// Whether a file may take this name: nothing has it, or a regular file. A link may be `/dev/stdout`, or belong to
/// somebody who does not expect to find a file in its place.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    check(CWD, path.as_os_str()).map(drop)
}

impl NewFile {
    /// An empty file with this mode, whatever the umask, to be named like that. Removes drafts that were left there.
    pub(crate) fn beside(path: &Path, mode: Mode) -> io::Result<Self> {
        Self::make(path, mode, Privacy::ByMode, true)
    }

    /// An empty file as [`NewFile::beside`] makes it, for what is sealed: where the file system keeps no modes, as on most memory sticks, others may read it.
    pub(crate) fn sealed(path: &Path) -> io::Result<Self> {
        Self::make(path, PRIVATE, Privacy::Sealed, true)
    }

    fn make(path: &Path, mode: Mode, privacy: Privacy, may_be_nameless: bool) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        check(&dir, name)?;
        sweep(&dir);
        let dir = Arc::new(dir);
        let nameless = if may_be_nameless { nameless(&dir)? } else { None };
        let (file, draft) = match nameless {
            Some(file) => (file, None),
            None => Named::create(&dir).map(|(file, draft)| (file, Some(draft)))?,
        };
        keep_to(&file, mode, parent, privacy)?;
        // Without locks a draft that was left is left for good.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { dir, name: name.to_owned(), file, draft })
    }

    /// Where to write its content.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it durable and gives it its name. If there is a file of this name, that is replaced or an error
    /// (`AlreadyExists`); what is no regular file is never replaced.
    pub(crate) fn publish(self, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        let dir = Arc::clone(&self.dir);
        self.name_it(replace)?;
        Ok(file_system::sync_dir(&*dir)?)
    }

    /// Gives a file that can be made again its name, as [`publish`](Self::publish) does, but may lose it in a power
    /// failure.
    pub(crate) fn name_it(self, replace: bool) -> io::Result<()> {
        match &self.draft {
            None => self.name_nameless(replace)?,
            Some(draft) if replace => {
                check(&self.dir, &self.name)?;
                renameat(&self.dir, &draft.0, &self.dir, &self.name)?;
            }
            Some(draft) => file_system::rename_new(&*self.dir, Path::new(&draft.0), Path::new(&self.name))?,
        }
        // Who may write to the directory may have put another file there meanwhile.
        let is_there = |there: Stat, ours: Stat| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino);
        let there = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_there(there, fstat(&self.file)?) || self.is_like_named()? {
            return Ok(());
        }
        Err(io::Error::other("somebody else is writing files to this directory; choose another"))
    }

    /// Whether what has the name now is our user's and has our content: mergerfs and sshfs number files by their names.
    fn is_like_named(&self) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = File::from(openat(&*self.dir, &self.name, flags, Mode::empty())?);
        let (stat, ours) = (fstat(&there)?, fstat(&self.file)?);
        let alike = |stat: &Stat| (stat.st_dev, stat.st_mode, stat.st_uid, stat.st_size);
        if alike(&stat) != alike(&ours) || stat.st_uid != geteuid().as_raw() {
            return Ok(false);
        }
        let (mut at, mut left, mut right) = (0, vec![0; BLOCK], vec![0; BLOCK]);
        loop {
            let length = self.file.read_at(&mut left, at)?;
            let piece = right.get_mut(..length).unwrap_or_default();
            if length == 0 {
                return Ok(true);
            }
            there.read_exact_at(piece, at)?;
            if left.get(..length) != Some(&*piece) {
                return Ok(false);
            }
            at += length as u64;
        }
    }

    fn name_nameless(&self, replace: bool) -> io::Result<()> {
        match link(&self.file, &self.dir, &self.name) {
            Err(Errno::EXIST) if replace => {}
            outcome => return Ok(outcome?),
        }
        check(&self.dir, &self.name)?;
        let draft = random_name()?;
        watch();
        let named = named();
        link(&self.file, &self.dir, OsStr::new(&draft))?;
        let renamed = renameat(&self.dir, &draft, &self.dir, &self.name);
        if renamed.is_err() {
            let _ = unlinkat(&self.dir, &draft, AtFlags::empty());
        }
        drop(named);
        Ok(renamed?)
    }
}

/// A draft's name and directory.
#[derive(Debug)]
struct Draft {
    dir: Arc<OwnedFd>,
    name: String,
}

impl Draft {
    fn remove(&self) {
        // After the renaming there is nothing of that name.
        let _ = unlinkat(&self.dir, &self.name, AtFlags::empty());
    }
}

/// One of the drafts that have a name; removed when dropped.
#[derive(Debug)]
struct Named(String);

impl Named {
    fn create(dir: &Arc<OwnedFd>) -> io::Result<(File, Self)> {
        let name = random_name()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        watch();
        let mut named = named();
        let file = openat(&**dir, &name, flags, PRIVATE)?;
        named.push(Draft { dir: Arc::clone(dir), name: name.clone() });
        Ok((file.into(), Self(name)))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut named = named();
        if let Some(at) = named.iter().position(|draft| draft.name == self.0) {
            named.swap_remove(at).remove();
        }
    }
}

fn named() -> MutexGuard<'static, Vec<Draft>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without a thread that watches, a draft stays where a signal ends us between two calls, until it is swept.
fn watch() {
    let _ = ending::before(|signal| {
        if signal != SIGTSTP && signal != SIGCONT {
            let named = named();
            named.iter().for_each(Draft::remove);
            // Nobody names another one: we end.
            std::mem::forget(named);
        }
    });
}

/// What keeps others from the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    ByMode,
    Sealed,
}

/// Gives the file this mode, or sees that the one that it has lets nobody in whom this would not.
fn keep_to(file: &File, mode: Mode, dir: &Path, privacy: Privacy) -> io::Result<()> {
    let set = fchmod(file, mode);
    let has = Mode::from_raw_mode(fstat(file)?.st_mode);
    let others = Mode::RWXG.union(Mode::RWXO);
    match has.difference(mode).intersects(others) {
        false => match set {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        },
        true if privacy == Privacy::Sealed => Ok(()),
        true => Err(io::Error::other(format!(
            "it would be readable by others, since {} keeps no modes; choose another place",
            file_system::name(dir)
        ))),
    }
}

/// A file without a name, where the system knows how to make one and to name it.
fn nameless(dir: &OwnedFd) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(dir, ".", flags, PRIVATE) {
        Ok(file) => Ok(Some(File::from(file)).filter(|file| Path::new(&by_descriptor(file)).exists())),
        // The last two are what kernels say that do not know the flag.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::ISDIR | Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The way to name a file by its descriptor that needs no rights, open(2).
fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn link(file: &File, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    linkat(CWD, by_descriptor(file), dir, name, AtFlags::SYMLINK_FOLLOW)
}

fn check(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|there| FileType::from_raw_mode(there.st_mode)) {
        Ok(FileType::RegularFile) | Err(Errno::NOENT) => Ok(()),
        Ok(FileType::Symlink) => refused("there is a symbolic link; name the file itself"),
        Ok(_) => refused("not a regular file"),
        Err(error) => Err(error.into()),
    }
}

/// Removes the drafts in this directory that nobody writes any more. What fails is tried again the next time.
fn sweep(dir: &OwnedFd) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_ok_and(is_draft) && is_left(dir, name).unwrap_or(false) {
            let _ = unlinkat(dir, name, AtFlags::empty());
        }
    }
}

/// Whether a draft is our user's, and nobody has the lock on it.
fn is_left(dir: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    let is_own = |stat: &Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_uid == geteuid().as_raw()
    };
    if !is_own(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?) {
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    Ok(is_own(&fstat(&file)?) && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

fn is_draft(name: &str) -> bool {
    let digits = name.strip_prefix(DRAFT).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random_name() -> Result<String, Errno> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("{DRAFT}{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    const READABLE: Mode = PRIVATE.union(Mode::ROTH);

    /// As on a file system that knows no files without a name, too.
    const BOTH: [bool; 2] = [true, false];

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        (dir, path)
    }

    fn made(path: &Path, nameless: bool, replace: bool) -> io::Result<()> {
        let mut new = NewFile::make(path, READABLE, Privacy::ByMode, nameless)?;
        new.file().write_all(b"new")?;
        new.publish(replace)
    }

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_is_made_or_replaced_as_a_whole_with_its_mode() {
        for nameless in BOTH {
            let (dir, path) = place();
            made(&path, nameless, false).unwrap();
            assert_eq!(made(&path, nameless, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            made(&path, nameless, true).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o604);
            drop(NewFile::make(&path, PRIVATE, Privacy::ByMode, nameless).unwrap());
            assert_eq!(names(dir.path()), 1, "a draft was left");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_never_replaced_nor_opened() {
        for nameless in BOTH {
            let (dir, path) = place();
            let link = dir.path().join("link");
            fs::write(&path, "old").unwrap();
            for target in ["file", "none", "/dev/null", "."] {
                symlink(target, &link).unwrap();
                for replace in BOTH {
                    assert!(made(&link, nameless, replace).is_err(), "{target}");
                    assert!(link.is_symlink(), "{target}");
                }
                fs::remove_file(&link).unwrap();
            }
            rustix::fs::mknodat(CWD, &link, FileType::Fifo, PRIVATE, 0).unwrap();
            assert!(made(&link, nameless, true).is_err());
            assert!(made(dir.path(), nameless, true).is_err());
            assert!(made(&dir.path().join("none/file"), nameless, true).is_err());
            assert!(made(&path.join("file"), nameless, true).is_err());
            assert_eq!(fs::read(&path).unwrap(), b"old", "written through a link");
            assert_eq!(names(dir.path()), 2, "a draft was left");
        }
    }

    #[test]
    fn what_comes_while_it_is_written_is_no_reason_to_replace_it() {
        for nameless in BOTH {
            let (dir, path) = place();
            let new = NewFile::make(&path, PRIVATE, Privacy::ByMode, nameless).unwrap();
            symlink("/dev/null", &path).unwrap();
            assert!(new.publish(true).is_err());
            assert!(path.is_symlink());
            assert_eq!(names(dir.path()), 1, "a draft was left");
        }
    }

    #[test]
    fn a_directory_that_was_moved_away_is_still_the_one_that_was_named() {
        for nameless in BOTH {
            let (dir, _) = place();
            let (at, moved) = (dir.path().join("at"), dir.path().join("moved"));
            fs::create_dir(&at).unwrap();
            let new = NewFile::make(&at.join("file"), PRIVATE, Privacy::ByMode, nameless).unwrap();
            fs::rename(&at, &moved).unwrap();
            fs::create_dir(&at).unwrap();
            new.publish(true).unwrap();
            assert_eq!((names(&at), names(&moved)), (0, 1));
        }
    }

    #[test]
    fn drafts_that_nobody_writes_are_swept_and_nothing_else_is() {
        let (dir, path) = place();
        let at = |name: String| dir.path().join(name);
        let left = at(format!("{DRAFT}{}", "0".repeat(32)));
        let kept = [
            at(format!("{DRAFT}{}", "0".repeat(31))),
            at(format!("{DRAFT}{}", "g".repeat(32))),
            at("x".to_owned() + left.file_name().unwrap().to_str().unwrap()),
        ];
        kept.iter().chain([&left]).for_each(|path| fs::write(path, "x").unwrap());
        symlink(&kept[0], at(format!("{DRAFT}{}", "1".repeat(32)))).unwrap();
        rustix::fs::mknodat(CWD, at(format!("{DRAFT}{}", "2".repeat(32))), FileType::Fifo, PRIVATE, 0)
            .unwrap();
        let foreign = at(format!("{DRAFT}{}", "3".repeat(32)));
        fs::write(&foreign, "x").unwrap();
        // Only root can give a file away; who cannot has no foreign one to keep.
        let is_foreign = std::os::unix::fs::chown(&foreign, Some(65_534), None).is_ok();
        let writing = NewFile::make(&path, PRIVATE, Privacy::ByMode, false).unwrap();
        assert!(!left.exists());
        assert_eq!(names(dir.path()), 6 + usize::from(is_foreign));
        // Another one leaves alone what is being written.
        made(&dir.path().join("other"), true, true).unwrap();
        writing.publish(true).unwrap();
        assert!(path.exists() && kept.iter().all(|path| path.exists()));
    }
}
