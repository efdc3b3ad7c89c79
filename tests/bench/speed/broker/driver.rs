//! The program that asks, in a process of its own: the one that `proxy run` starts. It says what its environment is, then
//! does what it is told on its standard input, a line each, and writes a figure for each.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::origin::{EVENT, LARGE};
use crate::load::{self, Until};
use crate::report::median;

/// The argument with which this program asks.
pub const DRIVE: &str = "--drive";

/// What a program finds in its environment under `proxy run`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Surroundings {
    /// Host and port of the proxy.
    pub proxy: String,
    /// The file of authorities.
    pub authorities: String,
    /// What stands for the value.
    pub placeholder: String,
}

/// The way to the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Way {
    /// Host and port of a proxy; `None` leads straight there.
    pub proxy: Option<String>,
    /// By which name it is asked.
    pub host: String,
    /// Its port, on this machine.
    pub port: u16,
    /// The file of authorities that are believed.
    pub authorities: String,
    /// What is said behind `Bearer`.
    pub bearer: Option<String>,
}

/// What is to be measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum What {
    /// 1 KiB again and again for so many milliseconds, over so many connections that stay open.
    Requests(u64, usize),
    /// 1 KiB over a new connection, so many times.
    Connections(usize),
    /// 100 MB, once.
    Download,
    /// The first byte of an event, so many times.
    Events(usize),
}

/// A figure: answers a second of [`What::Requests`], and the middle time in seconds of one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Figure {
    /// Answers a second, or 0.
    pub rate: f64,
    /// Seconds.
    pub time: f64,
}

/// Does what is asked, until nothing more is.
pub fn drive() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let surroundings = Surroundings {
        proxy: variable("HTTPS_PROXY").trim_start_matches("http://").to_owned(),
        authorities: variable("SSL_CERT_FILE"),
        placeholder: variable("KEY"),
    };
    say(&surroundings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for line in std::io::stdin().lock().lines() {
        let (way, what): (Way, What) = serde_json::from_str(&line.unwrap()).unwrap();
        say(&LocalSet::new().block_on(&runtime, measure(way, what)));
    }
}

fn say(what: &impl Serialize) {
    println!("{}", serde_json::to_string(what).unwrap());
    std::io::stdout().flush().unwrap();
}

async fn measure(way: Way, what: What) -> Figure {
    let tls = tls(&way.authorities);
    let mut buffer = vec![0; 256 << 10];
    match what {
        What::Requests(milliseconds, connections) => {
            let mut open = Vec::new();
            for _ in 0..connections {
                let mut stream = connect(&way, &tls).await;
                ask(&mut stream, &way, "/small", &mut buffer).await;
                open.push(stream);
            }
            let (until, request) =
                (Until::Time(Duration::from_millis(milliseconds)), request(&way, "/small"));
            let measured = load::over(open, until, 200, move |_| request.clone()).await;
            assert_eq!(measured.others, 0, "{way:?} is answered in another way");
            Figure { rate: measured.rate, time: measured.median().as_secs_f64() }
        }
        What::Connections(count) => {
            let mut times = Vec::new();
            for _ in 0..count {
                let start = Instant::now();
                let mut stream = connect(&way, &tls).await;
                ask(&mut stream, &way, "/small", &mut buffer).await;
                times.push(start.elapsed().as_secs_f64());
            }
            Figure { rate: 0.0, time: median(times) }
        }
        What::Download => {
            let mut stream = connect(&way, &tls).await;
            let start = Instant::now();
            ask(&mut stream, &way, "/large", &mut buffer).await;
            let time = start.elapsed().as_secs_f64();
            Figure { rate: LARGE as f64 / time, time }
        }
        What::Events(count) => {
            let mut stream = connect(&way, &tls).await;
            let mut times = Vec::new();
            for _ in 0..count {
                let start = Instant::now();
                stream.write_all(&request(&way, "/event")).await.unwrap();
                let (mut filled, mut first) = (0, None);
                let end = loop {
                    filled += stream.read(&mut buffer[filled..]).await.unwrap();
                    let head = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
                    let Some(head) = head else { continue };
                    if filled > head + 4 {
                        first.get_or_insert(start.elapsed());
                    }
                    if filled >= head + 4 + EVENT {
                        break first;
                    }
                };
                times.extend(end.map(|first| first.as_secs_f64()));
            }
            Figure { rate: 0.0, time: median(times) }
        }
    }
}

/// One that trusts the authorities in this file, and begins a new session each time, as programs that have just started do.
pub fn tls(authorities: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(authorities).unwrap();
    roots.add_parsable_certificates(found.map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn connect(way: &Way, tls: &TlsConnector) -> TlsStream<TcpStream> {
    let to = way.proxy.clone().unwrap_or_else(|| format!("127.0.0.1:{}", way.port));
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if way.proxy.is_some() {
        let (host, port) = (&way.host, way.port);
        let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The host says nothing before TLS begins: all that comes is the answer's head.
        let (mut answer, mut length) = ([0; 4096], 0);
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[length..]).await.unwrap();
            assert!(read > 0, "the proxy ends the connection");
            length += read;
        }
        let said = String::from_utf8_lossy(&answer[..length]);
        assert!(said.starts_with("HTTP/1.1 200") || said.starts_with("HTTP/1.0 200"), "no tunnel: {said}");
    }
    tls.connect(ServerName::try_from(way.host.clone()).unwrap(), stream).await.unwrap()
}

fn request(way: &Way, path: &str) -> Vec<u8> {
    let Way { host, port, .. } = way;
    let bearer = way.bearer.as_ref().map_or(String::new(), |is| format!("Authorization: Bearer {is}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n{bearer}\r\n")
        .into_bytes()
}

async fn ask(stream: &mut TlsStream<TcpStream>, way: &Way, path: &str, buffer: &mut [u8]) {
    stream.write_all(&request(way, path)).await.unwrap();
    let is_right = load::answer(stream, buffer, b"HTTP/1.1 200 ").await.unwrap();
    assert!(is_right, "{} does not answer", way.host);
}
