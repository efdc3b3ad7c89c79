//! Hosts with TLS on the loopback, which keep what they are asked, and answer by the request's path. Names for them are in
//! a hosts(5) file that only the commands under test see.

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::env::Env;

/// A request as a host has got it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method, a space and the target.
    pub line: String,
    /// The protocol's version.
    pub version: String,
    /// The headers as text, a line each.
    pub headers: String,
    /// The body.
    pub body: String,
}

impl Seen {
    /// All of it as text.
    pub fn whole(&self) -> String {
        format!("{}\n{}\n{}", self.line, self.headers, self.body)
    }

    /// A header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// What is odd about a host's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Nothing.
    Not,
    /// It is over since yesterday.
    Expired,
    /// It is signed by itself.
    SelfSigned,
    /// It is for another name.
    OtherName,
}

/// A certificate authority that hosts of a test have.
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub pem: PathBuf,
}

impl TestAuthority {
    /// Makes one, and puts its certificate into this directory.
    pub fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap();
        let text = data_encoding::BASE64.encode(der.der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let pem = dir.join("test-ca.pem");
        let begin = "-----BEGIN CERTIFICATE-----";
        fs::write(&pem, format!("{begin}\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))).unwrap();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a host with this name and its key, as files in this directory.
    pub fn files(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |what: &str, label: &str, der: &[u8]| {
            let path = dir.join(format!("{name}.{what}"));
            let text = data_encoding::BASE64.encode(der);
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
            let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
            fs::write(&path, pem).unwrap();
            path
        };
        let of_key = file("key", "PRIVATE KEY", &key.serialize_der());
        (file("pem", "CERTIFICATE", certificate.der()), of_key)
    }

    /// How a host with these names speaks TLS, whose certificate may be odd, and which offers these protocols.
    pub fn config(&self, names: &[&str], odd: Odd, protocols: &[&str]) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let names = if odd == Odd::OtherName { vec!["another.test".to_owned()] } else { names };
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        if odd == Odd::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let signed = match odd {
            Odd::SelfSigned => params.self_signed(&key),
            Odd::Not | Odd::Expired | Odd::OtherName => params.signed_by(&key, &self.issuer),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.unwrap().into()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// What a host answers to a request with this body in place of what the path says, if it does.
pub type Handler = dyn Fn(&Seen, &[u8]) -> Option<Response<Vec<u8>>> + Send + Sync;

/// A host. It ends with the test's process.
#[derive(Clone)]
pub struct Origin {
    /// The port of 127.0.0.1 where it listens.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// How many events may be sent.
    gate: Arc<Semaphore>,
    handler: Arc<Mutex<Option<Arc<Handler>>>>,
}

impl Origin {
    /// A host with these names, which speaks HTTP/1.1 and HTTP/2.
    pub fn start(authority: &TestAuthority, names: &[&str]) -> Self {
        Self::with(authority, names, Odd::Not, &["h2", "http/1.1"])
    }

    /// A host with these names, whose certificate may be odd, and which speaks these protocols.
    pub fn with(authority: &TestAuthority, names: &[&str], odd: Odd, protocols: &[&str]) -> Self {
        let config = authority.config(names, odd, protocols);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let origin =
            Self { port, seen: Arc::default(), gate: Arc::new(Semaphore::new(0)), handler: Arc::default() };
        let serving = origin.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serving.serve(listener, TlsAcceptor::from(Arc::new(config))));
        });
        origin
    }

    /// What it has been asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What it was asked last.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the host was never asked")
    }

    /// Has it ask this first.
    pub fn answer_by(
        &self,
        handler: impl Fn(&Seen, &[u8]) -> Option<Response<Vec<u8>>> + Send + Sync + 'static,
    ) {
        *self.handler.lock().unwrap() = Some(Arc::new(handler));
    }

    /// Lets it send one event more.
    pub fn let_one_event_go(&self) {
        self.gate.add_permits(1);
    }

    async fn serve(self, listener: std::net::TcpListener, tls: TlsAcceptor) {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (tls, origin) = (tls.clone(), self.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| {
                    let origin = origin.clone();
                    async move { Ok::<_, Infallible>(origin.answer(request).await) }
                });
                let stream = TokioIo::new(stream);
                if is_h2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(stream, service).await;
                } else {
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
                }
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let headers: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let seen = Seen {
            line: format!("{} {target}", head.method),
            version: format!("{:?}", head.version),
            headers: headers.join("\n"),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        let answer = self.respond(head.uri.path(), &seen, body).await;
        // hyper leaves it out in HTTP/1.1 alone.
        if head.method == Method::HEAD { answer.map(|_| full("")) } else { answer }
    }

    async fn respond(&self, path: &str, seen: &Seen, body: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
        let handler = self.handler.lock().unwrap().clone();
        if let Some(handler) = handler {
            let asked = seen.clone();
            let answer = tokio::task::spawn_blocking(move || handler(&asked, &body)).await.unwrap();
            if let Some(answer) = answer {
                return answer.map(full);
            }
        }
        respond(path, seen, &self.gate)
    }
}

fn full(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

/// The pieces one by one, each when the gate lets it go.
fn pieces(pieces: Vec<Frame<Bytes>>, gate: Option<Arc<Semaphore>>) -> BoxBody<Bytes, Infallible> {
    let (send, mut receive) = mpsc::channel::<Frame<Bytes>>(1);
    tokio::spawn(async move {
        for piece in pieces {
            if let Some(gate) = &gate {
                gate.acquire().await.unwrap().forget();
            }
            if send.send(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let stream = polled(move |context| receive.poll_recv(context).map(|frame| frame.map(Ok)));
    BodyExt::boxed(StreamBody::new(stream))
}

/// A stream from a function that is polled.
fn polled<T>(
    poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Send + Sync + Unpin + 'static,
) -> impl futures_core::Stream<Item = T> + Send + Sync {
    struct Polled<F>(F);
    impl<T, F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin> futures_core::Stream
        for Polled<F>
    {
        type Item = T;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            (self.0)(context)
        }
    }
    Polled(poll)
}

fn data(text: impl Into<Bytes>) -> Frame<Bytes> {
    Frame::data(text.into())
}

fn compressed<W: Write>(mut encoder: W, text: &str, finish: impl Fn(W) -> Vec<u8>) -> Vec<u8> {
    encoder.write_all(text.as_bytes()).unwrap();
    finish(encoder)
}

/// The answer of a host to a request for this path: what it was asked, in the way that the path names.
fn respond(path: &str, seen: &Seen, gate: &Arc<Semaphore>) -> Response<BoxBody<Bytes, Infallible>> {
    let echo = json!({ "line": seen.line, "headers": seen.headers, "body": seen.body }).to_string();
    let response = Response::builder().header("content-type", "application/json");
    let level = Compression::default();
    let coded = |name: &str, bytes: Vec<u8>| {
        let response = Response::builder().header("content-type", "application/json");
        response.header("content-encoding", name).body(full(bytes)).unwrap()
    };
    match path.rsplit('/').next().unwrap_or_default() {
        "gzip" => {
            coded("gzip", compressed(GzEncoder::new(Vec::new(), level), &echo, |e| e.finish().unwrap()))
        }
        "zlib" => {
            coded("deflate", compressed(ZlibEncoder::new(Vec::new(), level), &echo, |e| e.finish().unwrap()))
        }
        "deflate" => coded(
            "deflate",
            compressed(DeflateEncoder::new(Vec::new(), level), &echo, |e| e.finish().unwrap()),
        ),
        "brotli" => coded("br", b"\x0b\x02\x80canary\x03".to_vec()),
        "header" => {
            let value = seen.header("authorization").unwrap_or("none").to_owned();
            response.header("x-echo", value).body(full("{}")).unwrap()
        }
        "chunks" => {
            let bytes = echo.into_bytes().into_iter().map(|byte| data(vec![byte])).collect();
            response.body(pieces(bytes, None)).unwrap()
        }
        "trailers" => {
            let mut trailers = HeaderMap::new();
            let value = seen.header("authorization").unwrap_or("none");
            trailers.insert("x-echo", value.parse().unwrap());
            trailers.insert("x-end", "yes".parse().unwrap());
            trailers.insert("x-secretsd-denied", "-".parse().unwrap());
            let name = format!("x-{}", value.rsplit(' ').next().unwrap_or_default());
            trailers.insert(hyper::header::HeaderName::try_from(&name).unwrap(), "1".parse().unwrap());
            let frames = vec![data("{}"), Frame::trailers(trailers)];
            response
                .header("trailer", format!("x-echo, x-end, x-secretsd-denied, {name}"))
                .body(pieces(frames, None))
                .unwrap()
        }
        // A service of gRPC: a message of five bytes behind its length, and the status.
        "Say" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = vec![data("\0\0\0\0\x05hello"), Frame::trailers(trailers)];
            let response = Response::builder().header("content-type", "application/grpc");
            response.body(pieces(frames, None)).unwrap()
        }
        "refs" if seen.header("authorization").is_none() => {
            let response = Response::builder().status(401).header("www-authenticate", "Basic realm=\"test\"");
            response.body(full("")).unwrap()
        }
        "redirect" => {
            let to = seen.line.split_once("to=").map_or("/", |(_, to)| to).to_owned();
            Response::builder().status(307).header("location", to).body(full("")).unwrap()
        }
        "events" => {
            // What ends an event could begin a value, and nobody knows when the next one comes.
            let events = (1..=3).map(|number| data(format!("data: {number} s\n\n"))).collect();
            let response = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
            response.body(pieces(events, Some(gate.clone()))).unwrap()
        }
        "large" => {
            let block = Bytes::from(vec![b'x'; 64 << 10]);
            let frames = (0..160).map(|_| Frame::data(block.clone())).collect();
            response.body(pieces(frames, None)).unwrap()
        }
        "completions" => sse_or_json(seen, &openai_events(), &openai_answer()),
        "messages" => sse_or_json(seen, &anthropic_events(), &anthropic_answer()),
        _ => response.body(full(echo)).unwrap(),
    }
}

fn sse_or_json(seen: &Seen, events: &str, answer: &str) -> Response<BoxBody<Bytes, Infallible>> {
    let streams = seen.body.contains("\"stream\":true") || seen.body.contains("\"stream\": true");
    if !streams {
        return Response::builder()
            .header("content-type", "application/json")
            .body(full(answer.to_owned()))
            .unwrap();
    }
    let events = events.split_inclusive("\n\n").map(|event| data(event.to_owned())).collect();
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(pieces(events, None)).unwrap()
}

fn openai_answer() -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello from the host"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    })
    .to_string()
}

fn openai_events() -> String {
    let chunk = |delta: serde_json::Value, end: serde_json::Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": end});
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let words = ["hello ", "from ", "the host"].map(|word| chunk(json!({"content": word}), json!(null)));
    format!("{}{}data: [DONE]\n\n", words.concat(), chunk(json!({}), json!("stop")))
}

fn anthropic_answer() -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": null,
        "content": [{"type": "text", "text": "hello from the host"}],
        "usage": {"input_tokens": 1, "output_tokens": 1}
    })
    .to_string()
}

fn anthropic_events() -> String {
    let event = |value: serde_json::Value| {
        let name = value["type"].as_str().unwrap().to_owned();
        format!("event: {name}\ndata: {value}\n\n")
    };
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}
    });
    let mut text = event(json!({"type": "message_start", "message": message}));
    text += &event(
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    );
    for word in ["hello ", "from ", "the host"] {
        let delta = json!({"type": "text_delta", "text": word});
        text += &event(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    }
    text += &event(json!({"type": "content_block_stop", "index": 0}));
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    text += &event(json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 3}}));
    text + &event(json!({"type": "message_stop"}))
}

/// A command in the environment of a test, for which these names are those of 127.0.0.1. Nobody else sees that: it has a
/// mount namespace of its own. Its programs trust the authority in this file and nobody else.
pub fn command_with_names(env: &Env, authority: &Path, names: &[&str], words: &[&str]) -> Command {
    let hosts = env.path("hosts");
    let mut text = fs::read_to_string("/etc/hosts").unwrap_or_default();
    text.push_str(&format!("\n127.0.0.1 {}\n", names.join(" ")));
    fs::write(&hosts, text).unwrap();
    let mut command = env.command("unshare");
    command.args(unshare()).args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
    command.arg(&hosts).args(words).env("SSL_CERT_FILE", authority);
    command
}

/// A mount namespace needs one of users, too, unless one is root.
fn unshare() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--mount", "--map-root-user"] }
}

/// Why no names can be made up here, if so.
pub fn no_names() -> Option<&'static str> {
    let mut command = Command::new("unshare");
    command.args(unshare()).args(["sh", "-c", "mount --bind /etc/hostname /etc/hosts"]);
    let works = command.output().is_ok_and(|output| output.status.success());
    (!works).then_some("a mount namespace of its own is not allowed here")
}

/// Where a host listens, as a URL's beginning.
pub fn url(name: &str, origin: &Origin) -> String {
    format!("https://{name}:{}", origin.port)
}

/// An address that nobody listens on.
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
