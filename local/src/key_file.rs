//! Key files: read wherever they lie, since other programs manage them. sops-nix and agenix put links to them, shells give
//! pipes. What is checked is what was opened: a file or a pipe of this user that is closed to others.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::files::Error;

/// Reads a key file of at most `limit` bytes; the buffer is wiped when dropped. Links are followed. A pipe is waited for
/// as long as `patience` says, until all who write to it have closed it. Fails if the path is relative, or what it leads to
/// is neither file nor pipe, another user's, open to others, or longer.
pub fn read(path: &Path, limit: u64, patience: Duration) -> Result<Zeroizing<Vec<u8>>, Error> {
    let at = |error| Error::Io(path.to_owned(), error);
    if !path.is_absolute() {
        return Err(Error::Relative(path.to_owned()));
    }
    // Before it is opened, which does something to a device.
    check(path, &std::fs::metadata(path).map_err(at)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(at)?;
    let metadata = file.metadata().map_err(at)?;
    check(path, &metadata)?;
    // Never grown, so that no copy is left behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(limit + 1).unwrap_or(0)));
    let deadline = Instant::now() + patience;
    while metadata.file_type().is_fifo() && content.len() as u64 <= limit {
        wait(&file, deadline).map_err(at)?;
        let before = content.len();
        match (&file).take(limit + 1 - before as u64).read_to_end(&mut content) {
            // Somebody still has it open to write.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => {
                read.map_err(at)?;
                break;
            }
        }
    }
    if metadata.is_file() {
        file.take(limit + 1).read_to_end(&mut content).map_err(at)?;
    }
    if content.len() as u64 > limit {
        return Err(Error::TooLarge(path.to_owned(), limit));
    }
    Ok(content)
}

/// Whether this is a file or pipe of this user, closed to others.
pub fn check(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    if !metadata.is_file() && !metadata.file_type().is_fifo() {
        return Err(Error::WrongKind(path.to_owned(), "file or pipe"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::ForeignOwner(path.to_owned(), metadata.uid()));
    }
    match metadata.mode() & 0o7777 {
        mode if mode & 0o077 != 0 => {
            Err(Error::TooOpen { path: path.to_owned(), mode, wanted: mode & !0o077 })
        }
        _ => Ok(()),
    }
}

/// Waits until there is something to read, or nobody writes any more who did.
fn wait(pipe: &File, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn links_and_pipes_are_read_and_what_others_may_read_is_not() {
        let base = tempfile::tempdir().unwrap();
        let (file, link) = (base.path().join("file"), base.path().join("link"));
        fs::write(&file, [7; 32]).unwrap();
        symlink(&file, &link).unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o440, false), (0o604, false)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let read = read(&link, 32, PATIENCE);
            assert_eq!(read.is_ok(), good, "{mode:o}: {read:?}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read(&link, 31, PATIENCE), Err(Error::TooLarge(..))));
        assert!(matches!(read(base.path(), 32, PATIENCE), Err(Error::WrongKind(..))));
        assert!(matches!(read(Path::new("/dev/null"), 32, PATIENCE), Err(Error::WrongKind(..))));
        assert!(matches!(read(Path::new("file"), 32, PATIENCE), Err(Error::Relative(_))));
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_waited_for_within_bounds() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let nobody = read(&path, 32, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(nobody, Error::Io(_, error) if error.kind() == io::ErrorKind::TimedOut));
        for (length, good) in [(32, true), (33, false), (100_000, false)] {
            let writer = thread::spawn({
                let path = path.clone();
                move || {
                    let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
                    // In two pieces; who reads may have had enough.
                    pipe.write_all(&vec![7; length / 2]).ok();
                    pipe.write_all(&vec![7; length - length / 2]).ok();
                }
            });
            let read = read(&path, 32, PATIENCE);
            assert_eq!(read.is_ok_and(|content| content.len() == length), good, "{length}");
            writer.join().unwrap();
        }
    }
}
