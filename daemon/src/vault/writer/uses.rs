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

/// For how long uses after the first are counted.
const COUNTED: Duration = Duration::from_mins(1);

/// The most that is counted at once; of more each use has an entry of its own.
const MOST: usize = 4_096;

/// Uses that share an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::vault) struct Key {
    pub(in crate::vault) session: Uuid,
    pub(in crate::vault) secret: Uuid,
    /// The rule, and the host with its port: another rule in its place has another entry.
    pub(in crate::vault) rule: usize,
    pub(in crate::vault) host: String,
}

/// A value that was taken.
#[derive(Debug)]
pub(in crate::vault) struct Taken {
    pub(in crate::vault) key: Key,
    /// What is written of it.
    pub(in crate::vault) entry: Denial,
    /// Whether it has an entry of its own, which is in the same commit.
    pub(in crate::vault) is_written: bool,
}

/// Uses that are being counted.
#[derive(Debug, Default)]
pub(in crate::vault) struct Uses {
    windows: HashMap<Key, Window>,
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
    /// Whether a use now is within the minute after one that is in the log.
    pub(in crate::vault) fn counts(&self, key: &Key, now: Moment) -> bool {
        self.windows.get(key).is_some_and(|window| now < window.end)
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
        match self.windows.get_mut(&taken.key) {
            Some(Window { counted: Some(counted), .. }) => add(counted, &taken.entry),
            Some(window) => window.counted = Some(taken.entry.clone()),
            // Its minute was over meanwhile.
            None => {
                self.late.push(taken.entry.clone());
                self.again.get_or_insert(now);
            }
        }
    }

    /// How long until something is to be written; `None` if nothing was counted.
    pub(in crate::vault) fn due_in(&self, now: Moment) -> Option<Duration> {
        let ends = self.windows.values().filter(|window| window.counted.is_some()).map(|window| window.end);
        ends.chain(self.again).min().map(|due| due.since(now))
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

    fn take(&mut self, now: Moment, is_due: impl Fn(Moment) -> bool) -> Vec<Denial> {
        let due = self.windows.values_mut().filter(|window| is_due(window.end));
        let mut taken: Vec<Denial> = due.filter_map(|window| window.counted.take()).collect();
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
        Taken { key, entry: Denial::now(&Caller::owner(Peer { uid: 1, pid: 1 }), event), is_written }
    }

    fn counts(entries: &[Denial]) -> Vec<u64> {
        entries.iter().map(|entry| entry.count).collect()
    }

    #[test]
    fn uses_within_a_minute_of_a_written_one_are_one_entry_at_its_end() {
        let start = Moment::default();
        let mut uses = Uses::default();
        let first = taken(1, "/", true);
        assert!(!uses.counts(&first.key, start));
        uses.note(&first, start);
        assert!(uses.counts(&first.key, start) && !uses.counts(&taken(2, "/", true).key, start));
        assert_eq!(uses.due_in(start), None);
        for number in 0..100 {
            uses.note(&taken(1, &format!("/{}", number % 40), false), start);
        }
        assert_eq!(uses.due_in(start), Some(COUNTED));
        assert!(uses.take_due(start).is_empty());
        let end = start + COUNTED;
        assert!(!uses.counts(&first.key, end));
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
        assert!(uses.take_all(start).is_empty() && uses.counts(&taken(1, "/", true).key, start));
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
        assert!(!uses.counts(&taken(MOST as u128, "/", true).key, start));
        assert_eq!(uses.windows.len(), MOST);
    }
}
