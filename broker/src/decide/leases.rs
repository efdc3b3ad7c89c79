//! Values that the daemon has lent: for a moment, more requests of the same kind have them without asking again. A lease is
//! asked for when the same was asked a moment ago, so that one request after a pause costs what it always did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrets_proto::rule::Site;
use secrets_proto::session::{Lease, ReturnedLease};
use secrets_proto::{SecretName, Uuid};

use super::{Asked, Taken};

/// Two requests of a kind within this time are worth a lease: it lasts about as long.
const MOMENT: Duration = Duration::from_millis(20);

/// The most kinds of requests that are remembered; of others each is asked for.
const MOST: usize = 64;

/// A kind of requests: what a lease is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind<'a> {
    pub(super) secret: &'a SecretName,
    pub(super) asked: &'a Asked,
    pub(super) site: &'a Site,
}

/// What is to be done for a request.
pub(super) enum Next {
    /// This is its value.
    Use(Taken),
    /// Ask for it.
    Ask,
    /// Ask for it and for a lease, when it is this request's turn: others of the same kind need not ask then.
    AskForLease(Arc<tokio::sync::Mutex<()>>),
}

/// The leases of one session.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    secret: SecretName,
    asked: Asked,
    site: Site,
    last: Instant,
    turn: Arc<tokio::sync::Mutex<()>>,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    taken: Taken,
    lease: Lease,
    until: Instant,
    used: u64,
}

impl Entry {
    fn is(&self, kind: Kind<'_>) -> bool {
        self.asked == *kind.asked && self.site == *kind.site && self.secret == *kind.secret
    }

    fn give(&mut self, now: Instant) -> Option<Taken> {
        let held = self.held.as_mut().filter(|held| now < held.until && held.used < held.lease.uses)?;
        held.used += 1;
        Some(held.taken.clone())
    }
}

impl Leases {
    /// What is to be done for a request of this kind.
    pub(super) fn next(&self, kind: Kind<'_>) -> Next {
        let now = Instant::now();
        let mut entries = self.lock();
        let Some(entry) = entries.iter_mut().find(|entry| entry.is(kind)) else {
            entries.retain(|entry| entry.held.is_some() || now - entry.last < MOMENT);
            if entries.len() < MOST {
                let (secret, asked, site) = (kind.secret.clone(), kind.asked.clone(), kind.site.clone());
                entries.push(Entry { secret, asked, site, last: now, turn: Arc::default(), held: None });
            }
            return Next::Ask;
        };
        let is_again = now - entry.last < MOMENT;
        entry.last = now;
        match entry.give(now) {
            Some(taken) => Next::Use(taken),
            None if is_again => Next::AskForLease(entry.turn.clone()),
            None => Next::Ask,
        }
    }

    /// The value, if another request has got a lease for it meanwhile.
    pub(super) fn got(&self, kind: Kind<'_>) -> Option<Taken> {
        self.lock().iter_mut().find(|entry| entry.is(kind))?.give(Instant::now())
    }

    /// Keeps a value that is lent until then. What was lent before for the same is to be returned now.
    pub(super) fn keep(
        &self,
        kind: Kind<'_>,
        taken: Taken,
        lease: Lease,
        until: Instant,
    ) -> Option<ReturnedLease> {
        let mut entries = self.lock();
        let held = Held { taken, lease, until, used: 1 };
        let Some(entry) = entries.iter_mut().find(|entry| entry.is(kind)) else {
            return Some(returned(&held));
        };
        entry.held.replace(held).as_ref().map(returned)
    }

    /// Drops a value whose lease is over; what is to be returned, if it was not yet.
    pub(super) fn end(&self, lease: Uuid) -> Option<ReturnedLease> {
        let mut entries = self.lock();
        let is_it = |entry: &&mut Entry| entry.held.as_ref().is_some_and(|held| held.lease.id == lease);
        entries.iter_mut().find(is_it)?.held.take().as_ref().map(returned)
    }

    /// Drops all; what is to be returned.
    pub(super) fn end_all(&self) -> Vec<ReturnedLease> {
        let held = std::mem::take(&mut *self.lock()).into_iter().filter_map(|entry| entry.held);
        held.map(|held| returned(&held)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn returned(held: &Held) -> ReturnedLease {
    ReturnedLease { id: held.lease.id, uses: held.used }
}
