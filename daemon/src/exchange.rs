//! The exchange: a directory in which the objects of several machines lie. What objects are is not known here.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use secrets_fleet::ObjectName;
use secrets_fleet::exchange::{DROP, DROPPED, GONE, MERGED, MOST_FILES, NUDGE, TEMPORARY};
use secrets_fleet::object::LARGEST_OBJECT;
use secrets_local::{files, places};

/// The names of the objects that are there. Everything else is left alone; beyond the most that are looked at, the rest
/// waits.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.parse::<ObjectName>().ok());
        names.extend(name);
        if names.len() >= MOST_FILES {
            break;
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// An object's bytes; none if it is gone, or is larger than an object may be, or no file.
pub(crate) fn read(directory: &Path, name: &ObjectName) -> io::Result<Option<Vec<u8>>> {
    let path = directory.join(name.to_string());
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A link: nothing of ours.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let most = LARGEST_OBJECT as u64;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Puts an object there, whole and durable when this returns. One that is there already with these bytes is left.
pub(crate) fn write(directory: &Path, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
    if read(directory, name)?.is_some_and(|there| there == bytes) {
        return Ok(());
    }
    let temporary = directory.join(format!("{TEMPORARY}{name}-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&temporary, directory.join(name.to_string())));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed?;
    File::open(directory)?.sync_all()
}

/// Says that there is something to move.
pub(crate) fn nudge(directory: &Path) {
    // It is for the one that moves the files; there may be none.
    let nudge =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(directory.join(NUDGE));
    if let Ok(mut file) = nudge {
        let _ = file.write_all(b"\n");
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
