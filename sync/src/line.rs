//! The line to the store: every request passes through here. How much an answer may hold and how many a run may ask for is
//! bounded, and what an answer says about the run as a whole is remembered: the store's time, and why it refuses.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use jiff::Timestamp;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, HeaderValue};
use reqwest::{Client, Method, redirect};

/// The most bytes of an answer: a page of a list has a thousand names, an object is smaller.
const MOST_IN_ANSWER: usize = 8 << 20;

/// The most bytes of WebDAV's answer to a list, which comes as a whole.
const MOST_IN_TREE: usize = 64 << 20;

/// The most bytes of an answer that says no.
const MOST_IN_REFUSAL: usize = 64 << 10;

/// How long the store may take to take a connection, to send a piece, and for a request as a whole.
const CONNECT: Duration = Duration::from_secs(10);
const PIECE: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_secs(300);

/// What was seen on the line.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    requests: AtomicU32,
    /// No more than so many.
    most: AtomicU32,
    silent: AtomicBool,
    no_credential: AtomicBool,
    notes: Mutex<Notes>,
}

/// What answers said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// The store's time, of its newest answer, and this machine's then.
    pub(crate) date: Option<(Timestamp, Timestamp)>,
    /// The status and code of the last refusal.
    pub(crate) refusal: Option<(u16, String)>,
}

impl Seen {
    /// How many requests there were.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Allows so many requests from now on.
    pub(crate) fn allow(&self, more: u32) {
        self.most.store(self.requests().saturating_add(more), Ordering::Relaxed);
    }

    /// Whether all that was allowed was asked.
    pub(crate) fn is_spent(&self) -> bool {
        self.requests() > self.most.load(Ordering::Relaxed)
    }

    /// Whether a request was not answered at all.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Whether nobody gave a credential.
    pub(crate) fn lacks_credential(&self) -> bool {
        self.no_credential.load(Ordering::Relaxed)
    }

    /// What answers said.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Makes lines that remember what they see.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) seen: Arc<Seen>,
    /// What proves that one may ask, where the engine does not make it.
    pub(crate) authorization: Option<HeaderValue>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http =
            options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|it| it == "true");
        let client = Client::builder()
            // A redirect would take the request, and its signature, elsewhere.
            .redirect(redirect::Policy::none())
            .https_only(!allows_http)
            .connect_timeout(CONNECT)
            .read_timeout(PIECE)
            .timeout(WHOLE)
            .user_agent(concat!("secretctl-sync/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| object_store::Error::Generic { store: "HTTP", source: Box::new(error) })?;
        Ok(HttpClient::new(Line { client, connector: self.clone() }))
    }
}

#[derive(Debug)]
struct Line {
    client: Client,
    connector: Connector,
}

#[async_trait]
impl HttpService for Line {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let seen = &self.connector.seen;
        seen.requests.fetch_add(1, Ordering::Relaxed);
        if seen.is_spent() {
            return Err(HttpError::new(HttpErrorKind::Unknown, Bounded));
        }
        let is_tree = request.method().as_str() == "PROPFIND";
        let has_body = request.method() != Method::HEAD;
        let is_local_service = is_of_the_machine(request.uri().host());
        if let Some(value) = &self.connector.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let response = match self.client.call(request).await {
            Ok(response) => response,
            Err(error) => {
                let flag = if is_local_service { &seen.no_credential } else { &seen.silent };
                flag.store(true, Ordering::Relaxed);
                return Err(error);
            }
        };
        let (parts, body) = response.into_parts();
        if let Some(date) = parts.headers.get(DATE).and_then(time) {
            seen.note(|notes| notes.date = Some((date, Timestamp::now())));
        }
        if parts.status.is_success() {
            let most = if is_tree { MOST_IN_TREE } else { MOST_IN_ANSWER };
            let told =
                parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            if has_body && told.is_some_and(|told: usize| told > most) {
                return Err(HttpError::new(HttpErrorKind::Unknown, Bounded));
            }
            let limited =
                Limited::new(body, most).map_err(|error| HttpError::new_boxed(HttpErrorKind::Unknown, error));
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(limited)));
        }
        let text = match Limited::new(body, MOST_IN_REFUSAL).collect().await {
            Ok(text) => text.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let refusal = (parts.status.as_u16(), code(&text));
        if is_local_service {
            seen.no_credential.store(true, Ordering::Relaxed);
        } else {
            seen.note(|notes| notes.refusal = Some(refusal));
        }
        let body = Full::new(text).map_err(|never| match never {});
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// More than a store may send.
#[derive(Debug, thiserror::Error)]
#[error("more than a store may send")]
struct Bounded;

/// The services that clouds give their machines, for credentials.
fn is_of_the_machine(host: Option<&str>) -> bool {
    host.is_some_and(|host| {
        host.starts_with("169.254.") || host == "metadata.google.internal" || host == "metadata"
    })
}

/// A time as HTTP has it (RFC 9110, 5.6.7).
fn time(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

/// The code in a refusal of S3's form, if it is one: letters alone, so that nothing of the store's choice is shown.
fn code(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let code =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let is_code =
        |code: &&str| (1..=48).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    code.filter(is_code).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_letters() {
        assert_eq!(code(b"<Error><Code>SlowDown</Code></Error>"), "SlowDown");
        for none in ["", "<Code></Code>", "<Code>a\x1b[0m</Code>", "<Code>two words</Code>", "<Code>x"] {
            assert_eq!(code(none.as_bytes()), "");
        }
    }

    #[test]
    fn a_time_of_http_is_read() {
        let value = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(time(&value).unwrap().to_string(), "1994-11-06T08:49:37Z");
    }
}
