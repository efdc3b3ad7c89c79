//! The exchange as the mover has it: the one directory in which it reads and writes. See [`secrets_fleet::exchange`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, OFlags, flock};
use secrets_fleet::ObjectName;
use secrets_fleet::exchange::{DROP, DROPPED, GONE, LOCK, MERGED, STATUS, TEMPORARY};
use secrets_fleet::object::LARGEST_OBJECT;
use secrets_local::files;

use crate::failure::{Failure, Kind};

/// How long another run is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether that has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// The mode of an object that is, or was, in the store.
const IN_STORE: u32 = 0o400;

/// The largest `.drop` or `.merged` that is read.
const LARGEST_LIST: u64 = 4 << 20;

/// What begins the names of files that this program is writing; the daemon's own begin otherwise.
const PARTIAL: &str = "sync-";

/// An object that lies here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Here {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Whether it was seen in the store.
    pub(crate) was_in_store: bool,
}

/// The directory, locked while this lives.
#[derive(Debug)]
pub(crate) struct Exchange {
    directory: PathBuf,
    _lock: File,
}

impl Exchange {
    /// Waits until no other run has it, and removes what one that was killed has left half-written.
    ///
    /// # Errors
    ///
    /// It is no private directory of this user's, or another run does not end.
    pub(crate) fn lock(directory: &Path) -> Result<Self, Failure> {
        let directory =
            files::private_dir(directory).map_err(|error| Failure::new(Kind::Exchange, error.to_string()))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(directory.join(LOCK))
            .map_err(|error| Failure::exchange(&error))?;
        let until = Instant::now() + PATIENCE;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > until {
                return Err(Failure::new(Kind::Exchange, "another run does not end"));
            }
            thread::sleep(PAUSE);
        }
        let exchange = Self { directory, _lock: lock };
        exchange.clear(|name| name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.starts_with(PARTIAL)))?;
        Ok(exchange)
    }

    /// Removes the files whose names are meant.
    pub(crate) fn clear(&self, is_meant: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let names = names(&self.directory).map_err(|error| Failure::exchange(&error))?;
        for name in names.iter().filter(|name| is_meant(name)) {
            files::remove_if_there(&self.path(name))
                .map_err(|error| Failure::new(Kind::Exchange, error.to_string()))?;
        }
        Ok(())
    }

    /// The path of a name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The objects that lie here.
    pub(crate) fn list(&self) -> Result<BTreeMap<ObjectName, Here>, Failure> {
        list(&self.directory).map_err(|error| Failure::exchange(&error))
    }

    /// Whether the daemon has considered exactly these objects, and that these of them are gone from the store.
    pub(crate) fn has_merged<'a>(
        &self,
        objects: impl Iterator<Item = &'a ObjectName>,
        gone: impl Iterator<Item = &'a ObjectName>,
    ) -> bool {
        self.read_list(MERGED) == format!("{}\n{}", lines(objects), lines(gone))
    }

    /// What is to be deleted from the store.
    pub(crate) fn dropped(&self) -> BTreeSet<ObjectName> {
        self.read_list(DROP).lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Notes that the store lists nothing of that any more.
    pub(crate) fn has_dropped(&self) -> Result<(), Failure> {
        self.write_list(DROPPED, &self.read_list(DROP))
    }

    /// Notes what the store has had and lists no more.
    pub(crate) fn has_lost<'a>(&self, objects: impl Iterator<Item = &'a ObjectName>) -> Result<(), Failure> {
        self.write_list(GONE, &lines(objects))
    }

    /// Whether something here is to go to the store, or to be deleted there.
    pub(crate) fn is_pending(&self) -> Result<bool, Failure> {
        let is_dropping = self.read_list(DROP) != self.read_list(DROPPED);
        let (here, gone) = (self.list()?, self.read_list(GONE));
        let is_lost = gone.lines().any(|name| name.parse().is_ok_and(|name| here.contains_key(&name)));
        Ok(is_dropping || is_lost || here.values().any(|here| !here.was_in_store))
    }

    /// A list of names; empty if there is none.
    fn read_list(&self, name: &str) -> String {
        let text = files::read_private(&self.path(name), LARGEST_LIST).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn write_list(&self, name: &str, text: &str) -> Result<(), Failure> {
        if text == self.read_list(name) {
            return Ok(());
        }
        files::replace_private(&self.path(name), text.as_bytes())
            .map_err(|error| Failure::new(Kind::Exchange, error.to_string()))
    }

    /// An object's bytes; none if it is gone, or they are not those of its name.
    pub(crate) fn read(&self, name: &ObjectName) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(&name.to_string());
        let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_OBJECT as u64 + 1).read_to_end(&mut bytes)?;
        Ok(is_of(name, &bytes).then_some(bytes))
    }

    /// Puts an object that came from the store here. Its name is durable after [`Self::settle`].
    pub(crate) fn place(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{TEMPORARY}{PARTIAL}{name}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&temporary)?;
        let written =
            file.write_all(bytes).and_then(|()| file.set_permissions(Permissions::from_mode(IN_STORE)));
        let placed = written
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, self.path(&name.to_string())));
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        placed
    }

    /// Notes that an object is in the store.
    pub(crate) fn mark(&self, name: &ObjectName) {
        // One that is gone needs none, and without it the object is put once more.
        let _ = fs::set_permissions(self.path(&name.to_string()), Permissions::from_mode(IN_STORE));
    }

    /// Makes the names of what was put here durable.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        files::sync_dir(&self.directory).map_err(|error| Failure::new(Kind::Exchange, error.to_string()))
    }

    /// Replaces what is said of the last run.
    pub(crate) fn say(&self, status: &[u8]) -> Result<(), Failure> {
        files::replace_private(&self.path(STATUS), status)
            .map_err(|error| Failure::new(Kind::Exchange, error.to_string()))
    }
}

/// How many objects wait in this directory to go to the store.
pub(crate) fn pending(directory: &Path) -> Result<usize, Failure> {
    let here = list(directory).map_err(|error| Failure::exchange(&error))?;
    Ok(here.values().filter(|here| !here.was_in_store).count())
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

fn list(directory: &Path) -> io::Result<BTreeMap<ObjectName, Here>> {
    let mut here = BTreeMap::new();
    for name in names(directory)? {
        let Ok(object) = name.parse::<ObjectName>() else { continue };
        // It may have gone meanwhile.
        let Ok(metadata) = fs::symlink_metadata(directory.join(&name)) else { continue };
        if metadata.is_file() {
            let was_in_store = metadata.mode() & 0o200 == 0;
            here.insert(object, Here { size: metadata.len(), was_in_store });
        }
    }
    Ok(here)
}

/// Whether these bytes are those of the name.
pub(crate) fn is_of(name: &ObjectName, bytes: &[u8]) -> bool {
    let hash = digest(&SHA256, bytes);
    bytes.len() <= LARGEST_OBJECT && hash.as_ref().first_chunk::<32>().is_some_and(|hash| name.is_of(hash))
}

fn lines<'a>(objects: impl Iterator<Item = &'a ObjectName>) -> String {
    objects.map(|object| format!("{object}\n")).collect()
}

fn no_follow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}
