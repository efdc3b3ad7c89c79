//! What the vault's thread publishes for everyone to read without asking it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use secrets_local::clock::{Clock, Moment};
use secrets_proto::Uuid;
use secrets_proto::vault::MemoryLock;
use tokio::sync::{Notify, watch};

use crate::crypto;
use crate::vault::{Error, Rendered, Settings};

use super::approvals::Approvals;
use super::batch::Committed;
use super::catalog::{Catalog, Change};
use super::denials::Denials;
use super::leases::Open;
use super::pages::Pages;
use super::urgent::Urgent;
use super::uses::Uses;

/// The published state. Its lock is held for look-ups and for renewal after a commit, never across I/O.
pub(in crate::vault) struct Shared {
    state: RwLock<Published>,
    /// By which the vault locks.
    pub(in crate::vault) clock: Clock,
    /// The last reveal or write.
    last_use: Mutex<Moment>,
    /// What was refused and is not written yet.
    denials: Mutex<Denials>,
    /// How values are being used without being seen.
    uses: Mutex<Uses>,
    /// What waits for a person, and what a person has answered.
    pub(in crate::vault) approvals: Arc<Approvals>,
    /// Notified when a lease was returned.
    returned: Condvar,
    /// What the vault's thread serves before everything else.
    pub(in crate::vault) urgent: Urgent,
    /// Whether the vault is being locked or was, and this image ends for it.
    pub(in crate::vault) is_ending: AtomicBool,
    /// Notified when the vault was locked.
    pub(in crate::vault) wiped: Notify,
    /// Notified when the vault was opened.
    pub(in crate::vault) opened: Notify,
    /// Notified when there may be something to exchange with other machines.
    pub(in crate::vault) fleet_due: Notify,
    /// Another number whenever somebody who watches items should look again.
    pub(in crate::vault) item_changes: watch::Sender<u64>,
}

/// What can be known of the vault without its thread.
pub(in crate::vault) enum Published {
    /// No vault was made yet.
    Uninitialized,
    /// The vault is locked.
    Locked,
    /// Open for reading.
    Unlocked(Box<View>),
}

/// An open vault's readable part.
pub(in crate::vault) struct View {
    /// All secrets.
    pub(in crate::vault) catalog: Catalog,
    /// The list as the router rendered it, until something that it shows changes.
    pub(in crate::vault) rendered: Option<Rendered>,
    /// Of which it is joined.
    pub(in crate::vault) pages: Pages,
    /// The list with all there is to tell, as it was written last, and how many changes it knows of.
    pub(in crate::vault) full: Option<(u64, Bytes)>,
    /// Of which it is joined.
    pub(in crate::vault) full_pages: Pages,
    /// How often something has changed that a list with all there is to tell may show.
    pub(in crate::vault) changes: u64,
    /// Changes with that list.
    pub(in crate::vault) tag: String,
    /// The number of key slots.
    pub(in crate::vault) slots: usize,
    /// Whether the vault is older than its rollback guard.
    pub(in crate::vault) rolled_back: bool,
    /// Whether the keys are kept out of swap.
    pub(in crate::vault) memory_lock: MemoryLock,
    /// When the vault was opened.
    pub(in crate::vault) since: Moment,
    /// By how many seconds the clock had leapt then, if it may be wrong.
    pub(in crate::vault) clock_leapt: Option<i64>,
}

impl Shared {
    /// Starts with this state, and what was not written before.
    pub(in crate::vault) fn new(state: Published, denials: Denials) -> Self {
        Self {
            state: RwLock::new(state),
            clock: Clock::new(),
            last_use: Mutex::default(),
            denials: Mutex::new(denials),
            uses: Mutex::default(),
            approvals: Arc::new(Approvals::new()),
            returned: Condvar::new(),
            urgent: Urgent::default(),
            is_ending: AtomicBool::new(false),
            wiped: Notify::new(),
            opened: Notify::new(),
            fleet_due: Notify::new(),
            item_changes: watch::Sender::new(first_number()),
        }
    }

    /// The present state.
    pub(in crate::vault) fn read(&self) -> RwLockReadGuard<'_, Published> {
        // A panic elsewhere cannot have left it half changed: every change is one assignment or `apply`.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present state, to be changed.
    pub(in crate::vault) fn write(&self) -> RwLockWriteGuard<'_, Published> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was refused and is not written yet. Its lock is held for moments.
    pub(in crate::vault) fn denials(&self) -> MutexGuard<'_, Denials> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How values are being used without being seen. Its lock is held for moments.
    pub(in crate::vault) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lease back from its session, as [`Uses::returned`] does.
    pub(in crate::vault) fn returned(&self, lease: Uuid, session: Uuid, uses: u64) -> bool {
        let is_due_otherwise = self.uses().returned(lease, session, uses, self.clock.now());
        self.returned.notify_one();
        is_due_otherwise
    }

    /// Waits until the leases that are meant are over and were returned, or should have been. For the vault's thread, which
    /// gives leases: meanwhile there are no new ones.
    pub(in crate::vault) fn wait_for_leases(&self, is_meant: impl Fn(&Open) -> bool) {
        let mut uses = self.uses();
        while let Some(left) = uses.leased(&is_meant) {
            uses = self.returned.wait_timeout(uses, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the leases of what a commit has changed, so that nothing is used as before once it is answered.
    pub(in crate::vault) fn wait_for_leases_on(&self, committed: &Committed) {
        self.wait_for_leases(|open| {
            committed.changes.iter().any(|change| match change {
                Change::Put(record) => record.id == open.key.secret && record.version != open.given.version,
                Change::Remove(secret) => *secret == open.key.secret,
                Change::RemoveToken(token) => *token == open.key.session,
                Change::PutToken(_)
                | Change::Allow(_)
                | Change::Revoke(_)
                | Change::PutApprovalRule(_)
                | Change::RemoveApprovalRule(_)
                | Change::PutItem(_)
                | Change::RemoveItem(_)
                | Change::PutCollection(_)
                | Change::PutFleet(_) => false,
            })
        });
    }

    /// Tells those who watch items that something is another.
    pub(in crate::vault) fn items_changed(&self) {
        self.item_changes.send_modify(|changes| *changes += 1);
    }

    /// Takes the steps of a commit.
    pub(in crate::vault) fn apply(&self, committed: &Committed, tag: String) {
        if committed.changes.is_empty() && committed.slots.is_none() {
            return;
        }
        if let Published::Unlocked(view) = &mut *self.write() {
            view.changes += 1;
            for change in &committed.changes {
                let is_shown = view.catalog.is_shown_by(change);
                if is_shown {
                    (view.rendered, view.tag) = (None, tag.clone());
                }
                for name in view.catalog.names_in(change) {
                    view.full_pages.touch(name);
                    if is_shown {
                        view.pages.touch(name);
                    }
                }
                view.catalog.apply(change);
            }
            view.slots = committed.slots.unwrap_or(view.slots);
            if committed.changes.iter().any(|change| view.catalog.is_unsaid(change)) {
                self.fleet_due.notify_one();
            }
        }
        let is_of_items = |change: &Change| {
            matches!(change, Change::PutItem(_) | Change::RemoveItem(_) | Change::PutCollection(_))
        };
        if committed.changes.iter().any(is_of_items) {
            self.items_changed();
        }
    }

    /// Notes a reveal or write.
    pub(in crate::vault) fn touch(&self) {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
    }

    /// How long until the vault that was opened then locks by itself, zero if it should have; `None` is never. Sleep counts.
    pub(in crate::vault) fn locks_in(&self, opened: Moment, settings: &Settings) -> Option<Duration> {
        let now = self.clock.now();
        let left = |limit: Duration, passed| (!limit.is_zero()).then(|| limit.saturating_sub(passed));
        let (idle, open) = (self.idle_for(now), now.since(opened));
        [left(settings.idle_lock, idle), left(settings.max_lock, open)].into_iter().flatten().min()
    }

    /// How long before `now` the last reveal or write was.
    pub(in crate::vault) fn idle_for(&self, now: Moment) -> Duration {
        now.since(*self.last_use.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Published {
    /// The open vault, or why there is none.
    pub(in crate::vault) const fn view(&self) -> Result<&View, Error> {
        match self {
            Self::Unlocked(view) => Ok(view),
            Self::Locked => Err(Error::Locked),
            Self::Uninitialized => Err(Error::Uninitialized),
        }
    }
}

/// A number that the image before this one will not have come to: it was handed no other.
fn first_number() -> u64 {
    crypto::random::<4>().map_or(0, u32::from_be_bytes).into()
}
