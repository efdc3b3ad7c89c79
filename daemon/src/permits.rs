//! Permits for what there is little of. Each key gets its share and no more; the others are there for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::QuotaKey;

/// The permits there are.
#[derive(Debug)]
pub(crate) struct Permits {
    all: Arc<Semaphore>,
    share: usize,
    /// The shares of those who have a permit or wait for one.
    shares: Mutex<HashMap<QuotaKey, Arc<Semaphore>>>,
}

/// A permit, free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _one: Option<OwnedSemaphorePermit>,
    _of_share: OwnedSemaphorePermit,
}

impl Permit {
    /// Holds this too, until it is dropped.
    pub(crate) fn with(self, other: Option<OwnedSemaphorePermit>) -> Self {
        Self { _one: other, ..self }
    }
}

impl Permits {
    /// Makes `all` permits, of which one key gets `share`.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), share, shares: Mutex::default() }
    }

    /// A permit for this key, as soon as there is one. `None` never comes: the permits are never closed.
    pub(crate) async fn take(&self, key: QuotaKey) -> Option<Permit> {
        let of_share = self.share_of(key).acquire_owned().await.ok()?;
        // In this order, so that only as many wait among the others as may have a permit.
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Permit { _one: Some(one), _of_share: of_share })
    }

    /// A permit for this key, as soon as one of its share is free, whatever the others have.
    pub(crate) async fn take_of_share(&self, key: QuotaKey) -> Option<Permit> {
        let of_share = self.share_of(key).acquire_owned().await.ok()?;
        Some(Permit { _one: None, _of_share: of_share })
    }

    fn share_of(&self, key: QuotaKey) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Every permit, and everybody who waits for one, holds a share.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        Arc::clone(shares.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.share))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn nobody_has_more_than_a_share_and_nothing_is_left_of_those_who_have_gone() {
        let permits = Permits::new(5, 2);
        let take = |pid| now(permits.take(QuotaKey::Process(pid))).flatten();
        let (a, b) = (take(1).unwrap(), take(1).unwrap());
        assert!(take(1).is_none());
        let (c, d, e) = (take(2).unwrap(), take(2).unwrap(), take(3).unwrap());
        assert!(take(4).is_none());
        assert!(now(permits.take_of_share(QuotaKey::Process(4))).flatten().is_some());
        assert!(now(permits.take_of_share(QuotaKey::Process(2))).is_none());
        drop(a);
        let f = take(4).unwrap();
        drop((b, c, d, e, f));
        assert!(take(5).is_some());
        assert_eq!(permits.shares.lock().unwrap().len(), 1);
        assert_eq!(permits.all.available_permits(), 5);
    }
}
