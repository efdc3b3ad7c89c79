//! Holders of narrow access tokens who ask for as much work as they may, all the time: what the daemon must bear.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::env::Env;
use crate::process::DEADLINE;

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

/// Access tokens of eight holders who see these names alone.
pub fn tokens(env: &Env, glob: &str) -> Vec<String> {
    let made = (0..8).map(|number| {
        let scopes = ["list", "write", "reveal"];
        let request = json!({ "name": format!("hostile {number}"), "scopes": scopes, "secrets": [glob] });
        env.post("/tokens", &request).expect(201)["token"].as_str().unwrap().to_owned()
    });
    made.collect()
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

    /// A connection of one token for each of these secrets, which gives it new values.
    pub fn of_writes(socket: &Path, token: &str, ids: &[String]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let start = |id: &String| {
            let requests = updates(token, id);
            let (socket, stop, answered) = (socket.to_owned(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || ask(&socket, &requests, &stop, &answered))
        };
        let threads = ids.iter().map(start).collect();
        Self { stop, answered, threads }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Opens the vault with this key file, and waits until the flood is served again.
    pub fn resumed(&self, env: &Env, key: &Path) {
        let end = Instant::now() + DEADLINE;
        let unlock = || env.request("POST", "/vault/unlock").json(&json!({ "key_file": key })).try_send();
        // Until the image that was locked by a signal is replaced, it opens nothing, and what it was asked last it may not
        // answer.
        while unlock().is_none_or(|answer| answer.status != 200) {
            assert!(Instant::now() < end, "the vault does not open");
        }
        let before = self.answered();
        while self.answered() < before + 16 {
            assert!(Instant::now() < end, "the flood is not answered");
            thread::yield_now();
        }
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

/// A glob that names do not match, and that a matcher takes long to find out about.
fn glob(number: usize) -> String {
    format!("*{}X{number}", "[A-Z0-9_]*".repeat(22))
}

fn reveal(token: &str) -> Vec<u8> {
    let globs: Vec<String> = (0..GLOBS).map(glob).collect();
    let body = json!({ "secrets": globs, "purpose": "flood" }).to_string();
    let head = head(token, "POST /api/v1/user/secrets/reveal", "close");
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn updates(token: &str, id: &str) -> Vec<u8> {
    let body = json!({ "value": "v".repeat(30_000) }).to_string();
    let update = |connection| {
        let head = head(token, &format!("PUT /api/v1/user/secrets/{id}"), connection);
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    (update("keep-alive").repeat(PIPELINED - 1) + &update("close")).into_bytes()
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
