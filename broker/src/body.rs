//! Bodies of answers on their way to the program: the broker's own, those that pass as they are, and those from which values
//! are taken out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use secrets_scrub::{Forms, Masker};
use tokio::time::{Sleep, sleep};

use crate::coding::{Coding, Decoder};
use crate::sought::Sought;
use crate::step;

/// Says that the answer is the broker's: the secret and the number of its rule, as `NAME/2`, or `-`.
pub(crate) const DENIED: HeaderName = HeaderName::from_static("x-secretsd-denied");

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(600);

/// As much of a compressed body is decoded at once: it may be a thousand times as long then (RFC 1951 allows 1032).
const PIECE: usize = 64;

/// As much of what was decoded goes on at once, and one piece more.
const ENOUGH: usize = 64 << 10;

/// The body of an answer.
pub(crate) enum Body {
    /// The broker's own.
    Full(Option<Bytes>),
    /// The host's, as it comes.
    Passed(Patient),
    /// Without the values that its request carried.
    Scrubbed(Box<Scrubbed>),
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the host ended the connection")]
    Host(#[from] hyper::Error),
    #[error("the host was silent for too long")]
    Silent,
    #[error("the body is not compressed as its head says")]
    Coding(#[source] io::Error),
}

impl Body {
    /// All of it at once.
    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes))
    }

    /// None at all.
    pub(crate) const fn none() -> Self {
        Self::Full(None)
    }

    /// What comes from a host, as it is.
    pub(crate) fn passed(incoming: Incoming) -> Self {
        Self::Passed(Patient::new(incoming))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed(body) => body.poll(context),
            Self::Scrubbed(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Passed(body) => body.incoming.is_end_stream(),
            Self::Scrubbed(body) => body.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passed(body) => body.incoming.size_hint(),
            Self::Scrubbed(body) if body.decoder.is_none() => body.body.incoming.size_hint(),
            Self::Scrubbed(_) => SizeHint::default(),
        }
    }
}

/// What comes from a host, until it is silent for too long.
pub(crate) struct Patient {
    incoming: Incoming,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(incoming: Incoming) -> Self {
        Self { incoming, deadline: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.deadline = None;
            return Poll::Ready(frame.map(|frame| frame.map(not_ours).map_err(Error::from)));
        }
        // Most frames are there at once, and need no clock.
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(SILENCE)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::Silent)))
    }
}

/// What comes from a host, decompressed, without the values.
pub(crate) struct Scrubbed {
    body: Patient,
    sought: Arc<Sought>,
    masker: Masker<Arc<Forms>>,
    decoder: Option<Decoder>,
    /// Compressed bytes that wait.
    waiting: Bytes,
    /// Whether each event is to be shown when it is there (`text/event-stream`).
    by_event: bool,
    /// What ends an answer of several parts, until the rest is out.
    trailers: Option<HeaderMap>,
    is_over: bool,
}

impl Scrubbed {
    /// Takes these values out of what comes.
    pub(crate) fn new(
        incoming: Incoming,
        sought: Arc<Sought>,
        coding: Option<Coding>,
        by_event: bool,
    ) -> Self {
        Self {
            body: Patient::new(incoming),
            masker: sought.masker(),
            sought,
            decoder: coding.map(Decoder::new),
            waiting: Bytes::new(),
            by_event,
            trailers: None,
            is_over: false,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.is_over {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let mut out = Vec::new();
            if self.waiting.has_remaining() {
                if let Err(error) = self.decode(&mut out) {
                    return Poll::Ready(Some(Err(Error::Coding(error))));
                }
            } else {
                match ready!(self.body.poll(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if self.decoder.is_some() => {
                            self.waiting = data;
                            continue;
                        }
                        // Mostly all there is comes at once.
                        Ok(data) if self.body.incoming.is_end_stream() => {
                            self.is_over = true;
                            if self.masker.passes_last(&data) {
                                return Poll::Ready(Some(Ok(Frame::data(data))));
                            }
                            out.reserve(data.len() + self.masker.holds());
                            self.masker.push_last(&data, &mut out);
                        }
                        Ok(data) => self.scrub(&data, &mut out),
                        Err(frame) => {
                            if let Ok(mut trailers) = frame.into_trailers() {
                                scrub_headers(&mut trailers, &self.sought);
                                self.trailers = Some(trailers);
                            }
                            self.end(&mut out)?;
                        }
                    },
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => self.end(&mut out)?,
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
            }
        }
    }

    /// Decodes of what waits as much as may be held at once.
    fn decode(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut plain = Vec::new();
        while self.waiting.has_remaining() && plain.len() < ENOUGH {
            let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
            match &mut self.decoder {
                Some(decoder) => plain.append(&mut decoder.decode(&piece)?),
                None => plain.extend_from_slice(&piece),
            }
        }
        self.scrub(&plain, out);
        Ok(())
    }

    fn scrub(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        out.reserve(plain.len() + self.masker.holds());
        self.masker.push(plain, out);
        // An event is over: nobody is to wait for the next one.
        if self.by_event
            && (plain.ends_with(b"\n\n") || plain.ends_with(b"\r\n\r\n") || plain.ends_with(b"\r\r"))
        {
            self.masker.release(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.is_over = true;
        if let Some(decoder) = &mut self.decoder {
            let rest = decoder.finish().map_err(Error::Coding)?;
            self.masker.push(&rest, out);
        }
        self.masker.finish(out);
        Ok(())
    }
}

/// A host does not say at the end either that an answer is the broker's, nor how the answer travels, of which the head says
/// all there is.
fn not_ours(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        step::keep_end_to_end(trailers);
        trailers.remove(CONTENT_LENGTH);
        trailers.remove(DENIED);
    }
    frame
}

/// Takes the values out of headers, all of them at once. One that has a value in its name goes as a whole.
pub(crate) fn scrub_headers(headers: &mut HeaderMap, sought: &Sought) {
    let all: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    if sought.is_in_name(&all.join("\0")) {
        let is_named = |name: &&HeaderName| sought.is_in_name(name.as_str());
        let named: Vec<HeaderName> = headers.keys().filter(is_named).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
    let mut text = Vec::with_capacity(1_024);
    for value in headers.values() {
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    if !sought.may_be_in(&text) {
        return;
    }
    let mut clean = Vec::with_capacity(text.len());
    sought.masker().push_last(&text, &mut clean);
    if clean == text {
        return;
    }
    let mut rest = clean.as_slice();
    for value in headers.values_mut() {
        let (own, more) = rest.split_at(value.len().min(rest.len()));
        if own != value.as_bytes() {
            *value = HeaderValue::from_bytes(own).unwrap_or(HeaderValue::from_static("-"));
        }
        rest = more.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_lose_values_and_keep_their_length() {
        let sought = Sought::new(["canary-value-1"].into_iter()).shown_as("placeholder".to_owned());
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", HeaderValue::from_static("a canary-value-1 b"));
        headers.insert("x-other", HeaderValue::from_static("c"));
        headers.append("x-echo", HeaderValue::from_static("canary-value-1"));
        headers.insert("x-last", HeaderValue::from_static("canary-value-"));
        scrub_headers(&mut headers, &sought);
        assert_eq!(headers["x-echo"], "a placeholder*** b");
        assert_eq!(headers["x-other"], "c");
        assert_eq!(headers.get_all("x-echo").iter().next_back().unwrap(), "placeholder***");
        assert_eq!(headers["x-last"], "canary-value-");
    }

    #[test]
    fn a_piece_of_what_is_compressed_makes_no_more_than_a_little() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'A'; 8 << 20]).unwrap();
        let mut decoder = Decoder::new(Coding::Gzip);
        for piece in encoder.finish().unwrap().chunks(PIECE) {
            assert!(decoder.decode(piece).unwrap().len() <= 2 * ENOUGH);
        }
    }

    #[test]
    fn a_header_with_a_value_in_its_name_goes() {
        let sought = Sought::new(["Canary+Value-123"].into_iter());
        for name in [
            "x-Canary+Value-123-y",
            "x-CANARY+VALUE-123",
            "x-43616E6172792B56616C75652D313233",
            "x-Q2FuYXJ5K1ZhbHVlLTEyMw",
            "Q2FuYXJ5K1ZhbHVlLTEyMw",
            "YUNhbmFyeStWYWx1ZS0xMjM",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("1"));
            headers.insert("x-other", HeaderValue::from_static("c"));
            scrub_headers(&mut headers, &sought);
            assert_eq!(headers.len(), 1, "{name}");
        }
    }
}
