//! The exchange: a directory in which the objects of several machines lie. What objects are is not known here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use secrets_fleet::ObjectName;
use secrets_fleet::exchange::{MOST_FILES, NUDGE, TEMPORARY};
use secrets_fleet::object::LARGEST_OBJECT;

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

/// Removes an object.
pub(crate) fn remove(directory: &Path, name: &ObjectName) -> io::Result<()> {
    match fs::remove_file(directory.join(name.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
