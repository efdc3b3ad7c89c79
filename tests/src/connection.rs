//! A connection that carries many requests, and that may die: what a client sees while the daemon is killed or
//! its disk fails.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::env::Env;
use crate::http::Answer;
use crate::process::DEADLINE;

/// A connection with a token.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    token: String,
}

impl Connection {
    /// Connects to the running daemon.
    pub fn open(env: &Env) -> Self {
        Self::with_token(env, env.token())
    }

    /// The same, with another token.
    pub fn with_token(env: &Env, token: String) -> Self {
        let stream = UnixStream::connect(env.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, token }
    }

    /// Sends a request and reads its answer; `path` starts after `/api/v1`. An error means that the connection
    /// is gone, and that nobody knows whether the request was served.
    pub fn exchange(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.exchange_text(method, &format!("/api/v1{path}"), &body)
    }

    /// The same with a whole target, and a body that need not be JSON although it says so. An answer that is cut off is
    /// [`ErrorKind::InvalidData`].
    pub fn exchange_text(&mut self, method: &str, target: &str, body: &str) -> io::Result<Answer> {
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n",
            self.token
        );
        if !body.is_empty() {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += body;
        self.stream.write_all(request.as_bytes())?;
        self.read_answer()
    }

    /// [`Self::exchange`] where the connection must hold.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.exchange(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends the head of a request with a JSON body of this length, and not the body.
    pub fn begin(&mut self, method: &str, path: &str, length: usize) {
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            self.token
        );
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    /// Sends the body of a request that was begun, and reads its answer.
    pub fn finish(&mut self, body: &str) -> Answer {
        self.stream.write_all(body.as_bytes()).unwrap();
        self.read_answer().unwrap()
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 16_384];
        loop {
            if is_whole(&bytes) {
                return Answer::parse(&bytes).ok_or_else(|| ErrorKind::InvalidData.into());
            }
            match self.stream.read(&mut chunk)? {
                0 if bytes.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                0 => return Err(ErrorKind::InvalidData.into()),
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

/// Whether the head and the body that it announces are there. Answers without a length have no body here: the
/// daemon never streams.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    bytes.len() >= end + 4 + length.map_or(0, |length| length.trim().parse().unwrap())
}
