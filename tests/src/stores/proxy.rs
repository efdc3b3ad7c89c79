//! A proxy before a store that counts, remembers, and can be hostile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its first line and fields.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Seen {
    /// What it asks for: `LIST`, `GET`, `PUT`, `DELETE`, or the method itself.
    pub fn kind(&self) -> &str {
        match self.method.as_str() {
            "GET" if self.target.contains("list-type=2") => "LIST",
            "PROPFIND" => "LIST",
            "POST" if self.target.contains("?delete") => "DELETE",
            other => other,
        }
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Then {
    /// The store answers it.
    Pass,
    /// It is answered by this, and the connection is closed.
    Say(Vec<u8>),
    /// The store is fake-gcs-server, which takes an object by `PUT` as that of a signed URL alone, and says in the answer's
    /// body what Google says in its head (the `ETag`): both are made good, and all else passes as it is.
    Google,
    /// The store gets half of its body, and answers that.
    Halve,
    /// The store answers it, and the last byte of the answer is turned.
    Flip,
    /// The store answers it, and nobody hears that.
    Lose,
    /// It is answered by this without an end, until the other side has enough.
    Flood(Vec<u8>),
}

impl Then {
    /// An answer of S3's with this status and code.
    pub fn code(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
        Self::answer(status, "", &body)
    }

    /// An answer with this status, further fields (each with a line end) and body.
    pub fn answer(status: u16, fields: &str, body: &str) -> Self {
        let length = body.len();
        Self::Say(
            format!(
                "HTTP/1.1 {status} X\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Then + Send>;

/// Passes requests on to a store.
pub struct Proxy {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    rule: Arc<Mutex<Rule>>,
}

impl Proxy {
    /// Before the store on this port.
    pub fn before(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Then::Pass)));
        let (log, rules) = (Arc::clone(&seen), Arc::clone(&rule));
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, rules) = (Arc::clone(&log), Arc::clone(&rules));
                thread::spawn(move || serve(stream, store, &log, &rules));
            }
        });
        Self { port, seen, rule }
    }

    /// From now on this says what is done with a request.
    pub fn rule(&self, rule: impl FnMut(&Seen) -> Then + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// All requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// How many requests of which kind there were since the last call.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.take() {
            *counts.entry(seen.kind().to_owned()).or_insert(0) += 1;
        }
        counts
    }
}

fn serve(stream: TcpStream, store: u16, log: &Mutex<Vec<Seen>>, rule: &Mutex<Rule>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let field = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    };
    let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut first = head.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let seen = Seen { method, target, head: head.clone(), body: body.clone() };
    let then = (rule.lock().unwrap())(&seen);
    log.lock().unwrap().push(seen);
    let mut stream = stream;
    match then {
        Then::Say(answer) => stream.write_all(&answer).ok()?,
        Then::Flood(piece) => {
            stream.set_write_timeout(Some(Duration::from_secs(20))).ok()?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
            while stream.write_all(&piece).is_ok() {}
        }
        Then::Pass => stream.write_all(&forward(store, &head, &body)?).ok()?,
        Then::Google if head.starts_with("PUT ") => {
            let answer = forward(store, &head.replacen(" HTTP", "?X-Goog-Algorithm=x HTTP", 1), &body)?;
            let answer = String::from_utf8(answer).ok()?;
            let tag = answer.split_once("\"etag\":\"").and_then(|(_, rest)| rest.split('"').next());
            let tag = tag.map(|tag| format!("\r\nETag: \"{tag}\"\r\n")).unwrap_or("\r\n".to_owned());
            stream.write_all(answer.replacen("\r\n", &tag, 1).as_bytes()).ok()?;
        }
        Then::Google => stream.write_all(&forward(store, &head, &body)?).ok()?,
        Then::Halve => stream.write_all(&forward(store, &head, &body[..length / 2])?).ok()?,
        Then::Lose => drop(forward(store, &head, &body)?),
        Then::Flip => {
            let mut answer = forward(store, &head, &body)?;
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
            stream.write_all(&answer).ok()?;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    Some(())
}

/// What the store answers to this.
fn forward(store: u16, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", store)).ok()?;
    let is_framing = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("connection:") && !line.starts_with("content-length:")
    };
    let mut text: String = head.lines().filter(is_framing).map(|line| format!("{line}\r\n")).collect();
    text.push_str(&format!("Connection: close\r\nContent-Length: {}\r\n\r\n", body.len()));
    stream.write_all(text.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}
