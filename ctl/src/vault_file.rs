//! The vault as files, for the two commands that move it as a whole: its directory and lock by the daemon's own rules,
//! and how one vault takes the place of another so that a crash at any moment loses neither. It cannot look inside: that
//! takes the daemon and a key.
//!
//! - `copies`: how a vault's file is recognised, and which others lie beside it

mod copies;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use secrets_local::lock::{self, Holder, Lock, Locking};
use secrets_local::{file_system, files, places};
use secrets_proto::Timestamp;

use crate::failure::{Exit, Failure};

pub(crate) use copies::{Backup, has_log, is_vault, kept, open_backup, put_aside};
use copies::{KEPT, with_suffix};

/// What SQLite keeps beside a database; with another database of the same name it would do harm.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How long a daemon that was told to stop may take: it lets requests finish for 5 s and closes the vault.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// The directory in which the daemon keeps the vault.
#[derive(Debug)]
pub(crate) struct VaultDir(PathBuf);

impl VaultDir {
    /// The directory at `path`, which must be as the daemon wants it; made if absent.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        files::private_dir(&path).map_err(|error| {
            let exit = if matches!(error, files::Error::Io(..)) { Exit::Other } else { Exit::NotAllowed };
            Failure::new(exit, format!("cannot use the vault's directory: {error}"))
        })?;
        Ok(Self(path))
    }

    /// The vault's file.
    pub(crate) fn vault(&self) -> PathBuf {
        self.0.join(places::VAULT)
    }

    /// Whether there is a vault.
    pub(crate) fn has_vault(&self) -> bool {
        fs::symlink_metadata(self.vault()).is_ok()
    }

    /// Whether this file is the vault itself.
    pub(crate) fn is_the_vault(&self, backup: &Backup) -> bool {
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        backup.file.metadata().ok().zip(fs::metadata(self.vault()).ok()).is_some_and(|(a, b)| same(a, b))
    }

    /// Takes the lock if no daemon has it, and so keeps one from starting. It does not wait.
    pub(crate) fn lock(&self) -> io::Result<Locking> {
        lock::take(&self.0.join(places::LOCK)).map_err(io::Error::other)
    }

    /// Copies a backup beside the vault, under a name of no meaning to the daemon. Durable when this returns.
    pub(crate) fn bring_in(&self, _lock: &Lock, backup: &Backup) -> io::Result<PathBuf> {
        let path = with_suffix(&self.vault(), ".restore");
        remove_if_there(&path)?;
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            // No more than what was looked at, however long it is by now.
            let copied = io::copy(&mut (&backup.file).take(backup.length), &mut file)?;
            if copied != backup.length || backup.file.metadata()?.len() != backup.length {
                return Err(io::Error::other("the backup changes while it is read"));
            }
            file.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    /// Puts the file in the vault's place and keeps what is there under another name. If this fails, all is as it was,
    /// or [`Replaced::undo`] makes it so.
    pub(crate) fn replace(&self, _lock: &Lock, by: &Path, now: Timestamp) -> Replaced {
        let kept = self.free_name(now);
        let mut replaced =
            Replaced { vault: self.vault(), kept, had_vault: false, placed: false, outcome: Ok(()) };
        replaced.outcome = replaced.put(by);
        replaced
    }

    fn free_name(&self, now: Timestamp) -> PathBuf {
        let time: String = now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let plain = with_suffix(&self.vault(), &format!("{KEPT}{time}"));
        let numbered = (2..).map(|n| with_suffix(&plain, &format!("-{n}")));
        let taken = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
        std::iter::once(plain.clone()).chain(numbered).find(|path| !taken(path)).unwrap_or(plain)
    }
}

/// Tells a daemon that has the vault to stop, and takes its lock when it has.
pub(crate) fn stop(holder: Holder) -> io::Result<Lock> {
    let unknown = || io::Error::other("its process is unknown");
    let pid = holder.noted().pid().ok_or_else(unknown)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Some(process),
        Err(Errno::SRCH) => None,
        Err(error) => return Err(error.into()),
    };
    let mut holder = match holder.retry()? {
        Locking::Ours(lock) => return Ok(lock),
        Locking::Held(holder) => holder,
    };
    if let Some(process) = process {
        // The descriptor is the holder's only if the holder is still there now that it is open.
        if holder.noted().pid() != Some(pid) {
            return Err(unknown());
        }
        pidfd_send_signal(process, Signal::TERM)?;
    }
    let deadline = Instant::now() + STOP_DEADLINE;
    loop {
        holder = match holder.retry()? {
            Locking::Ours(lock) => return Ok(lock),
            Locking::Held(_) if Instant::now() >= deadline => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not stop"));
            }
            Locking::Held(holder) => holder,
        };
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A vault that took another's place, or was to.
#[derive(Debug)]
pub(crate) struct Replaced {
    vault: PathBuf,
    kept: PathBuf,
    /// Whether there was a vault, which then has its second name.
    had_vault: bool,
    /// Whether the other vault is in its place.
    placed: bool,
    outcome: io::Result<()>,
}

impl Replaced {
    /// What came of it.
    pub(crate) const fn outcome(&self) -> &io::Result<()> {
        &self.outcome
    }

    /// Where the vault is that was there before, if there was one.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.had_vault.then_some(self.kept.as_path())
    }

    /// The commands that put the old vault back by hand, once no daemon runs.
    pub(crate) fn by_hand(&self) -> String {
        let vault = self.vault.display();
        let remove = format!("rm -f {vault} {vault}-wal");
        if !self.had_vault {
            return remove;
        }
        let kept = self.kept.display();
        let log = with_suffix(&self.kept, "-wal");
        let more = if log.exists() { format!(" && mv {kept}-wal {vault}-wal") } else { String::new() };
        format!("{remove}{more} && mv {kept} {vault}")
    }

    /// Moves the old vault away, file by file and never copied, and then the new one in. At no moment does a vault stand
    /// without its log, where it would open as an older one: cut off in between, there is none, which the daemon tells
    /// from one that was never made.
    fn put(&mut self, new: &Path) -> io::Result<()> {
        match fs::symlink_metadata(&self.vault) {
            Ok(metadata) if metadata.is_file() => {
                self.had_vault = true;
                move_to(&self.vault, &self.kept)?;
                self.sync()?;
            }
            Ok(_) => return Err(io::Error::other("the vault is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        for suffix in COMPANIONS {
            move_if_there(&with_suffix(&self.vault, suffix), &with_suffix(&self.kept, suffix))?;
        }
        self.sync()?;
        move_to(new, &self.vault)?;
        self.placed = true;
        self.sync()
    }

    /// Puts the old vault back, its log first. The other one is gone then; its backup is where it was.
    pub(crate) fn undo(&self, _lock: &Lock) -> io::Result<()> {
        if self.placed {
            remove_if_there(&self.vault)?;
            self.remove_companions()?;
        }
        for suffix in COMPANIONS {
            move_if_there(&with_suffix(&self.kept, suffix), &with_suffix(&self.vault, suffix))?;
        }
        self.sync()?;
        if self.had_vault {
            move_if_there(&self.kept, &self.vault)?;
        }
        self.sync()
    }

    fn remove_companions(&self) -> io::Result<()> {
        COMPANIONS.iter().try_for_each(|suffix| remove_if_there(&with_suffix(&self.vault, suffix)))
    }

    fn sync(&self) -> io::Result<()> {
        sync_parent(&self.vault)
    }
}

/// Makes the names beside a path durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(file_system::sync_dir(File::open(parent.unwrap_or(Path::new(".")))?)?)
}

/// Gives a file another name, which must be free.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    Ok(file_system::rename_new(CWD, from, to)?)
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match move_to(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::copies::tests::vault;
    use super::*;

    fn place() -> (tempfile::TempDir, VaultDir, Lock) {
        let base = tempfile::tempdir().unwrap();
        let dir = VaultDir::open(base.path().join("data")).unwrap();
        let Locking::Ours(lock) = dir.lock().unwrap() else { panic!("the lock is held") };
        (base, dir, lock)
    }

    fn names(dir: &VaultDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&dir.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    const NOW: &str = "2026-04-15T12:00:00Z";
    const ASIDE: &str = "vault.db.before-restore-20260415T120000Z";

    fn bring_in(base: &tempfile::TempDir, dir: &VaultDir, lock: &Lock) -> PathBuf {
        let path = base.path().join("backup");
        fs::write(&path, vault(b"new")).unwrap();
        dir.bring_in(lock, &open_backup(&path).unwrap()).unwrap()
    }

    #[test]
    fn what_is_added_to_a_backup_after_it_was_looked_at_is_not_copied() {
        let (base, dir, lock) = place();
        let path = base.path().join("file");
        fs::write(&path, vault(b"x")).unwrap();
        let backup = open_backup(&path).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(dir.bring_in(&lock, &backup).is_err());
        assert_eq!(names(&dir), ["vault.lock"]);
    }

    #[test]
    fn the_old_vault_is_kept_with_all_that_belongs_to_it_and_comes_back() {
        let (base, dir, lock) = place();
        fs::write(dir.vault(), "old").unwrap();
        fs::write(dir.0.join("vault.db-wal"), "old frames").unwrap();
        let new = bring_in(&base, &dir, &lock);
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
        let replaced = dir.replace(&lock, &new, Timestamp::parse(NOW).unwrap());
        assert!(replaced.outcome().is_ok());
        assert_eq!(fs::read(dir.vault()).unwrap(), vault(b"new"));
        assert_eq!(names(&dir), ["vault.db", ASIDE, &format!("{ASIDE}-wal"), "vault.lock"]);
        assert_eq!(replaced.kept(), Some(dir.0.join(ASIDE).as_path()));

        // What the restored vault left must not meet the old one.
        fs::write(dir.0.join("vault.db-wal"), "new frames").unwrap();
        replaced.undo(&lock).unwrap();
        assert_eq!(names(&dir), ["vault.db", "vault.db-wal", "vault.lock"]);
        assert_eq!(fs::read(dir.vault()).unwrap(), b"old");
        assert_eq!(fs::read(dir.0.join("vault.db-wal")).unwrap(), b"old frames");
    }

    #[test]
    fn a_replacement_that_fails_half_way_can_be_undone() {
        let (_base, dir, lock) = place();
        fs::write(dir.vault(), "old").unwrap();
        fs::write(dir.0.join("vault.db-wal"), "old frames").unwrap();
        let replaced = dir.replace(&lock, Path::new("/nonexistent"), Timestamp::parse(NOW).unwrap());
        assert!(replaced.outcome().is_err());
        replaced.undo(&lock).unwrap();
        assert_eq!(names(&dir), ["vault.db", "vault.db-wal", "vault.lock"]);
        assert_eq!(fs::read(dir.vault()).unwrap(), b"old");
    }

    #[test]
    fn without_an_old_vault_there_is_none_again() {
        let (base, dir, lock) = place();
        let new = bring_in(&base, &dir, &lock);
        let replaced = dir.replace(&lock, &new, Timestamp::parse(NOW).unwrap());
        assert!(replaced.outcome().is_ok() && dir.has_vault());
        assert_eq!(replaced.kept(), None);
        replaced.undo(&lock).unwrap();
        assert_eq!(names(&dir), ["vault.lock"]);
    }

    #[test]
    fn two_restores_in_one_second_keep_two_vaults() {
        let (base, dir, lock) = place();
        fs::write(dir.vault(), "first").unwrap();
        for _ in 0..2 {
            let new = bring_in(&base, &dir, &lock);
            assert!(dir.replace(&lock, &new, Timestamp::parse(NOW).unwrap()).outcome().is_ok());
        }
        assert_eq!(fs::read(dir.0.join(ASIDE)).unwrap(), b"first");
        assert_eq!(fs::read(dir.0.join(format!("{ASIDE}-2"))).unwrap(), vault(b"new"));
    }

    #[test]
    fn the_lock_keeps_others_out_and_says_whose_it_is() {
        let (_base, dir, lock) = place();
        let Locking::Held(holder) = dir.lock().unwrap() else { panic!("locked twice") };
        assert_eq!(holder.noted().pid(), Some(rustix::process::getpid()));
        drop(lock);
        assert!(matches!(dir.lock().unwrap(), Locking::Ours(_)));
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(VaultDir::open(dir.0).unwrap_err().exit(), Exit::NotAllowed);
    }
}
