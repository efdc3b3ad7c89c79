//! What was refused and is not in the audit log yet. Nobody who is refused waits for the disk, and while the vault is
//! locked nothing can be written at all, so denials wait here and are appended by the vault's thread: a new one within
//! [`SOON`], further equal ones together after [`QUIET`], and no more than [`PER_WINDOW`] entries in [`WINDOW`], so
//! that a caller without any right cannot fill the disk. What does not fit into the queue is only counted.
//!
//! A crash loses what waits here; a lock or the end of the daemon does not, unless the vault is locked already.

use std::time::{Duration, Instant};

use secrets_proto::token::TokenName;

use crate::audit::Denial;

/// How soon a denial of a new kind is written.
const SOON: Duration = Duration::from_secs(1);
/// For how long equal ones are gathered into one entry after that.
const QUIET: Duration = Duration::from_mins(1);
/// The most that wait.
const MOST: usize = 1_000;
/// The most of them that one access token is told apart in; further ones are counted by what was asked for alone, so
/// that its holder can neither hide one refusal among many, nor keep out those of others.
const SHARE: usize = 64;
/// The most entries that are written by themselves in [`WINDOW`].
const PER_WINDOW: usize = 100;
/// The time in which [`PER_WINDOW`] entries may be written.
const WINDOW: Duration = Duration::from_mins(10);

/// Denials that wait to be written.
#[derive(Debug)]
pub(in crate::vault) struct Denials {
    slots: Vec<Slot>,
    /// When the first of them is due.
    next: Option<Instant>,
    /// How many found no place.
    dropped: u64,
    window: Instant,
    written: usize,
}

/// Denials of one kind. A count of 0 says that they are written, and when the next may be.
#[derive(Debug)]
struct Slot {
    denial: Denial,
    due: Instant,
}

/// What became of a denial.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::vault) struct Noted {
    /// Whether the denial is the first of its kind.
    pub(in crate::vault) is_new: bool,
    /// Whether the denial must be written sooner than anything before.
    pub(in crate::vault) is_next: bool,
}

impl Denials {
    /// The denials that wait at the start: none.
    pub(in crate::vault) const fn new(now: Instant) -> Self {
        Self { slots: Vec::new(), next: None, dropped: 0, window: now, written: 0 }
    }

    /// Denials that another image left, as [`to_bytes`](Self::to_bytes) wrote them.
    pub(in crate::vault) fn from_bytes(bytes: &[u8], now: Instant) -> Self {
        let mut denials = Self::new(now);
        for denial in bytes.split(|byte| *byte == b'\n').filter_map(Denial::decode).take(MOST) {
            denials.slots.push(Slot { denial, due: now });
        }
        denials.next = (!denials.slots.is_empty()).then_some(now);
        denials
    }

    /// The denials that wait, one a line. Names of secrets are left out: they are for the vault alone.
    pub(in crate::vault) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, slot) in self.slots.iter().filter(|slot| slot.denial.count > 0).enumerate() {
            let mut denial = slot.denial.clone();
            (denial.event.names, denial.event.used) = (Vec::new(), None);
            denial.dropped += if at == 0 { self.dropped } else { 0 };
            bytes.extend(denial.encode().unwrap_or_default());
            bytes.push(b'\n');
        }
        bytes
    }

    /// Takes a denial in.
    pub(in crate::vault) fn note(&mut self, mut denial: Denial, now: Instant) -> Noted {
        if self.same(&denial).is_none() && self.is_beyond_share(&denial.caller.token) {
            denial = denial.in_general();
        }
        if let Some(slot) = self.same(&denial) {
            let fresh = slot.denial.count == 0;
            if fresh {
                slot.denial.time = denial.time;
                slot.due = slot.due.max(now + SOON);
            }
            slot.denial.until = denial.until;
            slot.denial.count = slot.denial.count.saturating_add(denial.count);
            let due = slot.due;
            return Noted { is_new: false, is_next: fresh && self.is_next(due) };
        }
        if self.slots.len() >= MOST {
            let Some(written) = self.slots.iter().position(|slot| slot.denial.count == 0) else {
                self.dropped = self.dropped.saturating_add(1);
                return Noted { is_new: false, is_next: false };
            };
            self.slots.swap_remove(written);
        }
        let due = now + SOON;
        self.slots.push(Slot { denial, due });
        Noted { is_new: true, is_next: self.is_next(due) }
    }

    fn same(&mut self, denial: &Denial) -> Option<&mut Slot> {
        let same =
            |slot: &&mut Slot| slot.denial.caller == denial.caller && slot.denial.event == denial.event;
        self.slots.iter_mut().find(same)
    }

    fn is_beyond_share(&self, token: &str) -> bool {
        // Other names are not of access tokens: nobody can be held to them.
        TokenName::parse(token).is_ok()
            && self.slots.iter().filter(|slot| slot.denial.caller.token == token).count() >= SHARE
    }

    fn is_next(&mut self, due: Instant) -> bool {
        let is_next = self.next.is_none_or(|next| due < next);
        if is_next {
            self.next = Some(due);
        }
        is_next
    }

    /// How long until something is to be written; `None` if nothing waits.
    pub(in crate::vault) fn due_in(&self, now: Instant) -> Option<Duration> {
        let next = self.next?;
        let open = self.window + WINDOW;
        let next = if self.written >= PER_WINDOW { next.max(open) } else { next };
        Some(next.saturating_duration_since(now))
    }

    /// Takes the denials that are to be written now, the oldest first.
    pub(in crate::vault) fn take_due(&mut self, now: Instant) -> Vec<Denial> {
        if now.duration_since(self.window) >= WINDOW {
            (self.window, self.written) = (now, 0);
        }
        let taken = self.take(now, |due| due <= now, PER_WINDOW.saturating_sub(self.written));
        self.written += taken.len();
        taken
    }

    /// All, when there is a reason that somebody without rights cannot repeat at will.
    pub(in crate::vault) fn take_all(&mut self, now: Instant) -> Vec<Denial> {
        self.take(now, |_| true, MOST)
    }

    fn take(&mut self, now: Instant, is_due: impl Fn(Instant) -> bool, most: usize) -> Vec<Denial> {
        self.slots.retain(|slot| slot.denial.count > 0 || slot.due > now);
        let waiting = self.slots.iter_mut().filter(|slot| slot.denial.count > 0);
        let mut waiting: Vec<&mut Slot> = waiting.filter(|slot| is_due(slot.due)).collect();
        waiting.sort_by_key(|slot| slot.denial.time);
        let mut taken: Vec<Denial> = Vec::new();
        for slot in waiting.into_iter().take(most) {
            taken.push(slot.denial.clone());
            (slot.denial.count, slot.denial.dropped, slot.due) = (0, 0, now + QUIET);
        }
        if let Some(first) = taken.first_mut() {
            first.dropped += std::mem::take(&mut self.dropped);
        }
        self.next = self.slots.iter().filter(|slot| slot.denial.count > 0).map(|slot| slot.due).min();
        taken
    }

    /// Takes back what could not be written, to be tried again after a while.
    pub(in crate::vault) fn put_back(&mut self, denials: Vec<Denial>, now: Instant) {
        for denial in denials {
            self.dropped = self.dropped.saturating_add(denial.dropped);
            let denial = Denial { dropped: 0, ..denial };
            self.note(denial.clone(), now);
            if let Some(slot) = self.same(&denial) {
                slot.denial.time = slot.denial.time.min(denial.time);
                slot.due = now + QUIET;
            }
        }
        self.next = self.slots.iter().filter(|slot| slot.denial.count > 0).map(|slot| slot.due).min();
    }
}

#[cfg(test)]
mod tests {
    use secrets_proto::audit::{AuditAction, Refusal};

    use super::*;
    use crate::audit::Event;
    use crate::caller::{Caller, Peer};

    fn denial(pid: i32) -> Denial {
        Denial::now(
            &Caller::stranger(Peer { uid: 1, pid }),
            Event::refused(AuditAction::Access, Refusal::UnknownToken),
        )
    }

    fn counts(denials: &[Denial]) -> Vec<(i32, u64, u64)> {
        denials.iter().map(|denial| (denial.caller.pid, denial.count, denial.dropped)).collect()
    }

    #[test]
    fn the_first_is_written_soon_and_its_like_a_minute_later_in_one() {
        let start = Instant::now();
        let mut denials = Denials::new(start);
        assert_eq!(denials.due_in(start), None);
        assert_eq!(denials.note(denial(1), start), Noted { is_new: true, is_next: true });
        assert_eq!(denials.note(denial(1), start), Noted { is_new: false, is_next: false });
        assert_eq!(denials.note(denial(2), start), Noted { is_new: true, is_next: false });
        assert_eq!(denials.due_in(start), Some(SOON));
        assert!(denials.take_due(start).is_empty());
        let soon = start + SOON;
        assert_eq!(counts(&denials.take_due(soon)), [(1, 2, 0), (2, 1, 0)]);
        assert_eq!(denials.due_in(soon), None);
        for _ in 0..5_000 {
            denials.note(denial(1), soon);
        }
        assert_eq!(denials.due_in(soon), Some(QUIET));
        let later = soon + QUIET;
        let written = denials.take_due(later);
        assert_eq!(counts(&written), [(1, 5_000, 0)]);
        assert!(written[0].time <= written[0].until);
        // After a quiet minute it is new again.
        assert!(denials.take_due(later + QUIET).is_empty());
        assert_eq!(denials.note(denial(1), later + QUIET), Noted { is_new: true, is_next: true });
    }

    #[test]
    fn a_flood_is_bounded_in_memory_and_in_the_log() {
        let start = Instant::now();
        let mut denials = Denials::new(start);
        for pid in 0..10_000 {
            denials.note(denial(pid), start);
        }
        assert_eq!(denials.slots.len(), MOST);
        let soon = start + SOON;
        let written = denials.take_due(soon);
        assert_eq!(written.len(), PER_WINDOW);
        assert_eq!(counts(&written)[..2], [(0, 1, 9_000), (1, 1, 0)]);
        assert!(denials.take_due(soon).is_empty());
        assert_eq!(denials.due_in(soon), Some(WINDOW.saturating_sub(SOON)));
        // What was written gives up its place, what was not does not.
        denials.note(denial(-1), soon);
        assert_eq!((denials.slots.len(), denials.dropped), (MOST, 0));
        assert_eq!(denials.take_due(start + WINDOW).len(), PER_WINDOW);
        let rest = denials.take_all(start + WINDOW);
        assert_eq!(rest.len(), MOST + 1 - 2 * PER_WINDOW);
        assert_eq!(denials.due_in(soon), None);
    }

    #[test]
    fn no_token_takes_the_places_of_others() {
        let start = Instant::now();
        let mut denials = Denials::new(start);
        let rights = std::sync::Arc::new(crate::caller::TokenRights {
            id: secrets_proto::Uuid::nil(),
            name: "agent".into(),
            scopes: std::iter::empty().collect(),
            names: None,
            expires_at: None,
            rate_per_minute: None,
        });
        let noisy = |number: i32| {
            // From ever another process, with ever another reason.
            let caller = Caller::holding(Peer { uid: 1, pid: number }, std::sync::Arc::clone(&rights));
            let reason = secrets_proto::reveal::Remark::parse(&format!("reason {number}")).ok();
            Denial::now(&caller, Event { reason, ..Event::refused(AuditAction::Reveal, Refusal::Missing) })
        };
        for number in 0..5_000 {
            denials.note(noisy(number), start);
        }
        assert_eq!(denials.note(denial(7), start), Noted { is_new: true, is_next: false });
        let taken = denials.take_all(start);
        assert_eq!(taken.len(), SHARE + 2);
        assert!(taken.iter().all(|denial| denial.dropped == 0));
        // All of them are told, the later ones without what tells them apart.
        assert_eq!(taken.iter().map(|denial| denial.count).sum::<u64>(), 5_001);
        let rest = taken.iter().find(|denial| denial.count > 1).unwrap();
        assert_eq!((rest.caller.token.as_str(), rest.event.action), ("agent", AuditAction::Reveal));
        assert_eq!((rest.caller.pid, &rest.event.reason), (0, &None));
    }

    #[test]
    fn what_cannot_be_written_comes_back_whole() {
        let start = Instant::now();
        let mut denials = Denials::new(start);
        denials.note(denial(1), start);
        denials.note(denial(1), start);
        denials.dropped = 7;
        let taken = denials.take_all(start);
        denials.note(denial(1), start);
        denials.put_back(taken.clone(), start);
        assert_eq!(denials.due_in(start), Some(QUIET));
        let again = denials.take_all(start);
        assert_eq!(counts(&again), [(1, 3, 7)]);
        assert_eq!(again[0].time, taken[0].time);
    }

    #[test]
    fn another_image_goes_on_with_what_waits() {
        let start = Instant::now();
        let mut denials = Denials::new(start);
        let named = Event {
            names: vec![secrets_proto::SecretName::parse("NAME").unwrap()],
            ..Event::refused(AuditAction::Reveal, Refusal::Missing)
        };
        denials.note(Denial::now(&Caller::daemon("x"), named), start);
        denials.take_all(start);
        for pid in [1, 2, 1] {
            denials.note(denial(pid), start);
        }
        denials.dropped = 3;
        let bytes = denials.to_bytes();
        let mut next = Denials::from_bytes(&bytes, start);
        assert_eq!(next.due_in(start), Some(Duration::ZERO));
        let taken = next.take_all(start);
        assert_eq!(counts(&taken), [(1, 2, 3), (2, 1, 0)]);
        let before = denials.take_all(start);
        assert_eq!((taken[0].time, taken[0].until), (before[0].time, before[0].until));
        assert!(!String::from_utf8(bytes).unwrap().contains("NAME"));
        assert!(Denials::from_bytes(b"", start).take_all(start).is_empty());
        assert!(Denials::from_bytes(b"\n{}\nx\n", start).take_all(start).is_empty());
    }
}
