//! How often a wrong token may be tried. One count serves the whole daemon, since only one uid can connect.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// In this time only so many wrong tokens are answered plainly.
const WINDOW: Duration = Duration::from_secs(10);

/// When wrong tokens came, the oldest first.
#[derive(Debug)]
pub(super) struct Throttle {
    most: usize,
    tries: VecDeque<Instant>,
}

impl Throttle {
    /// Lets so many wrong tokens pass in a window.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, tries: VecDeque::new() }
    }

    /// Counts a wrong token; the seconds to wait if there were too many.
    pub(super) fn bad_token(&mut self, now: Instant) -> Result<(), u32> {
        while self.tries.front().is_some_and(|oldest| now.duration_since(*oldest) > WINDOW) {
            self.tries.pop_front();
        }
        match self.tries.front() {
            Some(oldest) if self.tries.len() >= self.most => {
                let wait = (*oldest + WINDOW).saturating_duration_since(now);
                Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1))
            }
            _ => {
                self.tries.push_back(now);
                Ok(())
            }
        }
    }
}
