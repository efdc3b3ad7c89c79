//! A listening socket that another can take the place of while somebody waits for connections on it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The socket that connections are accepted from now, and the one before it.
#[derive(Debug)]
pub(crate) struct Listening(watch::Sender<Pair>);

#[derive(Debug, Clone)]
struct Pair {
    present: Arc<UnixListener>,
    /// Peers may still wait on it that connected when it had the name.
    past: Option<Arc<UnixListener>>,
}

impl Listening {
    /// Begins with this socket.
    pub(crate) fn on(socket: UnixListener) -> Self {
        Self(watch::Sender::new(Pair { present: Arc::new(socket), past: None }))
    }

    /// From now on peers connect to this socket.
    pub(crate) fn replace(&self, by: UnixListener) {
        self.0.send_modify(|pair| {
            pair.past = Some(std::mem::replace(&mut pair.present, Arc::new(by)));
        });
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        let mut changes = self.0.subscribe();
        loop {
            let pair = changes.borrow_and_update().clone();
            let next = poll_fn(|cx| {
                if let Some(Poll::Ready(Ok((stream, _)))) =
                    pair.past.as_ref().map(|past| past.poll_accept(cx))
                {
                    return Poll::Ready(Ok(stream));
                }
                pair.present.poll_accept(cx).map_ok(|(stream, _)| stream)
            });
            tokio::select! {
                biased;
                stream = next => return stream,
                // The sender lives as long as this.
                _ = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_connected_before_the_exchange_are_served_and_those_who_come_after() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let listening = Arc::new(Listening::on(UnixListener::bind(&old).unwrap()));
        let waiting = tokio::spawn({
            let listening = Arc::clone(&listening);
            async move { listening.accept().await }
        });
        tokio::task::yield_now().await;
        listening.replace(UnixListener::bind(&new).unwrap());
        let _late = UnixStream::connect(&new).await.unwrap();
        waiting.await.unwrap().unwrap();
        let _early = UnixStream::connect(&old).await.unwrap();
        listening.accept().await.unwrap();
    }
}
