//! Values as files, for as long as a program runs. `secretctl run` makes a directory for a run, and both programs
//! remove those whose run is over: the two must agree on what such a directory looks like, and nothing else may ever
//! be removed. It knows no secret, no socket and no program.
//!
//! # Layout
//!
//! `<runtime directory>/run/<32 hex digits>/<variable>`: directories of mode 0700, files of mode 0400. Anyone who runs
//! the program holds an exclusive flock(2) on its directory, which ends with the process, however that ends. The lock
//! on `run` is held while one is made or removed, so that none is taken for a leftover before it is locked.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, fstatfs, mkdirat, open,
    openat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

/// Where the directories of runs are, beside the socket.
const BASE: &str = "run";

/// `statfs` of file systems that live in memory: tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

const PRIVATE_DIR: Mode = Mode::RWXU;

/// Why there is no place for files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else could put something there, or read it.
    #[error("{0} is not a private directory of yours; files with values go nowhere else")]
    Exposed(PathBuf),
    /// The system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// The directory of one run. Dropping it removes it.
#[derive(Debug)]
pub struct RunFiles {
    base: OwnedFd,
    /// Open as long as the run lasts: its lock says so.
    dir: OwnedFd,
    name: String,
    path: PathBuf,
}

impl RunFiles {
    /// Makes one in this runtime directory, after removing what earlier runs have left.
    pub fn create(runtime: &Path) -> Result<Self, Error> {
        let path = runtime.join(BASE);
        let at = |errno: Errno| Error::Io(path.clone(), errno.into());
        let runtime_dir = open_dir(runtime)?;
        // In a directory that others can write to, the name could lead anywhere tomorrow.
        check(runtime, &runtime_dir, 0o022)?;
        match mkdirat(&runtime_dir, BASE, PRIVATE_DIR) {
            Err(Errno::EXIST) => {}
            made => made.map_err(at)?,
        }
        let base = open_base(&runtime_dir, &path)?;
        lock(&base).map_err(at)?;
        remove_leftovers(&base).map_err(at)?;
        let name = random_name().map_err(at)?;
        mkdirat(&base, &name, PRIVATE_DIR).map_err(at)?;
        let dir = openat(&base, &name, directory(), Mode::empty()).map_err(at)?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive).map_err(at)?;
        flock(&base, FlockOperation::Unlock).map_err(at)?;
        Ok(Self { base, dir, path: path.join(&name), name })
    }

    /// Puts a file there, and gives its path.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let at = |error: io::Error| Error::Io(path.clone(), error);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, Mode::RUSR).map_err(|errno| at(errno.into()))?;
        fchmod(&file, Mode::RUSR).map_err(|errno| at(errno.into()))?;
        File::from(file).write_all(content).map_err(at)?;
        Ok(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is in memory, and so on no disk.
    pub fn is_in_memory(&self) -> bool {
        fstatfs(&self.dir).is_ok_and(|fs| IN_MEMORY.contains(&fs.f_type))
    }
}

impl Drop for RunFiles {
    fn drop(&mut self) {
        // What fails here is found by the next sweep.
        let _ = remove(&self.base, &self.name, &self.dir);
    }
}

/// Removes what runs have left in this runtime directory that ended without a chance to do so. Gives their number.
pub fn sweep(runtime: &Path) -> Result<usize, Error> {
    let path = runtime.join(BASE);
    let runtime_dir = open_dir(runtime)?;
    let base = match open_base(&runtime_dir, &path) {
        Err(Error::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        base => base?,
    };
    lock(&base).and_then(|()| remove_leftovers(&base)).map_err(|errno| Error::Io(path, errno.into()))
}

fn open_base(runtime: &OwnedFd, path: &Path) -> Result<OwnedFd, Error> {
    let base = openat(runtime, BASE, directory(), Mode::empty());
    let base = base.map_err(|errno| not_opened(path, errno))?;
    check(path, &base, 0o077)?;
    Ok(base)
}

fn open_dir(path: &Path) -> Result<OwnedFd, Error> {
    open(path, directory(), Mode::empty()).map_err(|errno| not_opened(path, errno))
}

fn not_opened(path: &Path, errno: Errno) -> Error {
    // With O_DIRECTORY and O_NOFOLLOW, a link is either.
    if matches!(errno, Errno::LOOP | Errno::NOTDIR) {
        return Error::Exposed(path.to_owned());
    }
    Error::Io(path.to_owned(), errno.into())
}

fn check(path: &Path, dir: &OwnedFd, forbidden: u32) -> Result<(), Error> {
    let stat = fstat(dir).map_err(|errno| Error::Io(path.to_owned(), errno.into()))?;
    let is_private = stat.st_uid == geteuid().as_raw() && stat.st_mode & forbidden == 0;
    if is_private { Ok(()) } else { Err(Error::Exposed(path.to_owned())) }
}

const fn directory() -> OFlags {
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC)
}

/// Takes the lock on the base, which nobody holds for long.
fn lock(base: &OwnedFd) -> Result<(), Errno> {
    for _ in 0..100 {
        match flock(base, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            outcome => return outcome,
        }
    }
    Err(Errno::WOULDBLOCK)
}

fn remove_leftovers(base: &OwnedFd) -> Result<usize, Errno> {
    let mut removed = 0;
    for entry in Dir::read_from(base)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !is_name(name) {
            continue;
        }
        // A link or a file of that name is not ours.
        let Ok(dir) = openat(base, name, directory(), Mode::empty()) else { continue };
        let is_own = fstat(&dir).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
        if is_own && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            removed += usize::from(remove(base, name, &dir).is_ok());
        }
    }
    Ok(removed)
}

/// Removes a run's directory with what is in it. A directory inside is not ours, and stays, with this one.
fn remove(base: impl AsFd, name: &str, dir: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") && entry.file_type() != FileType::Directory {
            unlinkat(dir, entry.file_name(), AtFlags::empty())?;
        }
    }
    unlinkat(base, name, AtFlags::REMOVEDIR)
}

fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random_name() -> Result<String, Errno> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn runtime() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_are_the_owners_to_read_and_end_with_the_run() {
        let runtime = runtime();
        let files = RunFiles::create(runtime.path()).unwrap();
        let path = files.put("KEY", b"a\0b\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\0b\n");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o400, 0o700));
        assert_eq!(mode(&runtime.path().join("run")), 0o700);
        assert_eq!(sweep(runtime.path()).unwrap(), 0);
        assert!(path.exists(), "a run that lasts is left alone");
        fs::write(path.with_extension("pub"), "made by the program").unwrap();
        drop(files);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn what_a_run_leaves_behind_is_swept_and_nothing_else() {
        let runtime = runtime();
        assert_eq!(sweep(runtime.path()).unwrap(), 0);
        let kept = RunFiles::create(runtime.path()).unwrap();
        let base = runtime.path().join("run");
        let left = base.join("0123456789abcdef0123456789abcdef");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("KEY"), "canary").unwrap();
        let precious = runtime.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "x").unwrap();
        symlink(precious.join("file"), left.join("LINK")).unwrap();
        symlink(&precious, base.join("f".repeat(32))).unwrap();
        fs::create_dir(base.join("other")).unwrap();
        fs::write(base.join("e".repeat(32)), "x").unwrap();
        assert_eq!(sweep(runtime.path()).unwrap(), 1);
        assert!(!left.exists());
        assert!(precious.join("file").exists() && base.join("other").exists() && kept.path.exists());
        assert!(base.join("f".repeat(32)).exists() && base.join("e".repeat(32)).exists());
    }

    #[test]
    fn the_next_run_sweeps_too() {
        let runtime = runtime();
        drop(RunFiles::create(runtime.path()).unwrap());
        let left = runtime.path().join("run").join("a".repeat(32));
        fs::create_dir(&left).unwrap();
        let _files = RunFiles::create(runtime.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_place_that_others_can_reach_is_refused() {
        let runtime = runtime();
        let elsewhere = runtime.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, runtime.path().join(BASE)).unwrap();
        assert!(matches!(RunFiles::create(runtime.path()), Err(Error::Exposed(_))));
        assert!(matches!(sweep(runtime.path()), Err(Error::Exposed(_))));
        fs::remove_file(runtime.path().join(BASE)).unwrap();
        fs::set_permissions(runtime.path(), Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(RunFiles::create(runtime.path()), Err(Error::Exposed(_))));
    }
}
