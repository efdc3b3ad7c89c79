//! Values that may be used for a moment without asking again. A broker that puts one value into many requests of a kind
//! would otherwise ask once for each. What forbids such uses, a lock above all, waits until the leases are over, so that
//! it holds from the moment when it is answered.
//!
//! Leases end by the clock alone: a broker that hangs or was killed holds nothing up. Its count is missing then, and the
//! most that the lease allowed is counted instead.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use secrets_proto::reveal::Remark;
use secrets_proto::session::Lease;
use secrets_proto::{Timestamp, Uuid};

use crate::audit::Denial;

/// How long one lasts. A lock waits as long; a request that comes again so soon is saved from asking.
const LASTS: Duration = Duration::from_millis(20);

/// For so long after its end a lease's count may come.
pub(super) const RESPITE: Duration = Duration::from_millis(100);

/// Into how many requests a value may be put: more than a broker sends in that time.
const USES: u64 = 2_000;

/// What the audit log says where a count is missing.
const AT_MOST: &str = "at most: the broker did not say how often";

/// The most leases at once. Without one, a use is counted as it is asked for.
const MOST: usize = 256;

/// Uses that share an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::vault) struct Key {
    pub(in crate::vault) session: Uuid,
    pub(in crate::vault) secret: Uuid,
    /// The rule, and the host with its port: another rule in its place has another entry.
    pub(in crate::vault) rule: usize,
    pub(in crate::vault) host: String,
}

/// A lease that is given with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct Given {
    /// What the broker is told.
    pub(in crate::vault) lease: Lease,
    /// The secret's version: as long as it stays, nothing about the secret has changed.
    pub(in crate::vault) version: u64,
    /// By the clock that the broker goes by: it stands still in sleep, as the broker does.
    until: Instant,
}

impl Given {
    /// A lease from now on, which is over when the minute of its first use is; `None` if that is too soon.
    pub(in crate::vault) fn new(id: Uuid, version: u64, left: Duration, now: Instant) -> Option<Self> {
        let milliseconds = u64::try_from(left.min(LASTS).as_millis()).unwrap_or(0);
        let lease = Lease { id, milliseconds, uses: USES };
        let until = now + Duration::from_millis(milliseconds);
        (milliseconds > 0).then_some(Self { lease, version, until })
    }
}

/// A lease that was not returned yet.
#[derive(Debug)]
pub(in crate::vault) struct Open {
    /// Whose it is, and for what.
    pub(in crate::vault) key: Key,
    /// When it ends, and how much it allows.
    pub(in crate::vault) given: Given,
    /// What is written of a use.
    entry: Denial,
}

impl Open {
    /// How long it is waited for, if it is not returned.
    fn left(&self) -> Duration {
        (self.given.until + RESPITE).saturating_duration_since(Instant::now())
    }

    /// What is written of so many uses beside the first; `None` if there are none.
    fn counted(self, more: u64) -> Option<(Key, Denial)> {
        let count = more.min(self.given.lease.uses - 1);
        let entry = Denial { count, until: Timestamp::now_precise(), ..self.entry };
        (count > 0).then_some((self.key, entry))
    }
}

/// All leases that were not returned yet.
#[derive(Debug, Default)]
pub(super) struct Leases {
    open: HashMap<Uuid, Open>,
    /// Whether no more are given: the daemon ends.
    is_over: bool,
}

impl Leases {
    /// Whether one more can be given.
    pub(super) fn has_room(&self) -> bool {
        !self.is_over && self.open.len() < MOST
    }

    /// Gives no more from now on.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    /// Notes one whose value may leave now.
    pub(super) fn give(&mut self, key: &Key, given: Given, entry: &Denial) {
        self.open.insert(given.lease.id, Open { key: key.clone(), given, entry: entry.clone() });
    }

    /// Takes one back from its session, with the number of its uses. Gives what is to be counted.
    pub(super) fn take_back(&mut self, id: Uuid, session: Uuid, uses: u64) -> Option<(Key, Denial)> {
        self.open.get(&id).filter(|open| open.key.session == session)?;
        self.open.remove(&id)?.counted(uses.saturating_sub(1))
    }

    /// Gives up those whose count should have come, and gives the most that they may have been.
    pub(super) fn give_up(&mut self) -> Vec<(Key, Denial)> {
        let late = self.open.extract_if(|_, open| open.left().is_zero());
        late.filter_map(|(_, open)| open.counted(u64::MAX))
            .map(|(key, mut entry)| {
                tracing::warn!(uses = entry.count, "a broker has not said how often it used a value");
                entry.event.reason = Remark::parse(AT_MOST).ok();
                (key, entry)
            })
            .collect()
    }

    /// How long until one is given up; `None` if there are none.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.open.values().map(Open::left).min()
    }

    /// Whether one of these uses may still be under way.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.open.values().any(|open| open.key == *key)
    }

    /// How long to wait for those that are meant, at most; `None` if there are none.
    pub(super) fn left(&self, is_meant: impl Fn(&Open) -> bool) -> Option<Duration> {
        let left = self.open.values().filter(|open| is_meant(open)).map(Open::left).max();
        left.filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use secrets_proto::audit::AuditAction;

    use super::*;
    use crate::audit::Event;
    use crate::caller::{Caller, Peer};

    fn given(leases: &mut Leases, session: u128, ago: Duration) -> Uuid {
        let key = Key {
            session: Uuid::from_u128(session),
            secret: Uuid::nil(),
            rule: 1,
            host: "a.example.com".to_owned(),
        };
        let entry =
            Denial::now(&Caller::owner(Peer { uid: 1, pid: 1 }), Event::done(AuditAction::Use, Vec::new()));
        let id = Uuid::from_u128(leases.open.len() as u128);
        let since = Instant::now().checked_sub(ago).unwrap();
        leases.give(&key, Given::new(id, 1, Duration::from_secs(60), since).unwrap(), &entry);
        id
    }

    #[test]
    fn a_lease_is_over_with_its_minute_and_none_is_given_too_late() {
        let new = |left| Given::new(Uuid::nil(), 1, Duration::from_micros(left), Instant::now());
        assert_eq!(new(60_000_000).unwrap().lease.milliseconds, 20);
        assert_eq!(new(3_900).unwrap().lease.milliseconds, 3);
        assert_eq!(new(900), None);
    }

    #[test]
    fn a_lease_is_returned_once_by_its_session_and_counts_what_was_used_of_it() {
        let mut leases = Leases::default();
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let id = given(&mut leases, 1, Duration::ZERO);
        assert!(leases.left(|open| open.key.session == own).is_some());
        assert!(leases.left(|open| open.key.session == other).is_none());
        assert!(leases.take_back(id, other, 5).is_none());
        assert_eq!(leases.take_back(id, own, 5).unwrap().1.count, 4);
        assert!(leases.take_back(id, own, 5).is_none() && leases.left(|_| true).is_none());
        // The first use was counted when the value was taken.
        let id = given(&mut leases, 1, Duration::ZERO);
        assert!(leases.take_back(id, own, 1).is_none());
        // No more than was allowed.
        let id = given(&mut leases, 1, Duration::ZERO);
        assert_eq!(leases.take_back(id, own, u64::MAX).unwrap().1.count, USES - 1);
    }

    #[test]
    fn what_is_not_returned_counts_as_the_most_that_it_may_have_been() {
        let mut leases = Leases::default();
        given(&mut leases, 1, LASTS + RESPITE);
        given(&mut leases, 1, Duration::ZERO);
        assert_eq!(leases.due_in(), Some(Duration::ZERO));
        let given_up = leases.give_up();
        assert_eq!(given_up.len(), 1);
        assert_eq!(given_up[0].1.count, USES - 1);
        assert!(given_up[0].1.event.reason.as_ref().is_some_and(|reason| reason.as_str() == AT_MOST));
        // The other goes on, and holds nothing up for longer than it may.
        assert!(leases.left(|_| true).is_some_and(|left| left <= LASTS + RESPITE));
        leases.end();
        assert!(!leases.has_room());
    }
}
