//! A peer that keeps many connections and is slow on all of them: `slow-peer SOCKET KIND COUNT`. Says on its standard
//! output how many were taken and how many turned away, and ends when its standard input does.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What is sent at first on each connection, and what follows byte by byte.
fn part(socket: &str, kind: &str) -> (Vec<u8>, &'static [u8]) {
    match kind {
        // Half of a large body, by somebody who may send one.
        "owner" => {
            let token =
                std::fs::read_to_string(Path::new(socket).with_file_name("token")).unwrap_or_default();
            let head = format!(
                "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
                token.trim_end()
            );
            let mut bytes = head.into_bytes();
            bytes.resize(bytes.len() + 500_000, b' ');
            (bytes, b" ")
        }
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
    let (first, then) = part(socket, kind);
    let mut peers = Vec::with_capacity(count);
    let mut refused = 0;
    for _ in 0..count {
        let mut stream = UnixStream::connect(socket)?;
        // What the daemon does not read yet is sent later.
        stream.set_nonblocking(true)?;
        let mut rest = first.as_slice();
        let sent = send(&mut stream, &mut rest);
        let mut answer = [0; 12];
        // Who is turned away is told so before it has said anything.
        let told = stream.read(&mut answer).is_ok_and(|read| answer[..read].ends_with(b" 429"));
        if told || !sent {
            refused += 1;
        } else {
            peers.push((stream, rest));
        }
    }
    // Slow from here on: what the daemon wants of the first part, it has within a second.
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(50));
        peers.iter_mut().for_each(|(stream, rest)| _ = send(stream, rest));
    }
    writeln!(io::stdout(), "{} {refused}", peers.len())?;
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        io::stdin().read_to_end(&mut Vec::new()).ok();
        done.send(()).ok();
    });
    while end.recv_timeout(Duration::from_millis(250)).is_err() {
        for (stream, rest) in &mut peers {
            // The daemon may have had enough of it.
            if rest.is_empty() {
                send(stream, &mut { then });
            } else {
                send(stream, rest);
            }
        }
    }
    Ok(())
}

/// Sends what can be sent at once; `false` when the other end is closed.
fn send(stream: &mut UnixStream, rest: &mut &[u8]) -> bool {
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(sent) => *rest = &rest[sent..],
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}
