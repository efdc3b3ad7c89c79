//! One request and its answer as bytes, without a socket. Bodies may hold values, so they live in
//! buffers that are allocated once and wiped.

use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use hyper::Method;
use secrets_proto::API_BASE;
use secrets_proto::approval::{CLIENT_HEADER_MAX, MAX_WAIT};
use secrets_proto::reveal::RevealRequest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;

/// A request to the daemon, which can be sent again: a locked vault or a new token may ask for that. Its body may hold
/// values, and `Debug` shows none of it.
#[derive(Clone)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) body: Option<Bytes>,
    pub(crate) if_match: Option<u64>,
    pub(crate) said: Option<String>,
    /// How long its answer may take to begin, if not as long as that of others.
    pub(crate) patience: Option<Duration>,
}

impl Call {
    /// A request without a body for a route below [`API_BASE`], like `/vault/lock`.
    pub fn new(method: Method, route: &str) -> Self {
        Self {
            method,
            target: format!("{API_BASE}{route}"),
            body: None,
            if_match: None,
            said: None,
            patience: None,
        }
    }

    /// A `GET` of a route below [`API_BASE`].
    pub fn get(route: &str) -> Self {
        Self::new(Method::GET, route)
    }

    /// The list of secrets, answered by a [`SecretList`](secrets_proto::secret::SecretList), of which more can be asked
    /// by [`Call::query`].
    pub fn list() -> Self {
        Self::get("/user/secrets")
    }

    /// A reveal, answered by a [`RevealReply`](secrets_proto::reveal::RevealReply).
    pub fn reveal(request: &RevealRequest) -> Result<Self, Error> {
        Self::new(Method::POST, "/user/secrets/reveal").json(request)
    }

    /// The vault's state, answered by a [`VaultStatus`](secrets_proto::vault::VaultStatus).
    pub fn status() -> Self {
        Self::get("/vault")
    }

    /// The one question that needs no token: whether the daemon is up.
    pub(crate) fn health() -> Self {
        Self {
            method: Method::GET,
            target: "/healthz".to_owned(),
            body: None,
            if_match: None,
            said: None,
            patience: None,
        }
    }

    /// Adds a query parameter; its value is percent-encoded (RFC 3986).
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(key);
        self.target.push('=');
        percent_encode(value, &mut self.target);
        self
    }

    /// Has it done only if the secret is at this version; otherwise it is refused with a conflict.
    pub const fn if_version(mut self, version: u64) -> Self {
        self.if_match = Some(version);
        self
    }

    /// Whether it only asks for something.
    pub fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    /// Says what it is asked for: `program`, `script`, `directory` and `command`, each an absolute path. It is shown to
    /// the person who decides about guarded secrets. What is too long is left out.
    pub fn saying<'a>(mut self, facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut said = String::new();
        for (name, fact) in facts {
            let mut pair = format!("{}{name}=", if said.is_empty() { "" } else { "&" });
            percent_encode(fact, &mut pair);
            if said.len() + pair.len() <= CLIENT_HEADER_MAX {
                said.push_str(&pair);
            }
        }
        self.said = (!said.is_empty()).then_some(said);
        self
    }

    /// Lets its answer take so long to begin: for what takes the longer the larger the vault is.
    pub const fn within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Has it answered as soon as there is another state than the one `after` so many changes, or after a day: for what waits
    /// without waking up.
    pub fn once_changed(self, after: u64) -> Self {
        const LATEST: Duration = Duration::from_secs(MAX_WAIT + 60);
        self.query("wait", &MAX_WAIT.to_string()).query("after", &after.to_string()).within(LATEST)
    }

    /// Gives it a JSON body, in a buffer that is allocated once and wiped.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let mut length = Length(0);
        serde_json::to_writer(&mut length, body).map_err(|_| Error::NotUnderstood("a request"))?;
        let mut buffer = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *buffer, body).map_err(|_| Error::NotUnderstood("a request"))?;
        self.body = Some(Bytes::from_owner(buffer));
        Ok(self)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What the daemon answered: a success. Its bytes may hold values; they are wiped when it is dropped, and `Debug` shows
/// none.
pub struct Answer {
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The body, JSON as a rule.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The error that the body of an answer tells which is no success.
    pub(crate) fn refusal(&self) -> Error {
        match serde_json::from_slice(&self.body) {
            Ok(body) => Error::Refused(Box::new(body)),
            Err(_) => Error::NotUnderstood("an error"),
        }
    }

    /// The body as `T`, which may borrow from it.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        // The cause is dropped on purpose: serde's messages quote what they stumble over.
        let not_understood = || Error::NotUnderstood("an answer");
        // Checked as a whole, text is checked faster than string by string.
        let text = str::from_utf8(&self.body).map_err(|_| not_understood())?;
        serde_json::from_str(text).map_err(|_| not_understood())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes)", self.body.len())
    }
}

/// Counts bytes, so that the buffer for a body never grows: growing would leave copies behind.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let call = Call::get("/user/secrets").query("name", "[!A]*?&=#é").query("view", "full");
        assert_eq!(call.target, "/api/v1/user/secrets?name=%5B%21A%5D%2A%3F%26%3D%23%C3%A9&view=full");
    }

    #[test]
    fn a_body_fills_its_buffer_exactly() {
        let call = Call::get("/x").json(&serde_json::json!({"value": "a\n\u{1}é"})).unwrap();
        assert_eq!(call.body.unwrap(), "{\"value\":\"a\\n\\u0001é\"}");
    }

    #[test]
    fn an_answer_that_is_no_envelope_is_not_quoted() {
        let error = Answer { body: Zeroizing::new(b"canary-canary".to_vec()) }.refusal();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn debug_shows_no_body() {
        let call = Call::get("/x").json(&"canary").unwrap();
        let answer = Answer { body: Zeroizing::new(b"canary".to_vec()) };
        assert_eq!(format!("{call:?} {answer:?}"), "Call { method: GET, .. } Answer(6 bytes)");
    }
}
