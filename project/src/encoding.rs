//! How a value is stored: as it is, or as letters that stand for its bytes (RFC 4648). The vault's values are text, so
//! a certificate in DER or a random key is stored encoded, and decoded on its way to a program.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base 64; written with padding, read with or without.
    Base64,
    /// Base 64 for URLs and file names; written without padding, read with or without.
    Base64Url,
    /// Base 16; written in lower case, read in any.
    Hex,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Base64, Self::Base64Url, Self::Hex];

    /// What a manifest calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Hex => "hex",
        }
    }

    /// The bytes as text.
    pub fn encode(self, bytes: &[u8]) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => BASE64URL_NOPAD.encode(bytes),
            Self::Hex => HEXLOWER.encode(bytes),
        })
    }

    /// The bytes that a text stands for; nothing if it stands for none. One line end behind it does not count: tools that
    /// encode leave it there.
    pub fn decode(self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        let text = text.as_bytes();
        let either = |padded: data_encoding::Encoding, bare: data_encoding::Encoding| {
            padded
                .decode(text)
                .or_else(|wrong| if text.contains(&b'=') { Err(wrong) } else { bare.decode(text) })
        };
        let bytes = match self {
            Self::Base64 => either(BASE64, BASE64_NOPAD),
            Self::Base64Url => either(BASE64URL, BASE64URL_NOPAD),
            Self::Hex => HEXLOWER_PERMISSIVE.decode(text),
        };
        bytes.ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for encoding in Encoding::ALL {
            for bytes in [&b""[..], b"\xff\xfb\xef", b"a", b"ab"] {
                assert_eq!(*encoding.decode(&encoding.encode(bytes)).unwrap(), bytes, "{encoding:?}");
            }
        }
    }

    #[test]
    fn padding_case_and_one_line_end_do_not_matter() {
        for (encoding, text) in [
            (Encoding::Base64, "/+8="),
            (Encoding::Base64, "/+8"),
            (Encoding::Base64, "/+8=\n"),
            (Encoding::Base64Url, "_-8="),
            (Encoding::Base64Url, "_-8\r\n"),
            (Encoding::Hex, "FfeF"),
        ] {
            assert_eq!(*encoding.decode(text).unwrap(), [0xff, 0xef], "{text}");
        }
        for (encoding, text) in [
            (Encoding::Base64, "_-8="),
            (Encoding::Base64, "/+8=\n\n"),
            (Encoding::Base64, "/+8=="),
            (Encoding::Base64, "/+ 8"),
            (Encoding::Hex, "fff"),
            (Encoding::Hex, "zz"),
        ] {
            assert!(encoding.decode(text).is_none(), "{text}");
        }
    }
}
