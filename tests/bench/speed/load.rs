//! Requests as fast as they are answered, over connections that stay open. Written by hand, so that the load
//! generator costs as little as it can and costs the same for everybody who is measured.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Answers a second.
    pub rate: f64,
    /// How long each took, sorted.
    latencies: Vec<Duration>,
    /// How many answers had another status than the one that was expected.
    pub others: u64,
}

impl Measured {
    /// The time that this share of the answers, from 0 to 1, took at most.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// How many answers there were.
    pub fn answers(&self) -> usize {
        self.latencies.len()
    }

    /// The middle time.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }
}

/// When a connection has sent enough.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so long.
    Time(Duration),
    /// After so many requests on each connection.
    Count(usize),
}

/// Sends `request(n)`, with a new n each time, over so many connections, one at a time on each.
pub fn run(
    socket: &Path,
    connections: usize,
    until: Until,
    status: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(UnixStream::connect(socket).await.unwrap());
        }
        over(open, until, status, request).await
    })
}

/// The same one after the other, each over a connection of its own, whose beginning counts.
pub fn connecting(socket: &Path, duration: Duration, status: u16, request: &[u8]) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let expected = format!("HTTP/1.1 {status} ");
    runtime.block_on(async {
        let (mut latencies, mut others, start) = (Vec::new(), 0, Instant::now());
        let mut buffer = vec![0; 256 * 1024];
        while start.elapsed() < duration {
            let began = Instant::now();
            let mut stream = UnixStream::connect(socket).await.unwrap();
            stream.write_all(request).await.unwrap();
            let right = answer(&mut stream, &mut buffer, expected.as_bytes()).await.unwrap();
            latencies.push(began.elapsed());
            others += u64::from(!right);
        }
        latencies.sort_unstable();
        Measured { rate: latencies.len() as f64 / start.elapsed().as_secs_f64(), latencies, others }
    })
}

/// The same over connections that are open already. It runs in a [`LocalSet`].
pub async fn over<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    open: Vec<S>,
    until: Until,
    status: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
) -> Measured {
    let expected = format!("HTTP/1.1 {status} ");
    let ask = Rc::new(Ask { expected, until, number: Cell::new(0), request });
    let start = Instant::now();
    let parts: Vec<_> = open
        .into_iter()
        .map(|stream| tokio::task::spawn_local(converse(stream, start, Rc::clone(&ask))))
        .collect();
    let (mut latencies, mut others) = (Vec::new(), 0);
    for part in parts {
        let (times, strange) = part.await.unwrap();
        latencies.extend(times);
        others += strange;
    }
    let took = start.elapsed();
    latencies.sort_unstable();
    Measured { rate: latencies.len() as f64 / took.as_secs_f64(), latencies, others }
}

struct Ask<R> {
    expected: String,
    until: Until,
    number: Cell<u64>,
    request: R,
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin, R: Fn(u64) -> Vec<u8>>(
    mut stream: S,
    start: Instant,
    ask: Rc<Ask<R>>,
) -> (Vec<Duration>, u64) {
    let (mut latencies, mut others) = (Vec::new(), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let enough = match ask.until {
            Until::Time(duration) => start.elapsed() >= duration,
            Until::Count(count) => latencies.len() >= count,
        };
        if enough {
            return (latencies, others);
        }
        let bytes = (ask.request)(ask.number.replace(ask.number.get() + 1));
        let sent = Instant::now();
        stream.write_all(&bytes).await.unwrap();
        let right = answer(&mut stream, &mut buffer, ask.expected.as_bytes()).await.unwrap();
        latencies.push(sent.elapsed());
        others += u64::from(!right);
    }
}

/// Reads one answer to its last byte; says whether its status is the expected one.
pub async fn answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    expected: &[u8],
) -> io::Result<bool> {
    let mut filled = 0;
    let head = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let right = buffer.starts_with(expected);
    let mut left = (head + length(&buffer[..head])).saturating_sub(filled);
    while left > 0 {
        let read = stream.read(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(read);
    }
    Ok(right)
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap())
}
