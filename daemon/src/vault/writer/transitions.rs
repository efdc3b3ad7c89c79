//! From state to state: making, opening and locking the vault.

use std::sync::atomic::Ordering;
use std::time::Instant;

use secrets_local::leap::{Sighting, Times};
use secrets_local::{file_system, files, places};
use secrets_proto::Timestamp;
use secrets_proto::audit::AuditAction;
use secrets_proto::vault::MemoryLock;

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto::keys::DataKey;
use crate::store::log_of;
use crate::vault::Error;
use crate::vault::format::anchor::{self, Verdict};
use crate::vault::format::slots::NewSlot;

use super::locked::{self, Locked};
use super::pages::Pages;
use super::shared::{Published, View};
use super::{State, Writer};

impl Writer {
    /// Makes the vault with these slots and opens it; what was made is removed when it cannot be opened.
    pub(super) fn init(&mut self, caller: &Caller, slots: &[NewSlot]) -> Result<(), Error> {
        if self.is_final {
            return Err(Error::Locked);
        }
        let State::Uninitialized = self.state else { return Err(Error::AlreadyInitialized) };
        // A new vault must not take the place of one that is only missing, on a disk that is not mounted perhaps.
        if files::check_private_file(&self.anchor)? || files::check_private_file(&log_of(&self.path))? {
            return Err(Error::VaultMissing);
        }
        let data = locked::make(&self.path, slots).map_err(|error| self.unfit(error))?;
        self.state = State::Locked(Locked::default());
        *self.shared.write() = Published::Locked;
        let durable = self.path.parent().map_or(Ok(()), files::sync_dir).map_err(Error::from);
        let opened = durable.and_then(|()| self.open(caller, data, AuditAction::Init));
        if opened.is_err() {
            // Its caller is not told the recovery key and may throw the key away: a vault that nobody can open must
            // not stay. It is the file made above: the lock keeps other daemons out, and NOREPLACE kept its name free.
            self.state = State::Uninitialized;
            *self.shared.write() = Published::Uninitialized;
            files::remove_if_there(&self.path)?;
            files::remove_if_there(&log_of(&self.path))?;
        }
        opened
    }

    /// The error in making the vault, or that its file system cannot hold one if that is no wonder.
    fn unfit(&self, error: Error) -> Error {
        if let Error::Storage(cause) = &error
            && !file_system::is_native(&self.path)
        {
            tracing::warn!(cause, "the vault cannot be made here");
            return Error::Unfit("hold a vault", file_system::name(&self.path));
        }
        error
    }

    /// Opens the vault, unless it was locked after `locks` was read.
    pub(super) fn unlock(&mut self, caller: &Caller, data: DataKey, locks: u64) -> Result<(), Error> {
        match self.state {
            _ if locks != self.locks || self.is_final => Err(Error::Locked),
            State::Uninitialized => Err(Error::Uninitialized),
            // The key was right; there is nothing more to do.
            State::Unlocked(_) => Ok(()),
            State::Locked(_) => self.open(caller, data, AuditAction::Unlock),
        }
    }

    fn open(&mut self, caller: &Caller, data: DataKey, action: AuditAction) -> Result<(), Error> {
        let State::Locked(locked) = &mut self.state else {
            return Err(Error::Internal("the vault is not locked"));
        };
        let mut vault = std::mem::take(locked).unlock(self.path.clone(), data)?;
        match anchor::check(&self.anchor, vault.keys(), vault.progress())? {
            Verdict::Current => {}
            Verdict::RolledBack => {
                tracing::error!(
                    "rollback detected: the vault is older than its rollback guard; it is read-only"
                );
                vault.set_rolled_back();
            }
        }
        let seen = self.sight_clocks(Some(action));
        vault.open_at(seen);
        let waiting = self.shared.denials().take_all(Instant::now());
        let opened = vault.in_batch(|batch| {
            batch.denials(&waiting)?;
            batch.audit(caller, Event::done(action, Vec::new()))?;
            if seen.may_destroy() {
                batch.empty_trash(&Caller::daemon("trash"), Timestamp::now())?;
                batch.forget_tokens(&Caller::daemon("expiry"), Timestamp::now())?;
            }
            Ok(())
        });
        if let Err(error) = opened {
            // A full disk must not keep its owner out; whatever needs the log will fail by itself.
            tracing::warn!(%error, "the unlock is missing in the audit log");
            self.shared.denials().put_back(waiting, Instant::now());
        }
        self.unsettled = Some(Instant::now());
        self.shared.touch();
        *self.shared.write() = Published::Unlocked(Box::new(View {
            catalog: vault.catalog().clone(),
            rendered: None,
            pages: Pages::default(),
            full: None,
            full_pages: Pages::default(),
            changes: 0,
            tag: vault.tag(),
            slots: vault.slots(),
            rolled_back: vault.is_rolled_back(),
            memory_lock: if vault.keys().is_locked() { MemoryLock::Ok } else { MemoryLock::Unavailable },
            since: self.shared.clock.now(),
            clock_leapt: seen.leapt(),
        }));
        self.state = State::Unlocked(Box::new(vault));
        self.shared.approvals.opened(self.shared.clock.now());
        self.shared.opened.notify_one();
        self.shared.fleet_due.notify_one();
        self.shared.items_changed();
        tracing::info!("unlocked");
        Ok(())
    }

    /// Closes the vault and wipes its keys. Nothing keeps it open: what fails on the way is logged.
    pub(super) fn lock(&mut self, caller: &Caller) {
        self.locks += 1;
        self.is_final = self.settings.lock_is_final;
        // Before anybody can see that it is locked.
        self.shared.is_ending.store(self.is_final, Ordering::Relaxed);
        self.close(caller);
        // Whatever was allowed, and whoever waits to be: from now on the vault is locked.
        self.shared.approvals.forget();
        self.shared.items_changed();
        self.shared.wiped.notify_one();
    }

    /// Locks if there is something to wipe, as [`Command::LockIfOpen`](super::command::Command::LockIfOpen) says.
    pub(super) fn lock_if_open(&mut self, caller: &Caller, opening: bool) -> bool {
        if self.is_final {
            return true;
        }
        let is_open = matches!(self.state, State::Unlocked(_)) || opening;
        if is_open {
            self.lock(caller);
        }
        is_open
    }

    /// Looks at the clocks, and notes for the next time what was seen. At a lock, when nothing is being opened, only if they
    /// are in doubt: what ran until then counts.
    fn sight_clocks(&self, opening: Option<AuditAction>) -> Sighting {
        let path = self.anchor.with_file_name(places::CLOCK);
        let times = Times::now();
        let before = files::read_private(&path, 256).ok().and_then(|text| Sighting::parse(&text));
        let seen = match before {
            _ if opening == Some(AuditAction::Init) => Sighting::first(times).believed(),
            Some(before) => before.next(times),
            None => Sighting::first(times),
        };
        if opening.is_none() && seen.may_destroy() {
            // Nothing has happened, and nobody who locks waits for the disk.
            return seen;
        }
        if let Some(seconds) = seen.leapt() {
            tracing::warn!(
                seconds,
                "the clock has leapt: nothing is destroyed by it until it has run for a day"
            );
        }
        if let Err(error) = files::replace_private(&path, seen.to_text().as_bytes()) {
            tracing::warn!(%error, "what was seen of the clock cannot be kept; the trash stays as it is");
        }
        seen
    }

    fn close(&mut self, caller: &Caller) {
        if let State::Locked(locked) = &mut self.state {
            locked.forget();
        }
        if !matches!(self.state, State::Unlocked(_)) {
            return;
        }
        // Who returns a lease must still be known for it.
        self.shared.wait_for_leases(|_| true);
        *self.shared.write() = Published::Locked;
        let State::Unlocked(mut vault) = std::mem::replace(&mut self.state, State::Locked(Locked::default()))
        else {
            return;
        };
        if !vault.is_in_doubt() {
            let mut waiting = self.shared.uses().take_all(self.shared.clock.now());
            waiting.extend(self.shared.denials().take_all(Instant::now()));
            let mut note = || {
                vault.in_batch(|batch| {
                    batch.denials(&waiting)?;
                    batch.audit(caller, Event::done(AuditAction::Lock, Vec::new()))
                })
            };
            let mut noted = note();
            if matches!(noted, Err(Error::DiskFull)) {
                self.ballast.release();
                noted = note();
            }
            if let Err(error) = noted {
                tracing::warn!(%error, "the lock is missing in the audit log");
                self.shared.denials().put_back(waiting, Instant::now());
            }
        }
        // In doubt too: what was answered as stored counts, whatever is at the vault's path by now.
        if !vault.is_rolled_back()
            && let Err(error) = anchor::renew(&self.anchor, vault.keys(), vault.progress())
        {
            tracing::warn!(%error, "the rollback guard could not be renewed");
        }
        self.sight_clocks(None);
        self.unsettled = None;
        if let Err(error) = vault.close() {
            tracing::warn!(%error, "the vault was not closed cleanly; it will be checked at the next unlock");
        }
        tracing::info!("locked");
    }
}
