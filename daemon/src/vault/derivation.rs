//! Deriving keys off the request path: one at a time, few in the queue, and wrong ones answered late.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::Error;

/// The most derivations that may wait.
const QUEUE: usize = 8;

/// The delay of the first wrong key; it doubles with each further one up to the last.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const DOUBLINGS: u32 = 4;

/// The queue for derivations.
pub(super) struct Derivations {
    /// One at a time: each may take gigabytes and a core.
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// How many callers are about to open the vault, from before their derivation to after it.
    openings: Arc<AtomicUsize>,
    /// Whether the one whose turn it is goes on.
    running: Mutex<CancelToken>,
    /// Notified when the vault is being locked.
    given_up: Notify,
    wrong_in_a_row: AtomicU32,
}

impl Default for Derivations {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
            openings: Arc::default(),
            running: Mutex::default(),
            given_up: Notify::new(),
            wrong_in_a_row: AtomicU32::new(0),
        }
    }
}

impl Derivations {
    /// Runs `work` on a thread of its own when its turn comes. It is told whether it is still wanted, so that one who has
    /// gone does not make the next wait. A lock is not waited for: who asked learns at once that the vault is locked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancelToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut given_up = pin!(self.given_up.notified());
        given_up.as_mut().enable();
        tokio::select! {
            biased;
            outcome = self.derive(work) => outcome,
            () = given_up => Err(Error::Locked),
        }
    }

    async fn derive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancelToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ticket = QueueTicket::take(Arc::clone(&self.waiting))?;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| Error::Internal("the derivation queue is closed"))?;
        let waiter = Waiter(CancelToken::default());
        let cancel = waiter.0.clone();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
        let derivation = tokio::task::spawn_blocking(move || {
            // Both go with the work and not with its caller: one that hangs up does not make room for the next
            // while its derivation still runs.
            let (_ticket, _turn) = (ticket, turn);
            work(&cancel)
        });
        derivation.await.map_err(|_| Error::Internal("a derivation panicked"))?
    }

    /// Ends the derivation under way before its next slot: the vault is being locked.
    pub(super) fn give_up(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        self.given_up.notify_waiters();
    }

    /// Counts a caller who is about to open the vault, until what is returned is dropped.
    pub(super) fn opening(&self) -> QueueTicket {
        self.openings.fetch_add(1, Ordering::Relaxed);
        QueueTicket(Arc::clone(&self.openings))
    }

    /// Whether somebody is about to open the vault, or was and is gone while the derivation still runs: then there is a key
    /// in memory although the vault is locked.
    pub(super) fn are_under_way(&self) -> bool {
        self.openings.load(Ordering::Relaxed) > 0 || self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Delays the answer to a wrong key, longer each time. Only its own caller waits: the turn is already given on.
    pub(super) async fn delay_if_wrong<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Ok(_) => self.wrong_in_a_row.store(0, Ordering::Relaxed),
            Err(Error::WrongKey) => {
                let before = self.wrong_in_a_row.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(wrong_in_a_row = before.saturating_add(1), "a key did not open the vault");
                tokio::time::sleep(FIRST_DELAY * 2_u32.pow(before.min(DOUBLINGS))).await;
            }
            Err(_) => {}
        }
        outcome
    }
}

/// Tells a derivation whether it is cancelled: nobody waits for it any more, or the vault is being locked.
#[derive(Debug, Clone, Default)]
pub(super) struct CancelToken {
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// [`Error::Locked`] once it is.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Locked) } else { Ok(()) }
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Who waits for a derivation, until dropped.
struct Waiter(CancelToken);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A place in a count, such as the queue's, until dropped.
#[must_use]
pub(super) struct QueueTicket(Arc<AtomicUsize>);

impl QueueTicket {
    fn take(waiting: Arc<AtomicUsize>) -> Result<Self, Error> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let ticket = Self(waiting);
        if before >= QUEUE { Err(Error::TooManyUnlocks) } else { Ok(ticket) }
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A derivation that runs until it is released.
    async fn held(
        derivations: &Arc<Derivations>,
    ) -> (tokio::task::JoinHandle<Result<(), Error>>, mpsc::Sender<()>) {
        let (release, held) = mpsc::channel();
        let (started, running) = tokio::sync::oneshot::channel();
        let derivations = Arc::clone(derivations);
        let caller = tokio::spawn(async move {
            let work = move |_: &CancelToken| {
                let _ = started.send(());
                let _ = held.recv();
                Ok(())
            };
            derivations.run(work).await
        });
        running.await.unwrap();
        (caller, release)
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_keeps_its_place_until_its_derivation_ends() {
        let derivations = Arc::new(Derivations::default());
        let (first, release) = held(&derivations).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(derivations.turn.available_permits(), 0);
        assert_eq!(derivations.waiting.load(Ordering::Relaxed), 1);

        // The queue behind it is as long as it says, and one more is turned away.
        let waiting: Vec<_> = (1..QUEUE)
            .map(|_| {
                let derivations = Arc::clone(&derivations);
                tokio::spawn(async move { derivations.run(|_| Ok(())).await })
            })
            .collect();
        while derivations.waiting.load(Ordering::Relaxed) < QUEUE {
            tokio::task::yield_now().await;
        }
        assert!(matches!(derivations.run(|_| Ok(())).await, Err(Error::TooManyUnlocks)));
        release.send(()).unwrap();
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(derivations.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_asked_learns_of_a_lock_before_the_derivation_has_ended() {
        let derivations = Arc::new(Derivations::default());
        let (caller, release) = held(&derivations).await;
        derivations.give_up();
        let told = tokio::time::timeout(Duration::from_secs(20), caller).await;
        assert!(derivations.are_under_way());
        release.send(()).unwrap();
        assert!(matches!(told.expect("the derivation is waited for").unwrap(), Err(Error::Locked)));
    }

    #[tokio::test]
    async fn work_is_told_that_its_caller_has_gone_or_the_vault_is_being_locked() {
        for locked in [true, false] {
            let derivations = Arc::new(Derivations::default());
            let (started, running) = tokio::sync::oneshot::channel();
            let caller = tokio::spawn({
                let derivations = Arc::clone(&derivations);
                async move {
                    let work = move |cancel: &CancelToken| {
                        let _ = started.send(());
                        while cancel.check().is_ok() {
                            std::thread::yield_now();
                        }
                        cancel.check()
                    };
                    derivations.run(work).await
                }
            });
            running.await.unwrap();
            if locked {
                derivations.give_up();
                assert!(matches!(caller.await.unwrap(), Err(Error::Locked)));
            } else {
                caller.abort();
            }
            derivations.run(|cancel| cancel.check()).await.unwrap();
        }
    }
}
