//! The exchange: a directory in which the objects of several machines lie. What objects are is not known here.
//!
//! Others write to this directory, too: no name in it is followed if it is a link, and none is waited for if it is a pipe.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use secrets_fleet::exchange::{DROP, DROPPED, GONE, MERGED, MOST_FILES, NUDGE, TEMPORARY};
use secrets_fleet::object::LARGEST_OBJECT;
use secrets_fleet::{Kind, ObjectName};
use secrets_local::{files, places};

/// The names of the objects that are there. Everything else is left alone; beyond [`MOST_FILES`], counted for lists of machines
/// by themselves, the rest waits.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<ObjectName>> {
    let (mut lists, mut names) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse::<ObjectName>().ok()) else { continue };
        let of_its_kind = if name.kind == Kind::Members { &mut lists } else { &mut names };
        if of_its_kind.len() < MOST_FILES {
            of_its_kind.push(name);
        }
    }
    names.append(&mut lists);
    names.sort_unstable();
    Ok(names)
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its length in bytes.
    pub(crate) length: u64,
    changed: [i64; 4],
}

/// What there is of a file to tell whether it has changed; none if it is gone.
pub(crate) fn stamp(directory: &Path, name: &ObjectName) -> Option<Stamp> {
    let found = fs::symlink_metadata(directory.join(name.to_string())).ok()?;
    let changed = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Some(Stamp { length: found.len(), changed })
}

/// An object's bytes; none if it is gone. What is no file, or is larger than an object may be, cannot be read.
pub(crate) fn read(directory: &Path, name: &ObjectName) -> io::Result<Option<Vec<u8>>> {
    let file = match open(directory, &name.to_string(), OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let most = LARGEST_OBJECT as u64;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= most { Ok(Some(bytes)) } else { Err(io::ErrorKind::FileTooLarge.into()) }
}

/// Puts an object there, whole and durable when this returns. One that is there already with these bytes is left.
pub(crate) fn write(directory: &Path, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
    if read(directory, name).is_ok_and(|there| there.is_some_and(|there| there == bytes)) {
        return Ok(());
    }
    let (mut file, temporary) = temporary(directory, name)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&temporary, directory.join(name.to_string())));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed?;
    File::open(directory)?.sync_all()
}

/// Whether there is room for so many bytes: they are written, made durable and removed.
pub(crate) fn check_room(directory: &Path, bytes: usize) -> io::Result<()> {
    let (mut file, temporary) = temporary(directory, "room")?;
    let written = file.write_all(&vec![0; bytes]).and_then(|()| file.sync_all());
    let removed = fs::remove_file(&temporary);
    written.and(removed)
}

/// A file that nobody reads, under a name that nobody knows before, and that must not be there.
fn temporary(directory: &Path, what: impl std::fmt::Display) -> io::Result<(File, PathBuf)> {
    // The hasher's keys are the system's random numbers.
    let name = format!("{TEMPORARY}{what}-{:016x}", RandomState::new().build_hasher().finish());
    let file = open(directory, &name, OpenOptions::new().write(true).create_new(true))?;
    Ok((file, directory.join(name)))
}

/// Whether an object cannot be written because something else lies in its place: the others can.
pub(crate) fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, IsADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | IsADirectory)
}

/// Says that there is something to move: `.nudge` is there, and has just been touched. What is in it stays.
pub(crate) fn nudge(directory: &Path) {
    // It is for the one that moves the files; there may be none.
    let Ok(file) = open(directory, NUDGE, OpenOptions::new().write(true).create(true)) else { return };
    if file.metadata().is_ok_and(|found| found.is_file()) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Whether a mover brings the objects to a store and from there, so that they are not here alone.
fn has_mover(directory: &Path) -> bool {
    directory.join(places::STORE).exists()
}

/// Has the mover delete these objects from the store. It has to be called before they are removed here.
pub(crate) fn drop_from_store(directory: &Path, names: &[ObjectName]) -> io::Result<()> {
    if names.is_empty() || !has_mover(directory) {
        return Ok(());
    }
    let (before, done) = (names_in(directory, DROP), names_in(directory, DROPPED));
    let mut all: BTreeSet<ObjectName> = names.iter().copied().collect();
    if before != done {
        all.extend(before);
    }
    files::replace_private(&directory.join(DROP), lines(&all).as_bytes()).map_err(io::Error::other)
}

/// What the store has had, and did not list in the mover's last run.
pub(crate) fn gone(directory: &Path) -> BTreeSet<ObjectName> {
    if has_mover(directory) { names_in(directory, GONE) } else { BTreeSet::new() }
}

/// Says to the mover that all that is here was considered, and that this is gone from the store.
pub(crate) fn has_merged(directory: &Path, gone: &BTreeSet<ObjectName>) -> io::Result<()> {
    if !has_mover(directory) {
        return Ok(());
    }
    let (path, all) = (directory.join(MERGED), format!("{}\n{}", lines(&list(directory)?), lines(gone)));
    if files::read_private(&path, LARGEST_LIST).is_ok_and(|before| *before == all.as_bytes()) {
        return Ok(());
    }
    files::replace_private(&path, all.as_bytes()).map_err(io::Error::other)
}

fn names_in(directory: &Path, name: &str) -> BTreeSet<ObjectName> {
    let text = files::read_private(&directory.join(name), LARGEST_LIST).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect()
}

fn lines<'a>(names: impl IntoIterator<Item = &'a ObjectName>) -> String {
    names.into_iter().map(|name| format!("{name}\n")).collect()
}

/// The largest of the files between the daemon and the mover.
const LARGEST_LIST: u64 = 4 << 20;

/// Removes an object.
pub(crate) fn remove(directory: &Path, name: &ObjectName) -> io::Result<()> {
    match fs::remove_file(directory.join(name.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open(directory: &Path, name: &str, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    options.mode(0o600).custom_flags(flags).open(directory.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn object() -> ObjectName {
        "l-0123456789abcdef-0000000412-00112233445566778899aabbccddeeff".parse().unwrap()
    }

    /// Ends the test if the work waits for something in the directory.
    fn in_time(work: impl FnOnce() + Send + 'static) {
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            work();
            let _ = done.send(());
        });
        ended.recv_timeout(Duration::from_secs(20)).expect("it waits");
    }

    #[test]
    fn what_others_put_in_the_place_of_a_nudge_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_owned();
        let victim = at.join("victim");
        fs::write(&victim, "of the user").unwrap();
        symlink(&victim, at.join(NUDGE)).unwrap();
        nudge(&at);
        assert_eq!(fs::read(&victim).unwrap(), b"of the user");
        let absent = at.join("absent");
        fs::remove_file(at.join(NUDGE)).unwrap();
        symlink(&absent, at.join(NUDGE)).unwrap();
        nudge(&at);
        assert!(!absent.exists());
        // A second name of a file of the user.
        fs::remove_file(at.join(NUDGE)).unwrap();
        fs::hard_link(&victim, at.join(NUDGE)).unwrap();
        nudge(&at);
        assert_eq!(fs::read(&victim).unwrap(), b"of the user");
        fs::remove_file(at.join(NUDGE)).unwrap();
        mknodat(CWD, at.join(NUDGE), FileType::Fifo, Mode::RWXU, 0).unwrap();
        in_time(move || nudge(&at));
    }

    #[test]
    fn a_nudge_is_a_file_that_was_just_touched() {
        let directory = tempfile::tempdir().unwrap();
        nudge(directory.path());
        let file = File::options().write(true).open(directory.path().join(NUDGE)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        nudge(directory.path());
        assert!(file.metadata().unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_temporary_file_has_a_name_that_nobody_knows_before() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        // What lies in the place of the object keeps the temporary file from being renamed, so that it is tried again.
        fs::create_dir(at.join(object().to_string())).unwrap();
        let (watch, mut seen) =
            (rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::empty()).unwrap(), Vec::new());
        let created = rustix::fs::inotify::WatchFlags::CREATE;
        rustix::fs::inotify::add_watch(&watch, at, created).unwrap();
        for _ in 0..2 {
            write(at, &object(), b"bytes").unwrap_err();
            let mut buffer = [std::mem::MaybeUninit::uninit(); 1_024];
            let mut events = rustix::fs::inotify::Reader::new(&watch, &mut buffer);
            seen.push(events.next().unwrap().file_name().unwrap().to_owned());
        }
        assert!(seen[0] != seen[1], "{seen:?}");
        assert_eq!(fs::read_dir(at).unwrap().count(), 1, "nothing of it is left");
    }

    #[test]
    fn only_a_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_owned();
        let path = at.join(object().to_string());
        assert_eq!(read(&at, &object()).unwrap(), None);
        fs::write(at.join("other"), "bytes").unwrap();
        symlink(at.join("other"), &path).unwrap();
        read(&at, &object()).unwrap_err();
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        in_time(move || drop(read(&at, &object()).unwrap_err()));
        fs::remove_file(&path).unwrap();
        write(directory.path(), &object(), b"bytes").unwrap();
        assert_eq!(read(directory.path(), &object()).unwrap().unwrap(), b"bytes");
    }
}
