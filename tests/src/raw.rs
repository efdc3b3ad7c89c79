//! A host with TLS on the loopback that says bytes which a test has written, whatever HTTP makes of them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::process::DEADLINE;

/// How long it waits between two pieces, so that they mostly arrive one by one.
const MOMENT: Duration = Duration::from_millis(2);

/// What a host says to one request.
#[derive(Debug, Clone)]
pub struct Said {
    /// One after the other.
    pub pieces: Vec<Vec<u8>>,
    /// What becomes of the connection then.
    pub end: End,
    /// Whether it is said before the request's body is read.
    pub is_early: bool,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It waits for the next request.
    Open,
    /// It is closed as TLS has it.
    Closed,
    /// It is cut off, without a word of TLS.
    Cut,
}

impl Said {
    /// All at once.
    pub fn new(bytes: impl Into<Vec<u8>>, end: End) -> Self {
        Self { pieces: vec![bytes.into()], end, is_early: false }
    }

    /// In pieces of so many bytes.
    pub fn by(self, count: usize) -> Self {
        let bytes = self.pieces.concat();
        Self { pieces: bytes.chunks(count).map(<[u8]>::to_vec).collect(), ..self }
    }

    /// Before the request's body is read.
    pub fn early(self) -> Self {
        Self { is_early: true, ..self }
    }
}

/// A request as the host has got it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its bytes, as text.
    pub text: String,
    /// Whether all of it has come.
    pub is_whole: bool,
}

type Answer = dyn Fn(&str) -> Said + Send + Sync;

/// The host. It ends with the test's process.
pub struct RawOrigin {
    /// The port of 127.0.0.1 where it listens.
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl RawOrigin {
    /// A host that speaks TLS like this, and what it says to a request with this head: what it is asked over HTTP/2 is said
    /// by its number alone, `h2 0` for the first.
    pub fn start(config: ServerConfig, answer: impl Fn(&str) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (config, answer, hears) = (Arc::new(config), Arc::new(answer), heard.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, answer, heard) = (config.clone(), answer.clone(), hears.clone());
                thread::spawn(move || serve(stream, config, &*answer, &heard));
            }
        });
        Self { port, heard }
    }

    /// What it has been asked so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// Serves a connection to its end, whatever that is.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: &Answer,
    heard: &Mutex<Vec<Heard>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    let mut tls = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    let is_h2 = tls.conn.alpn_protocol() == Some(b"h2");
    loop {
        let said = if is_h2 {
            let block = asked_in_frames(&mut tls)?;
            let mut heard = heard.lock().unwrap();
            heard.push(Heard { text: String::from_utf8_lossy(&block).into_owned(), is_whole: true });
            answer(&format!("h2 {}", heard.len() - 1))
        } else {
            let head = until(&mut tls, b"\r\n\r\n")?;
            let said = answer(&head);
            if !said.is_early {
                let (body, is_whole) = body_of(&mut tls, &head);
                heard.lock().unwrap().push(Heard { text: head + &body, is_whole });
                if !is_whole {
                    return Ok(());
                }
            }
            said
        };
        for (number, piece) in said.pieces.iter().enumerate() {
            if number > 0 {
                thread::sleep(MOMENT);
            }
            tls.write_all(piece)?;
            tls.flush()?;
        }
        match said.end {
            End::Open => continue,
            End::Closed => {
                tls.conn.send_close_notify();
                tls.flush()?;
            }
            End::Cut => {}
        }
        tls.sock.shutdown(Shutdown::Write)?;
        // What is still said is read, so that nothing that was sent is lost by a reset.
        let mut rest = [0; 4096];
        while matches!(tls.sock.read(&mut rest), Ok(1..)) {}
        return Ok(());
    }
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn until(tls: &mut Tls, end: &[u8]) -> io::Result<String> {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end) {
        tls.read_exact(&mut byte)?;
        read.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The body that a head announces, and whether it is whole.
fn body_of(tls: &mut Tls, head: &str) -> (String, bool) {
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let left = length.and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    let is_chunked = head.contains("transfer-encoding: chunked");
    let (mut body, mut byte) = (Vec::new(), [0]);
    // The end of the chunks, behind which there may be trailers.
    let is_over = |body: &[u8]| {
        let text = String::from_utf8_lossy(body);
        let at = text.find("\r\n0\r\n").map(|at| at + 3).or_else(|| text.starts_with("0\r\n").then_some(1));
        at.is_some_and(|at| text[at..].ends_with("\r\n\r\n"))
    };
    while if is_chunked { !is_over(&body) } else { body.len() < left } {
        match tls.read(&mut byte) {
            Ok(1) => body.push(byte[0]),
            _ => return (String::from_utf8_lossy(&body).into_owned(), false),
        }
    }
    (String::from_utf8_lossy(&body).into_owned(), true)
}

/// Reads frames until one has the head of a request (RFC 9113, sections 3.4 and 4.1), and gives that, compressed.
fn asked_in_frames(tls: &mut Tls) -> io::Result<Vec<u8>> {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    tls.read_exact(&mut [0; PREFACE])?;
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        tls.read_exact(&mut payload)?;
        if head[3] == HEADERS {
            return Ok(payload);
        }
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A block of fields as they are (RFC 7541, section 6.2.2), each with a name and a value of less than 127 bytes.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}
