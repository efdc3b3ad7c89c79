//! The bytes of one connection on their way in and out: their deadlines, and what hyper does not tell of them.
//!
//! hyper's own header timeout also runs while a connection is idle between requests, so that it cannot be short for a
//! head and long for an idle peer. Here the two are apart, and one timer serves a connection: it is moved only when it
//! fires, not on each request.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Framing;
use super::wake_gated::WakeGated;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// From the first byte of a head to its last.
    pub(super) header: Duration,
    /// Without a byte in or out.
    pub(super) idle: Duration,
}

/// What is seen on a connection and hyper does not tell, and what is told of its requests.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A request could be read in two ways; set before hyper sees that request.
    pub(super) ambiguous: AtomicBool,
    /// The peer has sent something.
    pub(super) spoken: AtomicBool,
    /// A request was not answered at once.
    pub(super) waited: AtomicBool,
    /// A request goes on being answered for so long that it is worth watching whether its peer is still there.
    pub(super) patient: AtomicBool,
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    framing: Framing,
    seen: Arc<Seen>,
    deadlines: Deadlines,
    /// When the head that is being received began.
    head_since: Option<Instant>,
    /// When a byte last moved.
    moved: Instant,
    /// A head has come in and no byte has gone out since: the server's own deadline counts, not ours.
    answering: bool,
    /// Told of the peer's end, while a request is answered for long.
    hang_up: Option<UnixStream>,
    timer: WakeGated<Pin<Box<Sleep>>>,
    /// When the timer fires.
    fires: Instant,
}

impl<S> Wire<S> {
    /// Watches a stream, and notes what is seen on it.
    pub(super) fn new(stream: S, deadlines: Deadlines, seen: Arc<Seen>) -> Self {
        let now = Instant::now();
        // A new peer has as long for its first byte as for the head, so that silent connections cost little.
        let timer = WakeGated::new(Box::pin(sleep_until(now + deadlines.header)));
        let head_since = Some(now);
        Self {
            stream,
            framing: Framing::default(),
            seen,
            deadlines,
            head_since,
            moved: now,
            answering: false,
            hang_up: None,
            timer,
            fires: now + deadlines.header,
        }
    }

    /// The stream again.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// When this connection ends if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.head_since {
            return Some(since + self.deadlines.header);
        }
        (!self.answering).then(|| self.moved + self.deadlines.idle)
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.deadline() else { return Poll::Pending };
            // The timer may stand earlier than the deadline, never later.
            if self.fires > deadline {
                self.set(deadline);
            }
            ready!(Pin::new(&mut self.timer).poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.set(deadline);
        }
    }

    fn set(&mut self, deadline: Instant) {
        self.timer.change().as_mut().reset(deadline);
        self.fires = deadline;
    }

    fn received(&mut self, bytes: &[u8]) {
        self.moved = Instant::now();
        self.seen.spoken.store(true, Ordering::Relaxed);
        let step = self.framing.read(bytes);
        if self.framing.is_ambiguous() {
            self.seen.ambiguous.store(true, Ordering::Relaxed);
        }
        self.answering |= step.head_ended;
        if !self.framing.in_head() {
            self.head_since = None;
        } else if self.head_since.is_none() || step.head_ended {
            self.head_since = Some(self.moved);
        }
    }

    fn sent(&mut self, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(_))) {
            // The beginning of an answer that was there at once went out when its request came in.
            let has_waited = self.answering && self.seen.waited.swap(false, Ordering::Relaxed);
            if !self.answering || has_waited {
                self.moved = Instant::now();
            }
            if has_waited {
                self.hang_up = None;
                self.seen.patient.store(false, Ordering::Relaxed);
            }
            self.answering = false;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut wire.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled().get(before..).unwrap_or_default();
                if !bytes.is_empty() {
                    wire.received(bytes);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // To hyper it looks as if the peer had closed.
            Poll::Pending => wire.poll_deadline(cx).map(Ok),
        }
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let result = Pin::new(&mut wire.stream).poll_write(cx, bytes);
        wire.sent(&result);
        wire.or_stalled(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let result = Pin::new(&mut wire.stream).poll_write_vectored(cx, slices);
        wire.sent(&result);
        wire.or_stalled(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper asks for this each time it is polled. It does not read while it answers, and to it a peer that has sent all
    /// looks like one that has gone, so what it would go on with for nobody is found here.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.answering && wire.seen.patient.load(Ordering::Relaxed) && wire.has_gone(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut wire.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsFd> Wire<S> {
    /// Whether the peer has closed the connection, and not only its own direction of it; the task is woken when it does.
    /// Without a descriptor to spare it is not known.
    fn has_gone(&mut self, cx: &mut Context<'_>) -> bool {
        if self.hang_up.is_none() {
            self.hang_up = second(&self.stream).ok();
        }
        let Some(other) = &self.hang_up else { return false };
        while other.poll_write_ready(cx).is_ready() {
            if is_closed(other) {
                return true;
            }
            // That it can be written to is nothing new. What is left to be told of is its end.
            let _ = other.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        false
    }
}

/// The same connection by another descriptor, of which other things are wanted.
fn second(stream: &impl AsFd) -> io::Result<UnixStream> {
    UnixStream::from_std(stream.as_fd().try_clone_to_owned()?.into())
}

fn is_closed(stream: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).is_ok() && asked.iter().any(|one| one.revents().contains(PollFlags::HUP))
}

impl<S> Wire<S> {
    /// A peer that does not read its answer is not waited for.
    fn or_stalled(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            return result;
        }
        self.answering = false;
        self.poll_deadline(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}
