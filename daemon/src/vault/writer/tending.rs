//! What the vault's thread does by time, between what it is asked: it locks, ties up the loose ends of commits, and writes
//! denials and uses that waited.

use std::time::{Duration, Instant};

use secrets_local::clock::Moment;

use crate::audit::Denial;
use crate::caller::Caller;
use crate::vault::Error;
use crate::vault::format::anchor;

use super::denials::Denials;
use super::uses::Uses;
use super::{State, Writer, publish_renewed};

/// How soon after a commit its loose ends are tied up: removed content cut from the log, the anchor renewed.
const SETTLE: Duration = Duration::from_secs(1);

impl Writer {
    /// Locks, removes residue or writes denials, if it is time for it. Returns whether it was.
    pub(super) fn tend(&mut self) -> bool {
        let is_due = |left| left == Some(Duration::ZERO);
        if self.lock_if_due() {
            return true;
        }
        if is_due(self.settles_in()) {
            self.settle();
        } else if is_due(self.denials_in()) {
            self.write_denials(|denials, now| denials.take_due(now));
        } else if is_due(self.uses_in()) {
            self.write_uses(|uses, now| uses.take_due(now));
        } else {
            return false;
        }
        true
    }

    /// Locks if it is time for it. Returns whether it was.
    pub(super) fn lock_if_due(&mut self) -> bool {
        let is_due = self.locks_in() == Some(Duration::ZERO);
        if is_due {
            self.lock(&Caller::daemon("auto-lock"));
        }
        is_due
    }

    /// How long until the vault locks by itself; `None` is never.
    pub(super) fn locks_in(&self) -> Option<Duration> {
        let opened = self.shared.read().view().ok()?.since;
        self.shared.locks_in(opened, &self.settings)
    }

    /// How long until the loose ends of commits are to be tied up; `None` if there are none.
    pub(super) fn settles_in(&self) -> Option<Duration> {
        self.unsettled.map(|since| SETTLE.saturating_sub(since.elapsed()))
    }

    /// How long until a denial is to be written; `None` if none waits, or none can be written.
    pub(super) fn denials_in(&self) -> Option<Duration> {
        match &self.state {
            State::Unlocked(vault) if !vault.is_rolled_back() => self.shared.denials().due_in(Instant::now()),
            State::Unlocked(_) | State::Locked(_) | State::Uninitialized => None,
        }
    }

    /// Appends denials to the audit log. It counts as no use of the vault: who is refused does not keep it open.
    pub(super) fn write_denials(&mut self, take: impl FnOnce(&mut Denials, Instant) -> Vec<Denial>) {
        if self.denials_in().is_none() {
            return;
        }
        let denials = take(&mut self.shared.denials(), Instant::now());
        let aboard = self.ballast_is_aboard();
        let State::Unlocked(vault) = &mut self.state else { return };
        if denials.is_empty() {
            return;
        }
        let written =
            if aboard { vault.in_batch(|batch| batch.denials(&denials)) } else { Err(Error::DiskFull) };
        match written {
            Ok(committed) => {
                publish_renewed(vault, &self.shared);
                self.shared.apply(&committed, vault.tag());
                tracing::debug!(entries = denials.len(), "denials are in the audit log");
                self.unsettled.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                tracing::warn!(%error, "some denials are not in the audit log yet");
                self.shared.denials().put_back(denials, Instant::now());
            }
        }
    }

    /// How long until uses that were counted are to be written; `None` if there are none.
    pub(super) fn uses_in(&self) -> Option<Duration> {
        match &self.state {
            State::Unlocked(_) => self.shared.uses().due_in(self.shared.clock.now()),
            State::Locked(_) | State::Uninitialized => None,
        }
    }

    /// Appends uses that were counted to the audit log. What cannot be written is tried again a minute later.
    pub(super) fn write_uses(&mut self, take: impl FnOnce(&mut Uses, Moment) -> Vec<Denial>) {
        let State::Unlocked(vault) = &mut self.state else { return };
        let counted = take(&mut self.shared.uses(), self.shared.clock.now());
        if counted.is_empty() {
            return;
        }
        match vault.in_batch(|batch| batch.denials(&counted)) {
            Ok(committed) => {
                publish_renewed(vault, &self.shared);
                self.shared.apply(&committed, vault.tag());
                self.unsettled.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                tracing::warn!(%error, "uses are missing in the audit log for the moment");
                self.shared.uses().put_back(counted, self.shared.clock.now());
            }
        }
    }

    /// Ties up the loose ends of the commits so far. What fails is logged and tried again after the next commit.
    pub(super) fn settle(&mut self) {
        self.unsettled = None;
        let State::Unlocked(vault) = &mut self.state else { return };
        if vault.is_rolled_back() {
            return;
        }
        if vault.is_in_doubt() || vault.check_in_place().is_err() {
            return self.renew_anchor();
        }
        // Always, not only for what was removed: a log that has grown could not be moved into the file once the disk
        // is full, whatever is in reserve.
        if vault.is_being_read() {
            self.unsettled = Some(Instant::now());
        } else if let Err(error) = vault.renew_log() {
            tracing::warn!(%error, "removed content stays in the log until the next checkpoint");
        }
        self.renew_anchor();
    }

    /// Notes in the rollback guard what was answered as stored.
    pub(super) fn renew_anchor(&self) {
        if let State::Unlocked(vault) = &self.state
            && !vault.is_rolled_back()
            && let Err(error) = anchor::renew(&self.anchor, vault.keys(), vault.progress())
        {
            tracing::warn!(%error, "the rollback guard could not be renewed");
        }
    }
}
