//! The lock on a vault: a private file that one process at a time holds an exclusive flock(2) on, and in which it has
//! written who it is: its process id on the first line, then where that id means something, then the socket that it
//! listens on. The kernel lets go of the lock when the process ends, however it ends.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::{file_system, files};

/// More than what is written: a path has at most 4,096 bytes.
const LONGEST: u64 = 8 << 10;

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
    noted: Noted,
}

/// What a process has written about itself into a lock that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    pid: Option<Pid>,
    /// The machine's boot and the PID namespace, in which alone the id names a process.
    place: Option<String>,
    socket: Option<PathBuf>,
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

/// What the process that has last taken the lock at this path has written. It may have ended since.
pub fn last_holder(path: &Path) -> Noted {
    fs::read(path).map(|text| Noted::parse(&text)).unwrap_or_default()
}

/// Whether some process has the lock at this path now. To look at it takes a lock for a moment, which could keep a
/// process that starts in that moment from having it: ask only if there is no better way to know.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// Writes into a lock that this process holds on which socket it listens.
pub fn announce(lock: &File, socket: &Path) -> io::Result<()> {
    let mut text = own_note().into_bytes();
    text.extend_from_slice(b"socket ");
    text.extend_from_slice(socket.as_os_str().as_bytes());
    text.push(b'\n');
    // What is there is how it begins, so that a reader in between sees nothing wrong.
    lock.write_all_at(&text, 0)?;
    lock.set_len(text.len() as u64)
}

impl Lock {
    /// The open file, which keeps the lock as long as it is open, here or in a process that inherits it.
    pub fn into_file(self) -> File {
        self.0
    }
}

impl Holder {
    /// What the holder has written about itself.
    pub const fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Tries once more to take the lock, and learns who has it now.
    pub fn retry(self) -> io::Result<Locking> {
        try_take(self.file)
    }
}

impl Noted {
    /// The process id, if it was written and means a process that can be seen from here.
    pub fn pid(&self) -> Option<Pid> {
        self.pid.filter(|_| !self.is_elsewhere())
    }

    /// Whether the process is in another container, or was before the machine's last start or on another machine: its id
    /// means nothing here, and may be some other process's.
    pub fn is_elsewhere(&self) -> bool {
        self.place.as_ref().is_some_and(|place| *place != own_place())
    }

    /// The socket that the process listens on, if it has said so.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    fn parse(text: &[u8]) -> Self {
        let mut noted = Self::default();
        let mut lines = text.splitn(3, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        // No process but init has the id 1, and init holds no vault.
        let pid = std::str::from_utf8(line()).ok().and_then(|pid| pid.trim().parse().ok());
        noted.pid = pid.filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let place = line().strip_prefix(b"in ");
        noted.place = place.map(|place| String::from_utf8_lossy(place).into_owned());
        // To the end: a path may hold line ends.
        let socket = line().strip_prefix(b"socket ").and_then(|socket| socket.strip_suffix(b"\n"));
        noted.socket = socket.map(|socket| PathBuf::from(OsStr::from_bytes(socket)));
        noted
    }
}

/// Behind the words for a process: its id, and where it listens.
impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_elsewhere() {
            f.write_str(" in another container or on another machine")?;
        } else if let Some(pid) = self.pid {
            write!(f, " (pid {})", pid.as_raw_nonzero())?;
        }
        match &self.socket {
            Some(socket) => write!(f, ", listening on {}", socket.display()),
            None => Ok(()),
        }
    }
}

fn try_take(mut file: File) -> io::Result<Locking> {
    file.seek(SeekFrom::Start(0))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = Vec::new();
            (&file).take(LONGEST).read_to_end(&mut text)?;
            return Ok(Locking::Held(Holder { file, noted: Noted::parse(&text) }));
        }
        Err(error) => return Err(error.into()),
    }
    // For one that comes second and says who was first.
    file.set_len(0)?;
    file.write_all_at(own_note().as_bytes(), 0)?;
    Ok(Locking::Ours(Lock(file)))
}

fn own_note() -> String {
    format!("{}\nin {}\n", std::process::id(), own_place())
}

/// A name for this boot of this machine and this PID namespace: proc(5), namespaces(7).
fn own_place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim_end(), namespace.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_keeps_others_out_and_says_whose_it_is() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("vault.lock");
        assert_eq!(last_holder(&path), Noted::default());
        assert!(!is_held(&path));
        let Locking::Ours(lock) = take(&path).unwrap() else { panic!("nobody has it") };
        let own = Some(rustix::process::getpid());
        assert!(is_held(&path));
        assert_eq!(last_holder(&path).pid(), own);
        let Locking::Held(holder) = take(&path).unwrap() else { panic!("locked twice") };
        assert_eq!((holder.noted().pid(), holder.noted().socket()), (own, None));
        let Locking::Held(holder) = holder.retry().unwrap() else { panic!("locked twice") };
        let lock = lock.into_file();
        // Twice: a daemon that goes on after a lock says it again.
        for _ in 0..2 {
            announce(&lock, Path::new("/run/x\ny.sock")).unwrap();
        }
        let noted = last_holder(&path);
        assert_eq!((noted.pid(), noted.socket()), (own, Some(Path::new("/run/x\ny.sock"))));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next().unwrap(), std::process::id().to_string(), "{text:?}");
        drop(lock);
        assert!(matches!(holder.retry().unwrap(), Locking::Ours(_)));
    }

    #[test]
    fn the_id_of_another_container_or_boot_is_no_id_here() {
        let own = own_place();
        let (boot, namespace) = own.split_once(' ').unwrap();
        assert!(boot.len() > 30 && namespace.starts_with("pid:["), "{own}");
        let pid = Pid::from_raw(7);
        for (place, seen) in [
            (own.clone(), pid),
            (format!("{boot} pid:[1]"), None),
            (format!("00000000-0000-0000-0000-000000000000 {namespace}"), None),
        ] {
            let noted = Noted::parse(format!("7\nin {place}\nsocket /s\n").as_bytes());
            assert_eq!((noted.pid(), noted.is_elsewhere()), (seen, seen.is_none()), "{place}");
            assert_eq!(noted.to_string().contains("pid 7"), seen.is_some());
        }
    }

    #[test]
    fn what_others_could_write_to_is_no_lock() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("vault.lock");
        fs::write(&path, "7\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(take(&path), Err(files::Error::TooOpen { .. })));
        // Versions before this one wrote the id alone.
        for (text, pid) in [("7\n", Pid::from_raw(7)), ("1", None), ("-7", None), ("", None), ("x", None)] {
            assert_eq!(Noted::parse(text.as_bytes()).pid(), pid, "{text}");
        }
    }
}
