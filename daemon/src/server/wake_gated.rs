//! A future that is polled when it has called, and not each time its task is: most of what a connection waits for
//! (its deadline, the server's end) happens once at most, and its task is polled for every request.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future with a bell of its own.
#[derive(Debug)]
pub(super) struct Belled<F> {
    future: F,
    bell: Arc<Bell>,
    /// Rings the bell: what the future gets to know as its task.
    ringer: Waker,
    /// The task that the bell wakes.
    known: Option<Waker>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is looked up: whoever has just changed it looks at the bell afterwards.
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

impl<F: Future + Unpin> Belled<F> {
    /// Gives a future a bell. It is polled once without being asked.
    pub(super) fn new(future: F) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::new(None) });
        Self { future, ringer: Waker::from(Arc::clone(&bell)), bell, known: None }
    }

    /// The future, to be changed; it is polled again after that.
    pub(super) fn change(&mut self) -> &mut F {
        self.bell.rung.store(true, Ordering::Release);
        &mut self.future
    }
}

impl<F: Future + Unpin> Future for Belled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let belled = self.get_mut();
        if !belled.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            let task = cx.waker().clone();
            *belled.bell.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
            belled.known = Some(task);
        }
        if !belled.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before the poll: what rings during it is not lost.
        belled.bell.rung.store(false, Ordering::Release);
        Pin::new(&mut belled.future).poll(&mut Context::from_waker(&belled.ringer))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_has_called_and_wakes_the_task_that_asked_last() {
        let (send, receive) = oneshot::channel();
        let (polls, mut receive) = (AtomicUsize::new(0), Box::pin(receive));
        let mut belled = Belled::new(Box::pin(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            receive.as_mut().poll(cx)
        })));
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        for task in [&first, &first, &second, &second] {
            let waker = Waker::from(Arc::clone(task));
            assert!(Pin::new(&mut belled).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        send.send(7).unwrap();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
        let waker = Waker::from(Arc::clone(&second));
        assert_eq!(Pin::new(&mut belled).poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_changed_is_polled_again() {
        use std::time::Duration;
        use tokio::time::{Instant, sleep};
        let start = Instant::now();
        let mut timer = Belled::new(Box::pin(sleep(Duration::from_secs(60))));
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx))).await.is_pending());
        timer.change().as_mut().reset(start + Duration::from_secs(1));
        timer.await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
