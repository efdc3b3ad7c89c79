//! WebSockets (RFC 6455) on their way back: frames of a host, without the values that the first request carried. What the
//! program says passes as it is.

use std::io;
use std::sync::Arc;

use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use secrets_scrub::{Forms, Masker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};

use crate::sought::Sought;

/// Extensions change what a frame holds: compressed, nothing can be found in it.
pub(crate) const EXTENSIONS: HeaderName = HeaderName::from_static("sec-websocket-extensions");

/// As much is read at once.
const PIECE: usize = 16 << 10;

/// The headers by which a WebSocket is asked for and agreed, which go one step only.
pub(crate) fn agree(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Lets a WebSocket pass in both directions until both have ended.
pub(crate) async fn pass(
    program: impl AsyncRead + AsyncWrite,
    host: impl AsyncRead + AsyncWrite,
    sought: Option<Arc<Sought>>,
) -> io::Result<()> {
    let (mut from_program, mut to_program) = tokio::io::split(program);
    let (mut from_host, mut to_host) = tokio::io::split(host);
    let there = async {
        copy(&mut from_program, &mut to_host).await?;
        to_host.shutdown().await
    };
    let back = async {
        match sought {
            None => drop(copy(&mut from_host, &mut to_program).await?),
            Some(sought) => scrub(&mut from_host, &mut to_program, Frames::new(sought)).await?,
        }
        to_program.shutdown().await
    };
    tokio::try_join!(there, back).map(drop)
}

async fn scrub(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut frames: Frames,
) -> io::Result<()> {
    let (mut read, mut clean) = (vec![0; PIECE], Vec::with_capacity(PIECE));
    loop {
        let count = from.read(&mut read).await?;
        if count == 0 {
            return Ok(());
        }
        clean.clear();
        let outcome = frames.push(read.get(..count).unwrap_or_default(), &mut clean);
        to.write_all(&clean).await?;
        to.flush().await?;
        outcome.map_err(|Malformed| io::Error::new(io::ErrorKind::InvalidData, "a frame is malformed"))?;
    }
}

/// That what comes is no frame which a host may send without extensions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a host's frames and takes values out of their payloads. Lengths stay as they are. Of a value that is split over
/// frames only what is in the later ones is taken out: a frame is not held back for the next one.
pub(crate) struct Frames {
    sought: Arc<Sought>,
    /// That of the message under way.
    message: Option<Masker<Arc<Forms>>>,
    /// That of the control frame under way, which may stand between those of a message.
    control: Option<Masker<Arc<Forms>>>,
    /// What there is of a frame's head.
    head: Vec<u8>,
    /// How much of a frame's payload is to come; `None` while its head is not whole.
    left: Option<u64>,
    /// Whether this frame is its message's last.
    is_last: bool,
}

impl Frames {
    /// Takes these values out.
    pub(crate) const fn new(sought: Arc<Sought>) -> Self {
        Self { sought, message: None, control: None, head: Vec::new(), left: None, is_last: false }
    }

    /// Takes what has come, and adds what may be shown.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while let Some((first, rest)) = bytes.split_first() {
            let left = match self.left {
                None => {
                    self.head.push(*first);
                    bytes = rest;
                    match self.begin()? {
                        None => continue,
                        Some(length) => {
                            out.append(&mut self.head);
                            length
                        }
                    }
                }
                Some(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (piece, rest) = bytes.split_at(count);
                    bytes = rest;
                    if let Some(masker) = self.control.as_mut().or(self.message.as_mut()) {
                        masker.push(piece, out);
                    }
                    left - count as u64
                }
            };
            self.left = Some(left);
            if left == 0 {
                self.end(out);
            }
        }
        Ok(())
    }

    /// The payload's length, if the head is whole (RFC 6455, section 5.2).
    fn begin(&mut self) -> Result<Option<u64>, Malformed> {
        let [first, second, extended @ ..] = self.head.as_slice() else { return Ok(None) };
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode >= 8;
        // Bits that extensions alone use, and a mask, which hosts must not use.
        if first & 0x70 != 0 || second & 0x80 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return Err(Malformed);
        }
        let length = match (second & 0x7f, extended) {
            (126, [high, low]) => u64::from(u16::from_be_bytes([*high, *low])),
            (127, extended) if extended.len() == 8 => {
                extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => u64::from(length),
        };
        if (is_control && (!is_last || length > 125)) || length > i64::MAX as u64 {
            return Err(Malformed);
        }
        // A message goes on, or a new one begins, but not within another.
        if !is_control && (opcode == 0) != self.message.is_some() {
            return Err(Malformed);
        }
        self.is_last = is_last;
        let masker = || self.sought.masker();
        if is_control {
            self.control = Some(masker());
        } else if opcode != 0 {
            self.message = Some(masker());
        }
        Ok(Some(length))
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.left = None;
        if let Some(mut masker) = self.control.take() {
            masker.finish(out);
        } else if self.is_last {
            if let Some(mut masker) = self.message.take() {
                masker.finish(out);
            }
        } else if let Some(masker) = &mut self.message {
            masker.release(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "canary-value-0123";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..=65_535 => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    fn clean(bytes: &[u8], cut: usize) -> Result<Vec<u8>, Malformed> {
        let sought = Sought::new([VALUE].into_iter()).shown_as("placeholder".to_owned());
        let (mut frames, mut out) = (Frames::new(Arc::new(sought)), Vec::new());
        for piece in bytes.chunks(cut) {
            frames.push(piece, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn payloads_lose_values_and_keep_their_length() {
        let masked = "placeholder******";
        let long = "x".repeat(200);
        let longer = "x".repeat(70_000);
        for (first, payload) in [
            (0x81, format!("a {VALUE} b")),
            (0x82, VALUE.to_owned()),
            (0x81, format!("{long}{VALUE}")),
            (0x82, format!("{longer}{VALUE}{longer}")),
            (0x8a, VALUE.to_owned()),
            (0x88, format!("\u{3}x{VALUE}")),
            (0x81, String::new()),
            // What may be the beginning of a value is not held back.
            (0x81, VALUE[..8].to_owned()),
        ] {
            let sent = [frame(first, payload.as_bytes()), frame(0x81, b"next")].concat();
            let expected =
                [frame(first, payload.replace(VALUE, masked).as_bytes()), frame(0x81, b"next")].concat();
            for cut in [1, 7, 100_000] {
                assert_eq!(clean(&sent, cut).as_ref(), Ok(&expected));
            }
        }
    }

    #[test]
    fn a_ping_between_the_parts_of_a_message_changes_nothing() {
        let parts = [frame(0x01, b"a canary-va"), frame(0x89, VALUE.as_bytes()), frame(0x80, b"lue-0123 b")];
        let out = clean(&parts.concat(), 1_000).unwrap();
        assert_eq!(out.len(), parts.concat().len());
        let text = String::from_utf8_lossy(&out);
        assert!(!text.contains("lue-0123") && text.ends_with("er****** b"), "{text}");
    }

    #[test]
    fn what_is_no_frame_of_a_host_ends_it() {
        for bad in [
            &[0xc1, 1, b'x'][..],
            &[0x81, 0x81, 0, 0, 0, 0, b'x'],
            &[0x83, 0],
            &[0x8b, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            &[0x80, 0],
            &[0x01, 0, 0x81, 0],
            &[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(clean(bad, 1_000), Err(Malformed), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn where_it_is_cut_changes_nothing(
            frames in proptest::collection::vec((prop_oneof![Just(0x81_u8), Just(0x82), Just(0x89)], "(x|canary-value-0123){0,7}"), 0..6),
            cut in 1_usize..40,
        ) {
            let sent = frames.iter().map(|(first, payload)| frame(*first, payload.as_bytes())).collect::<Vec<_>>().concat();
            let out = clean(&sent, cut).unwrap();
            prop_assert_eq!(out.len(), sent.len());
            prop_assert_eq!(Some(out), clean(&sent, sent.len().max(1)).ok());
        }
    }
}
