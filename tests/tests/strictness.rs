//! What a guard of secrets must not take as HTTP, sent byte by byte to the real daemon: each line of the table says how
//! it is answered, and that nothing follows on the same connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::{DEADLINE, signal};
use secretsd_tests::{Answer, Env, programs};

/// All answers of a connection, `400 invalid_request_error` for an envelope, `400 bare` for hyper's own, and `end` when
/// the daemon closes.
fn outcome(env: &Env, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(env.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).ok();
    let (mut said, mut received) = (Vec::new(), Vec::new());
    let mut chunk = [0; 16_384];
    loop {
        while let Some((answer, length)) = first(&received) {
            said.push(answer);
            received.drain(..length);
        }
        match stream.read(&mut chunk) {
            Ok(0) => break said.push("end".to_owned()),
            Ok(read) => received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                break said.push("end".to_owned());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(received.is_empty(), "more than whole answers: {:?}", String::from_utf8_lossy(&received));
    said.join(", ")
}

/// The first answer, if it is whole, and its length.
fn first(bytes: &[u8]) -> Option<(String, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap().to_ascii_lowercase();
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let length: usize = header("content-length: ").map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(head..head + length)?;
    let status = &text[9..12];
    let kind = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|body| {
        assert!(header("x-request-id: ").is_some(), "{text}");
        body["type"].as_str().map(str::to_owned)
    });
    let kind = match (status, kind) {
        ("100" | "200" | "201", _) => String::new(),
        (_, Some(kind)) => format!(" {kind}"),
        (_, None) => " bare".to_owned(),
    };
    Some((format!("{status}{kind}"), head + length))
}

/// Sends each and compares; a request that would be served follows each, to see that it is not.
fn check(env: &Env, table: &[(&str, Vec<u8>, &str)]) {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in table {
        let found = outcome(env, bytes);
        if found != *expected {
            wrong.push(format!("{name}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(env.state(), "unlocked");
}

/// What would be answered with 200 if the connection went on.
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

const REFUSED: &str = "400 invalid_request_error, end";

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{headers}\r\n{NEXT}").into_bytes()
}

#[test]
fn heads_that_can_be_read_in_two_ways_end_the_connection() {
    let env = Env::unlocked(programs!());
    let token = env.token();
    let host = "Host: localhost\r\n";
    let with = |headers: &str| get("/healthz", &format!("{host}{headers}"));
    let post = |headers: &str, body: &str| {
        format!("POST /api/v1/user/secrets HTTP/1.1\r\n{host}Authorization: Bearer {token}\r\n{headers}\r\n{body}{NEXT}")
            .into_bytes()
    };
    check(
        &env,
        &[
            ("no Host", get("/healthz", ""), REFUSED),
            ("two Host", get("/healthz", "Host: localhost\r\nhost: localhost\r\n"), REFUSED),
            (
                "two Authorization",
                with(&format!("Authorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n")),
                REFUSED,
            ),
            ("two X-API-Key", with(&format!("X-API-Key: {token}\r\nX-Api-Key: {token}\r\n")), REFUSED),
            (
                "length and chunks",
                post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
                REFUSED,
            ),
            (
                "chunks and length",
                post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
                REFUSED,
            ),
            ("two equal lengths", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), REFUSED),
            ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), "400 bare, end"),
            ("a list of lengths", post("Content-Length: 2, 2\r\n", "{}"), "400 bare, end"),
            ("a signed length", post("Content-Length: +2\r\n", "{}"), "400 bare, end"),
            ("two encodings", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), REFUSED),
            (
                "not chunked at last",
                post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
                "400 bare, end",
            ),
            ("identity", post("Transfer-Encoding: identity\r\n", "{}"), "400 bare, end"),
            ("space before the colon", with("Content-Length : 2\r\n"), "400 bare, end"),
            ("folded", with("X: a\r\n b\r\n"), "400 bare, end"),
            ("folded first", get("/healthz", " Host: localhost\r\n"), "400 bare, end"),
            ("NUL in a value", with("X: a\0b\r\n"), "400 bare, end"),
            ("CR in a value", with("X: a\rb\r\n"), "400 bare, end"),
            ("NUL in a name", with("X\0: a\r\n"), "400 bare, end"),
            (
                "line feeds alone",
                get("/healthz", host).into_iter().filter(|byte| *byte != b'\r').collect(),
                REFUSED,
            ),
            ("one line feed alone", with("X: a\n"), REFUSED),
            ("no version", b"GET /healthz\r\n\r\n".to_vec(), "400 bare, end"),
            ("two spaces", format!("GET  /healthz HTTP/1.1\r\n{host}\r\n").into_bytes(), "400 bare, end"),
            ("65 headers", with(&"A: b\r\n".repeat(64)), REFUSED),
            ("64 headers", with(&"A: b\r\n".repeat(63)), "200, 200, end"),
            ("200 headers", with(&"A: b\r\n".repeat(200)), "431 bare, end"),
            ("17 KiB", with(&format!("A: {}\r\n", "b".repeat(17 * 1024))), "431 bare, end"),
            ("a long target", get(&format!("/{}", "a".repeat(17 * 1024)), host), "431 bare, end"),
        ],
    );
}

#[test]
fn targets_that_need_interpretation_end_the_connection() {
    let env = Env::unlocked(programs!());
    let host = "Host: localhost\r\n";
    for target in [
        "http://localhost/healthz",
        "https://localhost/healthz",
        "unix://localhost/healthz",
        "//localhost/healthz",
        "/./healthz",
        "/../healthz",
        "/a/../healthz",
        "/healthz/.",
        "/healthz/..",
        "//healthz",
        "/healthz//",
        "/api/v1//vault",
        "/api/v1%2fvault",
        "/api/v1%2Fvault",
        "/%2e/healthz",
        "/%2e%2e/healthz",
        "/healthz%00",
        "/healthz%0a",
        "/%68ealthz",
        "/api\\v1",
        "/healthz%",
        "/healthz#x",
        "/healthz?#/api/v1/vault",
        "*",
    ] {
        assert_eq!(outcome(&env, &get(target, host)), REFUSED, "{target}");
    }
    for target in ["/health z", "/healthz\0", "/healthz\u{7f}"] {
        assert_eq!(outcome(&env, &get(target, host)), "400 bare, end", "{target:?}");
    }
    for request in [
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        assert_eq!(outcome(&env, format!("{request}{NEXT}").as_bytes()), REFUSED, "{request}");
    }
    assert_eq!(outcome(&env, &get("/healthz?", host)), "200, 200, end");
}

#[test]
fn other_versions_are_told_which_is_spoken() {
    let env = Env::unlocked(programs!());
    let upgrade = "426 upgrade_required_error, end";
    check(
        &env,
        &[
            ("1.0", b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n".to_vec(), upgrade),
            (
                "1.0 that stays",
                format!("GET /healthz HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n{NEXT}")
                    .into_bytes(),
                upgrade,
            ),
            ("0.9", b"GET /healthz\r\n".to_vec(), "400 bare, end"),
            ("1.2", format!("GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n{NEXT}").into_bytes(), "400 bare, end"),
            ("2.0", format!("GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n{NEXT}").into_bytes(), "400 bare, end"),
            ("the preface of 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "end"),
            (
                "h2c",
                get(
                    "/healthz",
                    "Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
                ),
                "200, 200, end",
            ),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "400 bare, end"),
            (
                "API 2",
                get("/healthz", "Host: x\r\nX-Secretsd-Api: 2\r\n"),
                "426 upgrade_required_error, 200, end",
            ),
        ],
    );
}

#[test]
fn bodies_end_where_they_say() {
    let env = Env::unlocked(programs!());
    let token = env.token();
    let post = |headers: &str, body: &str| {
        let kind = "Content-Type: application/json\r\n";
        format!("POST /api/v1/user/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{kind}{headers}\r\n{body}{NEXT}")
            .into_bytes()
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    let json = |name: &str| format!("{{\"name\":\"{name}\",\"value\":\"x\"}}");
    let (a, b, c) = (json("A"), json("B"), json("C"));
    let whole = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    check(
        &env,
        &[
            ("plain", post(&format!("Content-Length: {}\r\n", a.len()), &a), "201, 200, end"),
            ("chunked", post(chunked, &whole(&b)), "201, 200, end"),
            (
                "extensions and trailers",
                post(
                    chunked,
                    &format!("{:x};a=b;c=\"d\"\r\n{c}\r\n0;e\r\nX: y\r\nContent-Length: 3\r\n\r\n", c.len()),
                ),
                "201, 200, end",
            ),
            ("a size that is none", post(chunked, "xyz\r\n{}\r\n0\r\n\r\n"), REFUSED),
            ("a negative size", post(chunked, "-2\r\n{}\r\n0\r\n\r\n"), REFUSED),
            ("a size too large", post(chunked, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"), REFUSED),
            ("a line feed after a size", post(chunked, "2\n{}\r\n0\r\n\r\n"), REFUSED),
            ("more than a chunk", post(chunked, "1\r\n{}\r\n0\r\n\r\n"), REFUSED),
            ("too much, announced", post(&format!("Content-Length: {}\r\n", large.len()), &large), REFUSED),
            ("too much, in chunks", post(chunked, &whole(&large)), REFUSED),
            (
                "Expect",
                post(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", a.len()), &a),
                "100, 409 already_exists_error, 200, end",
            ),
            (
                "another expectation",
                post(&format!("Expect: a-coffee\r\nContent-Length: {}\r\n", a.len()), &a),
                REFUSED,
            ),
            (
                "deep",
                post("Content-Length: 20000\r\n", &"[".repeat(20_000)),
                "400 invalid_request_error, 200, end",
            ),
            ("trailing bytes", post("Content-Length: 4\r\n", "{} x"), "400 invalid_request_error, 200, end"),
            (
                "a mark of the byte order",
                post("Content-Length: 5\r\n", "\u{feff}{}"),
                "400 invalid_request_error, 200, end",
            ),
            (
                "pipelined",
                [post("Content-Length: 2\r\n", "{}"), post("Content-Length: 2\r\n", "{}")].concat(),
                "422 validation_error, 200, end",
            ),
        ],
    );
    // Refused before anybody waits for a body that is too large to be taken.
    let start = Instant::now();
    let expect = post("Expect: 100-continue\r\nContent-Length: 2000000000\r\n", "");
    let found = outcome(&env, &expect[..expect.len() - NEXT.len()]);
    assert!(
        start.elapsed() < Duration::from_secs(9) && found == REFUSED,
        "{found} after {:?}",
        start.elapsed()
    );
}

#[test]
fn a_stop_lets_a_request_finish_and_closes_what_is_idle() {
    let mut env = Env::unlocked(programs!());
    let connect = || {
        let stream = UnixStream::connect(env.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let (mut idle, mut busy) = (connect(), connect());
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut byte = [0; 1];
    idle.read_exact(&mut byte).unwrap();
    let body = "{\"name\":\"A\",\"value\":\"x\"}";
    let head = format!(
        "POST /api/v1/user/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        env.token(),
        body.len()
    );
    busy.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    signal(env.pid(), Signal::TERM);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    busy.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().status, 201);
    assert!(env.stop().success());
    env.start();
    env.post("/vault/unlock", &serde_json::json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(env.value("A"), "x");
}

#[test]
fn a_stop_does_not_wait_for_a_request_that_does_not_finish() {
    let mut env = Env::unlocked(programs!());
    let mut busy = UnixStream::connect(env.socket()).unwrap();
    busy.set_read_timeout(Some(DEADLINE)).unwrap();
    busy.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .unwrap();
    busy.read_exact(&mut [0; 25]).unwrap();
    let start = Instant::now();
    assert!(env.stop().success());
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(9)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
}
