//! How many connections there are, in all and from each process. A peer's pid can be reused; then two processes share
//! one count, which is no harm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections there are.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    most: usize,
    most_per_process: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_process: HashMap<i32, usize>,
}

/// One connection's place in the limit, free again when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    pid: i32,
}

impl ConnectionLimit {
    /// A limit of `most` connections in all, and `most_per_process` from one process.
    pub(super) fn new(most: usize, most_per_process: usize) -> Self {
        Self { most, most_per_process, taken: Mutex::default() }
    }

    /// A connection for this process, if there is one.
    pub(super) fn take(self: &Arc<Self>, pid: i32) -> Option<ConnectionPermit> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let by_this = taken.by_process.get(&pid).copied().unwrap_or(0);
        if taken.all >= self.most || by_this >= self.most_per_process {
            return None;
        }
        taken.all += 1;
        taken.by_process.insert(pid, by_this + 1);
        Some(ConnectionPermit { limit: Arc::clone(self), pid })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_process.get_mut(&self.pid) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.by_process.remove(&self.pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_and_freed() {
        let limit = Arc::new(ConnectionLimit::new(3, 2));
        let (a, b) = (limit.take(1).unwrap(), limit.take(1).unwrap());
        assert!(limit.take(1).is_none());
        let c = limit.take(2).unwrap();
        assert!(limit.take(3).is_none());
        drop(a);
        assert!(limit.take(1).is_some());
        drop((b, c));
        assert!(limit.taken.lock().unwrap().by_process.is_empty());
        assert_eq!(limit.taken.lock().unwrap().all, 0);
    }
}
