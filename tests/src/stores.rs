//! Real stores for the tests of the mover, and a proxy before them that counts, remembers, and can be hostile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::process::{self, until};

/// A store on a port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bucket,
    Directory(PathBuf),
}

/// The bucket of [`Server::moto`].
pub const BUCKET: &str = "notes";

/// What moto takes for a signature.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";

impl Server {
    fn start(mut command: Command, port: u16, kind: Kind) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the store listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, kind }
    }

    /// moto's S3, with an empty bucket.
    pub fn moto(program: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = Self::start(command, port, Kind::Bucket);
        assert!(server.ask("PUT", &format!("/{BUCKET}")).starts_with("HTTP/1.1 200"));
        server
    }

    /// rclone's WebDAV over this directory.
    pub fn rclone(directory: PathBuf) -> Self {
        let port = free_port();
        let mut command = Command::new("rclone");
        command.env("HOME", &directory).args(["serve", "webdav", "--addr", &format!("127.0.0.1:{port}")]);
        command.arg(&directory);
        Self::start(command, port, Kind::Directory(directory))
    }

    /// lighttpd's WebDAV over this directory.
    pub fn lighttpd(program: &Path, directory: PathBuf, settings: &Path) -> Self {
        let port = free_port();
        let text = format!(
            "server.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\nserver.modules = (\"mod_webdav\")\nwebdav.activate = \"enable\"\n",
            directory.display()
        );
        fs::write(settings, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-D").arg("-f").arg(settings);
        Self::start(command, port, Kind::Directory(directory))
    }

    /// The address of a directory in it, reached by this port, as `secretctl` takes it.
    pub fn address(&self, port: u16) -> String {
        match self.kind {
            Kind::Bucket => {
                format!("s3://{BUCKET}/fleet?endpoint=http%3A%2F%2F127.0.0.1%3A{port}&region=us-east-1")
            }
            Kind::Directory(_) => format!("http://127.0.0.1:{port}/some/fleet"),
        }
    }

    fn ask(&self, method: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{SIGNED}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The names of the files in the directory of [`Self::address`], in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.kind {
            Kind::Bucket => {
                let list = self.ask("GET", &format!("/{BUCKET}?list-type=2&prefix=fleet%2F"));
                let keys = list.split("<Key>fleet/").skip(1);
                keys.filter_map(|rest| rest.split_once("</Key>")).map(|(name, _)| name.to_owned()).collect()
            }
            Kind::Directory(directory) => {
                let entries = fs::read_dir(directory.join("some/fleet")).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
        };
        names.sort();
        names
    }

    /// Removes every file there.
    pub fn wipe(&self) {
        for name in self.names() {
            match &self.kind {
                Kind::Bucket => drop(self.ask("DELETE", &format!("/{BUCKET}/fleet/{name}"))),
                Kind::Directory(_) => drop(self.ask("DELETE", &format!("/some/fleet/{name}"))),
            }
        }
        assert_eq!(self.names(), [""; 0]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(self.child.id());
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

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
