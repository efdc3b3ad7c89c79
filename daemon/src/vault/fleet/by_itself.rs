//! The exchange by itself, for as long as the vault is open: when it was opened, when another machine's files have come, and
//! when something was changed here. Nothing looks from time to time; where the kernel tells of no files (NFS), what others
//! say is found at the next of these.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use secrets_fleet::ObjectName;
use tokio::time::{Instant, timeout_at};

use crate::memory;
use crate::vault::{Error, Vault};

use super::is_new;

/// How long nothing must come before what has come is looked at: files come in bursts, and so do changes.
const QUIET: Duration = Duration::from_millis(250);

/// How long a burst is waited for.
const LONGEST: Duration = Duration::from_secs(2);

/// What the thread needs, which only waits.
const STACK: usize = 128 << 10;

/// Exchanges whenever there is something to exchange. Ends with the process: a lock replaces it.
pub(crate) async fn exchange_by_itself(vault: Vault) {
    let mut watch: Option<Watch> = None;
    // What was said last, so that it is said once.
    let mut trouble: Option<String> = None;
    loop {
        vault.shared.fleet_due.notified().await;
        let Ok(fleet) = vault.known_fleet() else { continue };
        let directory = &fleet.meta.directory;
        if watch.as_ref().is_none_or(|watch| watch.is_over() || watch.directory != *directory) {
            watch = Watch::new(directory, vault.clone())
                .inspect_err(|error| tracing::debug!(%error, "the exchange is not watched"))
                .ok();
        }
        let longest = Instant::now() + LONGEST;
        let quiet = || (Instant::now() + QUIET).min(longest);
        while timeout_at(quiet(), vault.shared.fleet_due.notified()).await.is_ok() {}
        let exchanged = vault.exchange_now().await;
        memory::worked();
        let now = match exchanged {
            Ok((merged, _)) => {
                if !merged.is_empty() {
                    tracing::info!(secrets = merged.len(), "merged what other machines have changed");
                }
                None
            }
            Err(Error::Locked) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &now
            && now != trouble
        {
            tracing::warn!(%error, "nothing is exchanged with the other machines");
        }
        trouble = now;
    }
}

/// Tells when files that are news come into a directory (inotify(7)). Over when the directory is gone.
struct Watch {
    directory: PathBuf,
    events: Arc<OwnedFd>,
    number: i32,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn new(directory: &Path, vault: Vault) -> io::Result<Self> {
        let events = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let wanted = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&events, directory, wanted)?;
        let over = Arc::new(AtomicBool::new(false));
        let watch = Self { directory: directory.to_owned(), events, number, over };
        let (events, over) = (Arc::clone(&watch.events), Arc::clone(&watch.over));
        let wait = move || {
            while let Ok(()) = next_news(&events, |name| is_news(&vault, name)) {
                vault.shared.fleet_due.notify_one();
            }
            over.store(true, Ordering::Release);
            // Another directory may have taken its place.
            vault.shared.fleet_due.notify_one();
        };
        thread::Builder::new().name("exchange".to_owned()).stack_size(STACK).spawn(wait)?;
        Ok(watch)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It ends the thread; if the watch is over, so is the thread.
        let _ = inotify::remove_watch(&self.events, self.number);
    }
}

/// Waits for a file that is news. An error if there will be none any more.
fn next_news(events: &OwnedFd, is_news: impl Fn(&CStr) -> bool) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4_096];
    let mut reader = Reader::new(events, &mut buffer);
    let mut found = false;
    // What was read is looked at to its end: it may say that the watch is over.
    while !found || !reader.is_buffer_empty() {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if event.events().contains(ReadFlags::IGNORED) {
            return Err(io::ErrorKind::NotFound.into());
        }
        found |=
            event.events().contains(ReadFlags::QUEUE_OVERFLOW) || event.file_name().is_some_and(&is_news);
    }
    Ok(())
}

fn is_news(vault: &Vault, name: &CStr) -> bool {
    let name = name.to_str().ok().and_then(|name| name.parse::<ObjectName>().ok());
    name.is_some_and(|name| vault.known_fleet().is_ok_and(|fleet| is_new(&fleet, &name)))
}
