//! Where requests begin and end in the bytes of a connection, read beside hyper.
//!
//! hyper takes a request with both `Transfer-Encoding` and `Content-Length`, or with `Content-Length` twice, and hides
//! that from the service: by then one of them is gone. A proxy before us could have believed the other one. So the
//! bytes are watched on their way in, and a connection on which such a request appears is never served again. A
//! reading that differs from hyper's can only end in that, too.
//!
//! What it buys: of eleven spellings that were tried, hyper alone refuses four and answers seven (both headers in either
//! order, a length that is there twice, an encoding before `chunked` in one line or two, a fragment, lines without a
//! carriage return). What it costs: about 720 of the 12,800 instructions that a request for a list of 100 takes, counted
//! by callgrind over 20,000 requests on one connection, three times.

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
    ambiguous: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Before a request, or in its request line and headers.
    #[default]
    Head,
    /// In a body, or in a chunk with its line break, with so many bytes to come.
    Skip { left: u64, then: Then },
    /// Before a chunk's size.
    ChunkSize,
    /// In the lines after the last chunk.
    Trailers,
    /// Where no part of a request can be told from another any more.
    Lost,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Head,
    ChunkSize,
}

/// What the lines of the present head said.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    lengths: u32,
    length: u64,
    encodings: u32,
}

/// What some bytes did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// A head came to its end.
    pub(super) head_ended: bool,
}

impl Framing {
    /// Whether a head has begun and not ended.
    pub(super) const fn in_head(&self) -> bool {
        matches!(self.state, State::Head) && (self.head.begun || !self.line.is_empty())
    }

    /// Whether a request was seen that can be read in two ways.
    pub(super) const fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Follows these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Step {
        let mut step = Step::default();
        while !bytes.is_empty() {
            match &mut self.state {
                State::Lost => break,
                State::Skip { left, then } => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= skipped as u64;
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    if *left == 0 {
                        self.state = match then {
                            Then::Head => State::Head,
                            Then::ChunkSize => State::ChunkSize,
                        };
                    }
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.line.extend_from_slice(bytes);
                        if self.line.len() > LONGEST {
                            self.lose();
                        }
                        break;
                    };
                    let (line, rest) = bytes.split_at(end);
                    bytes = rest.get(1..).unwrap_or_default();
                    if self.line.is_empty() {
                        step.head_ended |= self.line_ended(line);
                    } else {
                        let mut whole = std::mem::take(&mut self.line);
                        whole.extend_from_slice(line);
                        step.head_ended |= self.line_ended(&whole);
                    }
                }
            }
        }
        step
    }

    /// Follows one line; says whether it ended a head.
    fn line_ended(&mut self, line: &[u8]) -> bool {
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            // hyper takes a line feed alone for the end of a line; others take it for a part of it.
            None => {
                self.ambiguous = true;
                line
            }
        };
        match self.state {
            State::Head if line.is_empty() && !self.head.begun => false,
            State::Head if line.is_empty() => {
                self.head_ended();
                true
            }
            State::Head => {
                self.head.line(line, &mut self.ambiguous);
                false
            }
            State::ChunkSize => {
                self.chunk(line);
                false
            }
            State::Trailers => {
                if line.is_empty() {
                    self.state = State::Head;
                }
                false
            }
            State::Skip { .. } | State::Lost => false,
        }
    }

    fn head_ended(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.ambiguous |= head.lengths + head.encodings > 1;
        self.state = match (head.encodings, head.length) {
            (0, 0) => State::Head,
            (0, left) => State::Skip { left, then: Then::Head },
            _ => State::ChunkSize,
        };
    }

    fn chunk(&mut self, line: &[u8]) {
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().filter(|text| !text.starts_with('+'));
        match size.and_then(|text| u64::from_str_radix(text, 16).ok()) {
            Some(0) => self.state = State::Trailers,
            // Its data and the line break after it.
            Some(size) => self.state = State::Skip { left: size.saturating_add(2), then: Then::ChunkSize },
            None => self.lose(),
        }
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.ambiguous = true;
        self.line = Vec::new();
    }
}

impl Head {
    fn line(&mut self, line: &[u8], ambiguous: &mut bool) {
        if !self.begun {
            // A target with a fragment: hyper cuts it off, others take it for a part of the path.
            *ambiguous |= memchr::memchr(b'#', line).is_some();
            self.begun = true;
            return;
        }
        // Only these two letters begin a name that matters here.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings += 1;
            // hyper looks only whether the last one is chunked, and undoes none of the others.
            *ambiguous |= !value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            let digits = value.trim_ascii();
            let number =
                std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            match number.and_then(|text| text.parse().ok()) {
                Some(length) => self.length = length,
                None => *ambiguous = true,
            }
        }
    }
}

/// Longer than any line that hyper takes.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the bytes at once and one by one; both must find the same.
    fn read(bytes: &[u8]) -> (usize, bool, bool) {
        let mut slow = Framing::default();
        let heads = bytes.iter().filter(|byte| slow.read(&[**byte]).head_ended).count();
        let mut fast = Framing::default();
        assert_eq!(fast.read(bytes).head_ended, heads > 0);
        assert_eq!((fast.is_ambiguous(), fast.in_head()), (slow.is_ambiguous(), slow.in_head()));
        (heads, slow.is_ambiguous(), slow.in_head())
    }

    #[test]
    fn plain_requests_are_followed() {
        assert_eq!(read(b""), (0, false, false));
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost: x"), (0, false, true));
        assert_eq!(read(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"), (1, false, false));
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\nG"), (2, false, true));
        assert_eq!(read(b"GET / HTTP/1.1\nHost: x\n\nG"), (1, true, true));
    }

    #[test]
    fn bodies_are_not_taken_for_heads() {
        let body = b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let mut bytes = format!("POST / HTTP/1.1\r\ncontent-LENGTH:{}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(read(&bytes), (2, false, false));
        let mut bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        bytes.extend_from_slice(format!("{:x};x=y\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\nContent-Length: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(read(&bytes), (2, false, false));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_told() {
        for headers in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 1",
            "CONTENT-LENGTH: 1\r\nContent-Length: 2",
            "Transfer-Encoding: gzip\r\ntransfer-encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Content-Length: +1",
            "Content-Length: 1, 1",
            "Content-Length: 0x1",
        ] {
            let bytes = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
            assert!(read(bytes.as_bytes()).1, "{headers}");
        }
        assert!(read(b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n").1);
        assert!(!read(b"GET / HTTP/1.1\r\nCookie: #\r\n\r\n").1);
        assert!(read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").1);
    }
}
