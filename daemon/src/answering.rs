//! Whether something is answered at once or later.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

/// An answer: there, as most are that are read from memory, or on its way. As a future it is the answer.
pub(crate) enum Answering<T, F> {
    /// The answer is there.
    Now(Ready<T>),
    /// A future of the answer.
    Later(F),
}

/// An answer that is there, or comes by a future of whatever type.
pub(crate) type Boxed<'a, T> = Answering<T, Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

impl<T, F> Answering<T, F> {
    /// An answer that is there.
    pub(crate) fn now(answer: T) -> Self {
        Self::Now(ready(answer))
    }
}

impl<'a, T> Boxed<'a, T> {
    /// An answer that comes.
    pub(crate) fn later(answer: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Later(Box::pin(answer))
    }
}

impl<T, F: Future<Output = T> + Unpin> Future for Answering<T, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Now(answer) => Pin::new(answer).poll(cx),
            Self::Later(answer) => Pin::new(answer).poll(cx),
        }
    }
}
