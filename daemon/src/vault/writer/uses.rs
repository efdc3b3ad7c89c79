//! How values are being used without being seen. The first use of a secret by a session, at a rule and a host, has its
//! entry in the audit log before the value leaves; those within the minute after it are counted here and written as one
//! entry at the minute's end, so that not every request waits for the disk.
//!
//! A crash loses what is counted here; a lock, the session's end and the end of the daemon do not.

use std::collections::HashMap;
use std::time::Duration;

use secrets_local::clock::Moment;
use secrets_proto::Uuid;
use secrets_proto::audit::AuditUse;

use crate::audit::Denial;

use super::leases::{Given, Key, Leases, Open, RESPITE};

/// For how long uses after the first are counted.
const COUNTED: Duration = Duration::from_mins(1);

/// The most that is counted at once; of more each use has an entry of its own.
const MOST: usize = 4_096;

/// A value that was taken.
#[derive(Debug)]
pub(in crate::vault) struct Taken {
    pub(in crate::vault) key: Key,
    /// What is written of it.
    pub(in crate::vault) entry: Denial,
    /// Whether it has an entry of its own, which is in the same commit.
    pub(in crate::vault) is_written: bool,
    /// The lease that is given with it.
    pub(in crate::vault) lease: Option<Given>,
}

/// Uses that are being counted.
#[derive(Debug, Default)]
pub(in crate::vault) struct Uses {
    windows: HashMap<Key, Window>,
    leases: Leases,
    /// What could not be written, and when it is tried again.
    late: Vec<Denial>,
    again: Option<Moment>,
}

/// A minute that began with a use that is in the log.
#[derive(Debug)]
struct Window {
    end: Moment,
    /// The uses since then.
    counted: Option<Denial>,
}

impl Uses {
    /// How much is left of the minute after a use that is in the log; `None` if this one is not within it.
    pub(in crate::vault) fn left(&self, key: &Key, now: Moment) -> Option<Duration> {
        self.windows.get(key).map(|window| window.end.since(now)).filter(|left| !left.is_zero())
    }

    /// Whether a lease can be given.
    pub(in crate::vault) fn may_lease(&self) -> bool {
        self.leases.has_room()
    }

    /// Gives no more leases from now on.
    pub(in crate::vault) const fn end_leases(&mut self) {
        self.leases.end();
    }

    /// How long to wait for the leases that are meant, at most; `None` if there are none.
    pub(in crate::vault) fn leased(&self, is_meant: impl Fn(&Open) -> bool) -> Option<Duration> {
        self.leases.left(is_meant)
    }

    /// Takes a lease back from its session, and counts its uses. Says whether there is something to be written at another
    /// time than before.
    pub(in crate::vault) fn returned(&mut self, lease: Uuid, session: Uuid, uses: u64, now: Moment) -> bool {
        let due = self.due_in(now);
        if let Some((key, entry)) = self.leases.take_back(lease, session, uses) {
            self.count(&key, entry, now);
        }
        self.due_in(now) != due
    }

    /// Notes a use whose value may leave now.
    pub(in crate::vault) fn note(&mut self, taken: &Taken, now: Moment) {
        if taken.is_written {
            self.windows.retain(|_, window| window.counted.is_some() || now < window.end);
            if self.windows.len() < MOST {
                let begun = Window { end: now + COUNTED, counted: None };
                let before = self.windows.insert(taken.key.clone(), begun);
                // Of a minute that is over, and was not written yet.
                self.late.extend(before.and_then(|window| window.counted));
                if !self.late.is_empty() {
                    self.again.get_or_insert(now);
                }
            }
            return;
        }
        if let Some(given) = taken.lease {
            self.leases.give(&taken.key, given, &taken.entry);
        }
        self.count(&taken.key, taken.entry.clone(), now);
    }

    fn count(&mut self, key: &Key, entry: Denial, now: Moment) {
        match self.windows.get_mut(key) {
            Some(Window { counted: Some(counted), .. }) => add(counted, &entry),
            Some(window) => window.counted = Some(entry),
            // Its minute was over meanwhile.
            None => {
                self.late.push(entry);
                self.again.get_or_insert(now);
            }
        }
    }

    /// How long until something is to be written; `None` if nothing was counted.
    pub(in crate::vault) fn due_in(&self, now: Moment) -> Option<Duration> {
        let counted = self.windows.iter().filter(|(_, window)| window.counted.is_some());
        let ends = counted.map(|(key, window)| self.closes(key, window));
        let due = ends.chain(self.again).min().map(|due| due.since(now));
        due.into_iter().chain(self.leases.due_in()).min()
    }

    /// The entries of the minutes that are over, the oldest first.
    pub(in crate::vault) fn take_due(&mut self, now: Moment) -> Vec<Denial> {
        self.take(now, |end| end <= now)
    }

    /// The entries of all that was counted. The minutes go on.
    pub(in crate::vault) fn take_all(&mut self, now: Moment) -> Vec<Denial> {
        self.again = Some(now);
        self.take(now, |_| true)
    }

    /// When the entry of a minute is written: what was leased within it belongs to it.
    fn closes(&self, key: &Key, window: &Window) -> Moment {
        if self.leases.has(key) { window.end + RESPITE } else { window.end }
    }

    fn take(&mut self, now: Moment, is_due: impl Fn(Moment) -> bool) -> Vec<Denial> {
        for (key, entry) in self.leases.give_up() {
            self.count(&key, entry, now);
        }
        let closing = self.windows.iter().filter(|(key, window)| is_due(self.closes(key, window)));
        let closing: Vec<Key> = closing.map(|(key, _)| key.clone()).collect();
        let counted = |key| self.windows.get_mut(key)?.counted.take();
        let mut taken: Vec<Denial> = closing.iter().filter_map(counted).collect();
        if self.again.is_some_and(|again| again <= now) {
            self.again = None;
            taken.append(&mut self.late);
        }
        self.windows.retain(|_, window| window.counted.is_some() || now < window.end);
        taken.sort_by_key(|entry| entry.time);
        taken
    }

    /// Takes back what could not be written, to be tried again after a while.
    pub(in crate::vault) fn put_back(&mut self, entries: Vec<Denial>, now: Moment) {
        self.late.extend(entries);
        self.again = Some(now + COUNTED);
    }
}

/// Counts one more use.
fn add(counted: &mut Denial, entry: &Denial) {
    counted.count = counted.count.saturating_add(entry.count);
    if counted.event.reason.is_none() {
        counted.event.reason.clone_from(&entry.event.reason);
    }
    (counted.time, counted.until) = (counted.time.min(entry.time), counted.until.max(entry.until));
    if let (Some(all), Some(one)) = (&mut counted.event.used, &entry.event.used) {
        let add = |all: &mut Vec<String>, more: &[String]| {
            for one in more {
                if all.len() < AuditUse::MAX && !all.contains(one) {
                    all.push(one.clone());
                }
            }
        };
        add(&mut all.methods, &one.methods);
        add(&mut all.paths, &one.paths);
    }
}

#[cfg(test)]
mod tests {
    use secrets_proto::audit::AuditAction;

    use super::*;
    use crate::audit::Event;
    use crate::caller::{Caller, Peer};

    fn taken(session: u128, path: &str, is_written: bool) -> Taken {
        let used = AuditUse {
            rule: Some(1),
            host: "a.example.com".to_owned(),
            methods: vec!["GET".to_owned()],
            paths: vec![path.to_owned()],
        };
        let event = Event { used: Some(used), ..Event::done(AuditAction::Use, Vec::new()) };
        let key = Key {
            session: Uuid::from_u128(session),
            secret: Uuid::nil(),
            rule: 1,
            host: "a.example.com".to_owned(),
        };
        Taken {
            key,
            entry: Denial::now(&Caller::owner(Peer { uid: 1, pid: 1 }), event),
            is_written,
            lease: None,
        }
    }

    fn counts(entries: &[Denial]) -> Vec<u64> {
        entries.iter().map(|entry| entry.count).collect()
    }

    #[test]
    fn uses_within_a_minute_of_a_written_one_are_one_entry_at_its_end() {
        let start = Moment::default();
        let mut uses = Uses::default();
        let first = taken(1, "/", true);
        assert!(uses.left(&first.key, start).is_none());
        uses.note(&first, start);
        assert!(
            uses.left(&first.key, start).is_some() && uses.left(&taken(2, "/", true).key, start).is_none()
        );
        assert_eq!(uses.due_in(start), None);
        for number in 0..100 {
            uses.note(&taken(1, &format!("/{}", number % 40), false), start);
        }
        assert_eq!(uses.due_in(start), Some(COUNTED));
        assert!(uses.take_due(start).is_empty());
        let end = start + COUNTED;
        assert!(uses.left(&first.key, end).is_none());
        let written = uses.take_due(end);
        assert_eq!(counts(&written), [100]);
        let used = written[0].event.used.as_ref().unwrap();
        assert_eq!((used.methods.len(), used.paths.len()), (1, AuditUse::MAX));
        assert_eq!((uses.due_in(end), uses.windows.len()), (None, 0));
    }

    #[test]
    fn at_a_lock_all_is_written_and_the_minute_goes_on() {
        let start = Moment::default();
        let mut uses = Uses::default();
        uses.note(&taken(1, "/", true), start);
        uses.note(&taken(1, "/", false), start);
        assert_eq!(counts(&uses.take_all(start)), [1]);
        assert!(uses.take_all(start).is_empty() && uses.left(&taken(1, "/", true).key, start).is_some());
    }

    #[test]
    fn nothing_that_was_counted_is_lost() {
        let start = Moment::default();
        let mut uses = Uses::default();
        uses.note(&taken(1, "/", true), start);
        uses.note(&taken(1, "/", false), start);
        // A new minute begins before the old one was written.
        uses.note(&taken(1, "/", true), start + COUNTED);
        // One that was let through as its minute ended.
        uses.note(&taken(2, "/", false), start + COUNTED);
        assert_eq!(uses.due_in(start + COUNTED), Some(Duration::ZERO));
        let written = uses.take_due(start + COUNTED);
        assert_eq!(counts(&written), [1, 1]);
        // What could not be written is tried again.
        uses.put_back(written, start + COUNTED);
        assert_eq!(uses.due_in(start + COUNTED), Some(COUNTED));
        assert!(uses.take_due(start + COUNTED).is_empty());
        assert_eq!(counts(&uses.take_due(start + COUNTED * 2)), [1, 1]);
    }

    #[test]
    fn of_more_than_can_be_counted_each_has_an_entry_of_its_own() {
        let start = Moment::default();
        let mut uses = Uses::default();
        for session in 0..=MOST as u128 {
            uses.note(&taken(session, "/", true), start);
        }
        assert!(uses.left(&taken(MOST as u128, "/", true).key, start).is_none());
        assert_eq!(uses.windows.len(), MOST);
    }
}
