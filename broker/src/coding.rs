//! Bodies that come compressed though nobody asked for it.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls deflate, or RFC 1951, which some hosts do.
    Deflate,
}

/// Decodes a body as it comes.
pub(crate) enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
    /// Which of the two the first byte tells.
    Unknown,
}

impl Decoder {
    /// Begins a body that is compressed like this.
    pub(crate) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(Vec::new())),
            Coding::Deflate => Self::Unknown,
        }
    }

    /// Decodes a piece and gives what there is of it.
    pub(crate) fn decode(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        if let (Self::Unknown, Some(first)) = (&self, piece.first()) {
            // The method is deflate, and the window has a size that there is (RFC 1950, section 2.2).
            let is_zlib = first & 0x0f == 8 && first >> 4 <= 7;
            *self = if is_zlib {
                Self::Zlib(ZlibDecoder::new(Vec::new()))
            } else {
                Self::Deflate(DeflateDecoder::new(Vec::new()))
            };
        }
        match self {
            Self::Gzip(decoder) => decoder.write_all(piece).map(|()| std::mem::take(decoder.get_mut())),
            Self::Zlib(decoder) => decoder.write_all(piece).map(|()| std::mem::take(decoder.get_mut())),
            Self::Deflate(decoder) => decoder.write_all(piece).map(|()| std::mem::take(decoder.get_mut())),
            Self::Unknown => Ok(Vec::new()),
        }
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())),
            Self::Zlib(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())),
            Self::Deflate(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())),
            Self::Unknown => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(coding: Coding, raw: bool, text: &[u8]) -> Vec<u8> {
        use flate2::Compression;
        use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
        let level = Compression::default();
        match (coding, raw) {
            (Coding::Gzip, _) => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            (Coding::Deflate, false) => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            (Coding::Deflate, true) => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn compressed_bodies_are_read_byte_by_byte() {
        let text: Vec<u8> = (0..10_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
        for (coding, raw) in [(Coding::Gzip, false), (Coding::Deflate, false), (Coding::Deflate, true)] {
            let (mut decoder, mut plain) = (Decoder::new(coding), Vec::new());
            for byte in compressed(coding, raw, &text) {
                plain.extend(decoder.decode(&[byte]).unwrap());
            }
            plain.extend(decoder.finish().unwrap());
            assert_eq!(plain, text, "{coding:?} {raw}");
        }
        assert!(Decoder::new(Coding::Gzip).decode(b"no gzip at all, as one can see").is_err());
    }
}
