//! Holders of narrow access tokens who ask for as much work as they may, all the time: what the daemon must bear.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

/// As many globs as a request may hold.
const GLOBS: usize = 1_000;
/// How many lists are asked for in one write.
const PIPELINED: usize = 20;

/// Connections that ask until they are dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// So many connections for each token: every other one asks for values by globs, the others list.
    pub fn start(socket: &Path, tokens: &[String], connections: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut threads = Vec::new();
        for token in tokens {
            for number in 0..connections {
                let requests = if number % 2 == 0 { reveal(token) } else { lists(token) };
                let (socket, stop, answered) = (socket.to_owned(), Arc::clone(&stop), Arc::clone(&answered));
                threads.push(thread::spawn(move || ask(&socket, &requests, &stop, &answered)));
            }
        }
        Self { stop, answered, threads }
    }

    /// How many exchanges have ended with an answer so far, whatever it was.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Asks again and again, on a new connection each time, and reads all that comes.
fn ask(socket: &PathBuf, requests: &[u8], stop: &AtomicBool, answered: &AtomicUsize) {
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // The daemon may close the connection at any time: that is an answer too.
        if stream.write_all(requests).is_err() {
            continue;
        }
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                Err(_) => break,
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// A glob that no name of [`name`] matches, and that a matcher takes long to find out about.
fn glob(number: usize) -> String {
    format!("*{}X{number}", "[A-Z0-9_]*".repeat(22))
}

/// The name of the n-th secret in a vault that is flooded.
pub fn name(number: usize) -> String {
    format!("FLOODED_SECRET_{number:06}_API_KEY")
}

/// The glob that sees all of them.
pub const NAMES: &str = "FLOODED_*";

fn reveal(token: &str) -> Vec<u8> {
    let globs: Vec<String> = (0..GLOBS).map(glob).collect();
    let body = json!({ "secrets": globs, "purpose": "flood" }).to_string();
    let head = head(token, "POST /api/v1/user/secrets/reveal", "close");
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn lists(token: &str) -> Vec<u8> {
    let glob = glob(0).replace('[', "%5B").replace(']', "%5D");
    let list = |connection| {
        head(token, &format!("GET /api/v1/user/secrets?name={glob}&view=full"), connection) + "\r\n"
    };
    (list("keep-alive").repeat(PIPELINED - 1) + &list("close")).into_bytes()
}

fn head(token: &str, what: &str, connection: &str) -> String {
    format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: {connection}\r\n"
    )
}
