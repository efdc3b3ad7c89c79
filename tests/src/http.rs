//! Requests over the socket. The well-formed ones are written by hand too, so that every header on the wire is
//! one that the test chose.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::process::DEADLINE;

/// A request that is being put together.
#[must_use]
pub struct Request {
    socket: PathBuf,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request with a `Host` and without a token.
    pub fn new(socket: &Path, method: &str, target: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), "localhost".to_owned())],
            body: None,
        }
    }

    /// Adds a header; what is there already stays.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces a header.
    pub fn replace(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// Adds `Authorization: Bearer`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Adds a JSON body with its content type.
    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    /// Adds a body of this content type.
    pub fn text(mut self, content_type: &str, body: &str) -> Self {
        self.body = Some(body.as_bytes().to_vec());
        self.header("Content-Type", content_type)
    }

    /// Sends it and reads the whole answer.
    pub fn send(self) -> Answer {
        let asked = format!("{} {}", self.method, self.target);
        self.try_send().unwrap_or_else(|| panic!("{asked}: no HTTP answer"))
    }

    /// The same; nothing if the connection is closed without an answer.
    pub fn try_send(self) -> Option<Answer> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        if let Some(body) = &self.body {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        bytes.extend(b"Connection: close\r\n\r\n");
        bytes.extend(self.body.unwrap_or_default());
        let answer = raw(&self.socket, &bytes, DEADLINE);
        Answer::parse(&answer)
    }
}

/// Sends bytes as they are and reads until the server closes or stays silent for `patience`.
pub fn raw(socket: &Path, bytes: &[u8], patience: Duration) -> Vec<u8> {
    raw_if_there(socket, bytes, patience).expect("nobody listens")
}

/// Like [`raw`]; nothing if nobody listens.
pub fn raw_if_there(socket: &Path, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    // A server that has answered already may have closed: then the answer is what counts.
    stream.write_all(bytes).ok();
    Some(read_all(&mut stream))
}

/// Like [`raw`], and closes the write side after the bytes.
pub fn raw_and_finish(socket: &Path, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    read_all(&mut stream)
}

fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::WouldBlock | ErrorKind::TimedOut
            ) => {}
        Err(error) => panic!("read: {error}"),
    }
    answer
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// All bytes as they came.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Reads the first answer out of what a connection gave.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let mut status_line = lines.next()?.split(' ');
        if !status_line.next()?.starts_with("HTTP/1.") {
            return None;
        }
        let status = status_line.next()?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        if let Some(length) = length.and_then(|(_, value)| value.parse::<usize>().ok()) {
            assert!(status == 304 || body.len() >= length, "the answer was cut short");
            body.truncate(length);
        }
        Some(Self { status, headers, body, bytes: bytes.to_vec() })
    }

    /// A header's value; a header that comes twice fails the test.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "two {name} headers");
        first
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON; the content type must say so.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "status {}", self.status);
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("status {}: {error}: {}", self.status, self.text()))
    }

    /// Checks the status and gives the body's JSON.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Checks that this is the error envelope with this status and type, in full shape, and gives it.
    #[track_caller]
    pub fn expect_error(&self, status: u16, kind: &str) -> Value {
        let body = self.expect(status);
        let object = body.as_object().unwrap();
        for key in object.keys() {
            assert!(["code", "detail", "type", "errors"].contains(&key.as_str()), "unknown key {key}");
        }
        assert_eq!(body["code"], status, "{body}");
        assert_eq!(body["type"], kind, "{body}");
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
        if let Some(errors) = body.get("errors") {
            let errors = errors.as_array().unwrap();
            assert!(!errors.is_empty(), "an empty list of errors is left out");
            for error in errors {
                let mut keys: Vec<&str> = error.as_object().unwrap().keys().map(String::as_str).collect();
                keys.sort_unstable();
                assert_eq!(keys, ["loc", "msg", "type"], "{body}");
                let steps = error["loc"].as_array().unwrap();
                assert!(
                    !steps.is_empty() && steps.iter().all(|step| step.is_string() || step.is_u64()),
                    "{body}"
                );
                assert!(error["msg"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            }
        }
        assert_eq!(["validation_error", "limit_exceeded_error"].contains(&kind), status == 422);
        if kind == "validation_error" {
            assert!(body.get("errors").is_some(), "a validation error says which field: {body}");
        }
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "no X-Request-Id");
        body
    }

    /// Checks for a validation error that has an item of this place and type.
    #[track_caller]
    pub fn expect_invalid(&self, loc: &Value, kind: &str) -> Value {
        let body = self.expect_error(422, "validation_error");
        let errors = body["errors"].as_array().unwrap();
        assert!(
            errors.iter().any(|error| error["loc"] == *loc && error["type"] == kind),
            "no {kind} at {loc} in {body}"
        );
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &str) -> Answer {
        Answer::parse(bytes.as_bytes()).unwrap()
    }

    const GOOD: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nX-Request-Id: 1\r\n\r\n";

    #[test]
    fn reads_status_headers_and_body() {
        let answer = answer("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhello");
        assert_eq!((answer.status, answer.header("a"), answer.text()), (200, Some("b"), "he"));
        assert!(Answer::parse(b"nonsense").is_none());
    }

    #[test]
    fn accepts_the_envelope() {
        answer(&format!(r#"{GOOD}{{"code":404,"detail":"x","type":"not_found_error"}}"#))
            .expect_error(404, "not_found_error");
    }

    #[test]
    fn refuses_every_other_shape() {
        for body in [
            r#"{"code":400,"detail":"x","type":"not_found_error"}"#,
            r#"{"code":404,"detail":"","type":"not_found_error"}"#,
            r#"{"code":404,"detail":"x","type":"other"}"#,
            r#"{"code":404,"detail":"x","type":"not_found_error","more":1}"#,
            r#"{"code":404,"detail":"x","type":"not_found_error","errors":[]}"#,
            r#"{"code":404,"detail":"x","type":"not_found_error","errors":[{"loc":["a"],"msg":"m"}]}"#,
        ] {
            let answer = answer(&format!("{GOOD}{body}"));
            let checked = std::panic::catch_unwind(|| answer.expect_error(404, "not_found_error"));
            assert!(checked.is_err(), "{body}");
        }
    }
}
