//! Connections to hosts that are kept for the next request. It is our own pool because a value is to be taken when its
//! connection is there and not before, which pools that are given a whole request cannot do.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::http::uri::Authority;
use hyper::{Request, Response};
use tokio::time::sleep;

use super::route::Reach;
use crate::bodies::Outgoing;

/// The most connections to a host that are kept while nothing is asked over them.
const MOST: usize = 16;

/// Asks over a connection.
pub(super) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<Outgoing>),
    /// Many at a time; each has a copy.
    Http2(http2::SendRequest<Outgoing>),
}

impl Sender {
    /// Sends a request, and gives the answer's head. One that was not sent at all is in the error.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether the last answer is still under way over it, so that nothing can be asked.
    fn is_busy(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_ready(),
            Self::Http2(_) => false,
        }
    }
}

/// A connection to a host, for one request.
pub(crate) struct Line {
    pub(super) sender: Sender,
    pub(super) host: Authority,
    /// The host's address, unless a proxy is before it.
    pub(super) address: Option<IpAddr>,
    /// Whether it was there before: the host may have closed it by now.
    pub(super) is_kept: bool,
    /// Whether another request may go over it later.
    pub(super) is_for_more: bool,
}

impl Line {
    /// Whether the host's address is one of these.
    pub(crate) fn is_within(&self, reach: Reach) -> bool {
        is_within(self.address, reach)
    }

    /// The same connection for another request at the same time, where there can be one.
    pub(super) fn copy(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        Some(Self { sender: Sender::Http2(sender.clone()), host: self.host.clone(), ..*self })
    }

    /// Whether it was there before: the host may have closed it by now, and then what was to be sent is sent again.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept
    }
}

fn is_within(address: Option<IpAddr>, reach: Reach) -> bool {
    address.is_none_or(|address| reach.covers(address))
}

struct Kept {
    sender: Sender,
    address: Option<IpAddr>,
    last: Instant,
}

#[derive(Default)]
struct Hosts {
    by_name: HashMap<Authority, Vec<Kept>>,
    is_swept: bool,
}

/// Connections that are kept, each for so long after its last request.
#[derive(Clone)]
pub(super) struct Lines {
    hosts: Arc<Mutex<Hosts>>,
    kept_for: Duration,
}

impl Lines {
    /// Keeps them for so long.
    pub(super) fn new(kept_for: Duration) -> Self {
        Self { hosts: Arc::default(), kept_for }
    }

    /// One to this host that is free, the one that was used last.
    pub(super) fn take(&self, host: &Authority, reach: Reach) -> Option<Line> {
        let mut hosts = self.lock();
        let kept = hosts.by_name.get_mut(host)?;
        kept.retain(|kept| !kept.sender.is_closed());
        let is_fit = |kept: &Kept| is_within(kept.address, reach) && !kept.sender.is_busy();
        let at = kept.iter().rposition(is_fit)?;
        let found = kept.get_mut(at)?;
        let (sender, address) = match &found.sender {
            Sender::Http2(sender) => {
                found.last = Instant::now();
                (Sender::Http2(sender.clone()), found.address)
            }
            Sender::Http1(_) => {
                let found = kept.remove(at);
                (found.sender, found.address)
            }
        };
        Some(Line { sender, host: host.clone(), address, is_kept: true, is_for_more: true })
    }

    /// Keeps one for the next request, as far as there is room. It may still be busy with its last answer.
    pub(super) fn keep(&self, line: Line) {
        let Line { sender, host, address, is_for_more, .. } = line;
        if !is_for_more || sender.is_closed() {
            return;
        }
        let mut hosts = self.lock();
        let kept = hosts.by_name.entry(host).or_default();
        let is_there_already = match &sender {
            // Each that takes it gets a copy.
            Sender::Http2(_) => {
                kept.iter().any(|kept| matches!(kept.sender, Sender::Http2(_)) && kept.address == address)
            }
            Sender::Http1(_) => kept.iter().filter(|kept| !kept.sender.is_busy()).count() >= MOST,
        };
        if is_there_already {
            return;
        }
        kept.push(Kept { sender, address, last: Instant::now() });
        if !std::mem::replace(&mut hosts.is_swept, true) {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Closes those that nobody has used for so long, until there are none.
    async fn sweep(self) {
        loop {
            sleep(self.kept_for / 3).await;
            let mut hosts = self.lock();
            let now = Instant::now();
            hosts.by_name.retain(|_, kept| {
                kept.retain_mut(|kept| {
                    if kept.sender.is_busy() && !kept.sender.is_closed() {
                        kept.last = now;
                    }
                    !kept.sender.is_closed() && now - kept.last < self.kept_for
                });
                !kept.is_empty()
            });
            if hosts.by_name.is_empty() {
                hosts.is_swept = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("kept_for", &self.kept_for).finish_non_exhaustive()
    }
}
