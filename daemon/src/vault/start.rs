//! Taking possession of a vault: its directories, its lock, its thread.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use secrets_local::files;
use secrets_local::lock::{self, Locking, Noted};
use secrets_local::places;
use secrets_proto::vault::MemoryLock;
use tokio::sync::Semaphore;

use crate::memory::Pinned;
use crate::permits::Permits;
use crate::store::{journal_of, log_of};

use super::auto_lock::AutoLock;
use super::derivation::Derivations;
use super::room::Room;
use super::writer::Writer;
use super::writer::denials::Denials;
use super::writer::shared::{Published, Shared};
use super::{Settings, Vault};

/// How many questions of one asker that look at many secrets are under way at once.
const HEAVY: usize = 2;

/// How many of those of all tokens run on threads of their own at once.
const READERS: usize = 1;

/// Why the vault could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The vault belongs to another daemon, which has written this about itself.
    #[error("the vault is in use by another secretsd{0}")]
    Running(Noted),
    /// A file or directory cannot be used.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The system gives no thread.
    #[error("the vault's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Takes the vault's lock, unless it was handed over, and starts its thread.
pub(super) fn start(
    settings: Settings,
    lock: Option<OwnedFd>,
    unwritten: &[u8],
) -> Result<Vault, StartError> {
    let data_dir = files::private_dir(&settings.data_dir)?;
    let anchor = files::private_dir(&settings.state_dir)?.join(places::ANCHOR);
    let lock_path = data_dir.join(places::LOCK);
    let handed = lock.map(File::from).filter(|lock| is_at(lock, &lock_path));
    let lock = match handed {
        Some(lock) => lock,
        // Also where the directory was replaced meanwhile: the lock that was handed over is on another vault.
        None => take_lock(&lock_path)?,
    };
    let lock = Arc::new(lock);

    let path = data_dir.join(places::VAULT);
    sweep(&path);
    let exists = files::check_private_file(&path)?;
    let state = if exists { Published::Locked } else { Published::Uninitialized };
    let shared = Arc::new(Shared::new(state, Denials::from_bytes(unwritten, Instant::now())));
    let (commands, received) = mpsc::channel();
    let writer = Writer::new(path, anchor, exists, Arc::clone(&shared), &settings);
    thread::Builder::new()
        .name("vault".to_owned())
        .spawn({
            // The vault stays locked against other daemons for as long as the thread may touch it.
            let lock = Arc::clone(&lock);
            move || {
                writer.run(&received);
                drop(lock);
            }
        })
        .map_err(StartError::Thread)?;

    let memory_lock =
        if Pinned::new([0_u8; 32]).is_locked() { MemoryLock::Ok } else { MemoryLock::Unavailable };
    let (settings, derivations) = (Arc::new(settings), Arc::new(Derivations::default()));
    let auto_lock = AutoLock {
        commands: commands.clone(),
        shared: Arc::clone(&shared),
        derivations: Arc::clone(&derivations),
        settings: Arc::clone(&settings),
    };
    Ok(Vault {
        commands,
        shared,
        auto_lock,
        pairing: Arc::default(),
        refused: Arc::default(),
        exchanging: Arc::default(),
        derivations,
        heavy: Arc::new(Permits::new(Semaphore::MAX_PERMITS, HEAVY)),
        readers: Arc::new(Semaphore::new(READERS)),
        owners_lists: Arc::new(Semaphore::new(1)),
        snapshots: Arc::new(Semaphore::new(1)),
        room: Arc::new(Room::new()),
        settings,
        lock,
        memory_lock,
        start_failure: Arc::default(),
    })
}

/// Removes whole or half copies that a backup, a rotation, a restore or the making of a vault was killed over. Who has the
/// lock is alone with them.
fn sweep(vault: &Path) {
    for copy in ["db.copy", "db.new", "db.restore", "db.rotated"] {
        let copy = vault.with_extension(copy);
        for left in [log_of(&copy), journal_of(&copy), copy] {
            if let Err(error) = files::remove_if_there(&left) {
                tracing::warn!(%error, "a copy of the vault is left");
            }
        }
    }
}

/// Whether this open file is the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let there = std::fs::symlink_metadata(path).map(identity);
    file.metadata().map(identity).is_ok_and(|open| there.is_ok_and(|there| there == open))
}

fn take_lock(path: &Path) -> Result<File, StartError> {
    match lock::take(path)? {
        Locking::Ours(lock) => Ok(lock.into_file()),
        Locking::Held(holder) => Err(StartError::Running(holder.noted().clone())),
    }
}
