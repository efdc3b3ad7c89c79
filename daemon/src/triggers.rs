//! What beside time locks the vault, and whether the daemon would hear of it: `logind` notes it, the vault's status tells
//! it. It knows neither.

use std::sync::{Mutex, MutexGuard, PoisonError};

use secrets_proto::vault::{Obstacle, Trigger};

/// What locks the vault from outside, as far as it is known now.
#[derive(Debug)]
pub(crate) struct Triggers(Mutex<Seen>);

/// What is to be told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether the machine's suspend locks.
    pub(crate) suspend: Trigger,
    /// Whether a session's lock does.
    pub(crate) session_lock: Trigger,
    /// Why one of them is unavailable.
    pub(crate) obstacle: Option<Obstacle>,
}

impl Triggers {
    /// Starts with the configured triggers, all pending.
    pub(crate) fn new(suspend: bool, session_lock: bool) -> Self {
        let of = |wanted| if wanted { Trigger::Unavailable } else { Trigger::Off };
        let obstacle = (suspend || session_lock).then_some(Obstacle::NoAnswer);
        Self(Mutex::new(Seen { suspend: of(suspend), session_lock: of(session_lock), obstacle }))
    }

    /// What can be told now.
    pub(crate) fn seen(&self) -> Seen {
        *self.guard()
    }

    /// From now on these are heard of in time, as far as they are wanted; if not both are, this is in the way.
    pub(crate) fn note(&self, suspend: bool, session_lock: bool, obstacle: Obstacle) {
        let seen = &mut *self.guard();
        for (trigger, live) in [(&mut seen.suspend, suspend), (&mut seen.session_lock, session_lock)] {
            *trigger = match (*trigger, live) {
                (Trigger::Off, _) => Trigger::Off,
                (Trigger::Live | Trigger::Unavailable, true) => Trigger::Live,
                (Trigger::Live | Trigger::Unavailable, false) => Trigger::Unavailable,
            };
        }
        let is_hindered = [seen.suspend, seen.session_lock].contains(&Trigger::Unavailable);
        seen.obstacle = is_hindered.then_some(obstacle);
    }

    fn guard(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere cannot have left it half changed in a way that matters: it is only told.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Triggers {
    /// Starts without triggers.
    fn default() -> Self {
        Self::new(false, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_stays_off_and_an_obstacle_is_told_while_there_is_one() {
        let triggers = Triggers::new(true, false);
        let seen = |suspend, obstacle| Seen { suspend, session_lock: Trigger::Off, obstacle };
        assert_eq!(triggers.seen(), seen(Trigger::Unavailable, Some(Obstacle::NoAnswer)));
        triggers.note(true, true, Obstacle::NoAnswer);
        assert_eq!(triggers.seen(), seen(Trigger::Live, None));
        triggers.note(false, true, Obstacle::Refused);
        assert_eq!(triggers.seen(), seen(Trigger::Unavailable, Some(Obstacle::Refused)));
        assert_eq!(Triggers::default().seen(), seen(Trigger::Off, None));
    }
}
