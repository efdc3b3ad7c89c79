//! The lock on a vault: a private file that one process at a time holds an exclusive flock(2) on, and in which it has
//! written its process id. The kernel lets go of the lock when the process ends, however it ends.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::{file_system, files};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// What came of trying to take the lock.
#[derive(Debug)]
pub enum Locking {
    /// The lock is held by this process now.
    Ours(Lock),
    /// The lock is held by another process.
    Held(Holder),
}

/// The process that has the lock.
#[derive(Debug)]
pub struct Holder {
    file: File,
    pid: Option<Pid>,
}

/// Takes the lock at this path if nobody has it; it does not wait. The file is made if it is absent. Fails if it is not a
/// private file of this user, or if the system refuses.
pub fn take(path: &Path) -> Result<Locking, files::Error> {
    let file = files::open_private(path)?;
    try_take(file).map_err(|error| match file_system::is_lacking(&error) {
        true => files::unfit(path, "lock files"),
        false => files::Error::Io(path.to_owned(), error),
    })
}

/// The process that has last taken the lock at this path, if it has said so. It may have ended since.
pub fn last_holder(path: &Path) -> Option<Pid> {
    parse(&fs::read_to_string(path).ok()?)
}

impl Lock {
    /// The open file, which keeps the lock as long as it is open, here or in a process that inherits it.
    pub fn into_file(self) -> File {
        self.0
    }
}

impl Holder {
    /// The process id of the holder, if it has written one.
    pub const fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Tries once more to take the lock, and learns who has it now.
    pub fn retry(self) -> io::Result<Locking> {
        try_take(self.file)
    }
}

fn try_take(mut file: File) -> io::Result<Locking> {
    file.seek(SeekFrom::Start(0))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            (&file).take(32).read_to_string(&mut text)?;
            let pid = parse(&text);
            return Ok(Locking::Held(Holder { file, pid }));
        }
        Err(error) => return Err(error.into()),
    }
    // For one that comes second and says who was first.
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Locking::Ours(Lock(file)))
}

/// No process but init has the id 1, and init holds no vault.
fn parse(text: &str) -> Option<Pid> {
    text.trim().parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_keeps_others_out_and_says_whose_it_is() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("vault.lock");
        assert_eq!(last_holder(&path), None);
        let Locking::Ours(lock) = take(&path).unwrap() else { panic!("nobody has it") };
        let own = Some(rustix::process::getpid());
        assert_eq!(last_holder(&path), own);
        let Locking::Held(holder) = take(&path).unwrap() else { panic!("locked twice") };
        assert_eq!(holder.pid(), own);
        let Locking::Held(holder) = holder.retry().unwrap() else { panic!("locked twice") };
        drop(lock);
        assert!(matches!(holder.retry().unwrap(), Locking::Ours(_)));
    }

    #[test]
    fn what_others_could_write_to_is_no_lock() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("vault.lock");
        fs::write(&path, "7\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(take(&path), Err(files::Error::TooOpen { .. })));
        for (text, pid) in [("7\n", Pid::from_raw(7)), ("1", None), ("-7", None), ("", None), ("x", None)] {
            assert_eq!(parse(text), pid, "{text}");
        }
    }
}
