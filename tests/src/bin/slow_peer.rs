//! A peer that keeps many connections and is slow on all of them: `slow-peer SOCKET KIND COUNT`. Says on its standard
//! output how many were taken and how many turned away, and ends when its standard input does.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What is sent at first on each connection, and what follows byte by byte.
fn part(kind: &str) -> (Vec<u8>, &'static [u8]) {
    match kind {
        // A head that never ends.
        "header" => (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), b"x"),
        // Half of a body that nobody asked for.
        "body" => {
            let head =
                "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
            let mut bytes = head.as_bytes().to_vec();
            bytes.resize(bytes.len() + 500_000, b'x');
            (bytes, b"x")
        }
        // One good request, then silence.
        _ => (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), b""),
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, kind, count] = arguments.as_slice() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let count: usize = count.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let (first, then) = part(kind);
    let mut streams = Vec::with_capacity(count);
    let mut refused = 0;
    for _ in 0..count {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let sent = stream.write_all(&first);
        stream.set_nonblocking(true)?;
        let mut answer = [0; 12];
        // Who is turned away is told so before it has said anything.
        let told = stream.read(&mut answer).is_ok_and(|read| answer[..read].ends_with(b" 429"));
        if told || sent.is_err() {
            refused += 1;
        } else {
            streams.push(stream);
        }
    }
    writeln!(io::stdout(), "{} {refused}", streams.len())?;
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        io::stdin().read_to_end(&mut Vec::new()).ok();
        done.send(()).ok();
    });
    while end.recv_timeout(Duration::from_millis(500)).is_err() {
        for stream in &mut streams {
            // The daemon may have had enough of it.
            stream.write_all(then).ok();
        }
    }
    Ok(())
}
