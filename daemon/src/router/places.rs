//! Places for large bodies: whoever keeps one half sent holds no more memory than all places are, and keeps no more places
//! than are one's share. The others are there for the others.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Asker;

/// So many large bodies are received at once …
const MOST: usize = 24;
/// … and so many of them from one asker.
const SHARE: usize = 8;

/// Those of this daemon.
static PLACES: LazyLock<Places> = LazyLock::new(|| Places::new(MOST, SHARE));

/// The places there are.
struct Places {
    all: Arc<Semaphore>,
    share: usize,
    /// The shares of those who have a large body on its way, or wait for a place.
    shares: Mutex<HashMap<Asker, Arc<Semaphore>>>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one: OwnedSemaphorePermit,
    _of_share: OwnedSemaphorePermit,
}

/// A place for this asker, as soon as there is one.
pub(super) async fn take(asker: Asker) -> Option<Place> {
    PLACES.take(asker).await
}

impl Places {
    fn new(most: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), share, shares: Mutex::default() }
    }

    /// `None` never comes: the places are never closed.
    async fn take(&self, asker: Asker) -> Option<Place> {
        let share = self.share_of(asker);
        // In this order, so that only as many wait among the others as may have a place.
        let of_share = share.acquire_owned().await.ok()?;
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { _one: one, _of_share: of_share })
    }

    fn share_of(&self, asker: Asker) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Every place and everybody who waits for one holds a share.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        Arc::clone(shares.entry(asker).or_insert_with(|| Arc::new(Semaphore::new(self.share))))
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
        let places = Places::new(5, 2);
        let take = |pid| now(places.take(Asker::Process(pid))).flatten();
        let (a, b) = (take(1).unwrap(), take(1).unwrap());
        assert!(take(1).is_none());
        let (c, d, e) = (take(2).unwrap(), take(2).unwrap(), take(3).unwrap());
        assert!(take(4).is_none());
        drop(a);
        let f = take(4).unwrap();
        drop((b, c, d, e, f));
        assert!(take(5).is_some());
        assert_eq!(places.shares.lock().unwrap().len(), 1);
        assert_eq!(places.all.available_permits(), 5);
    }
}
