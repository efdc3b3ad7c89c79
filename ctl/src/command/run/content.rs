//! What a variable or a file of `run` holds.

use secrets_proto::SecretValue;
use zeroize::Zeroizing;

/// A value: as the vault has it, or as it was decoded, composed or set elsewhere, which may be no text.
pub(super) enum Content {
    Stored(SecretValue),
    Made(Zeroizing<Vec<u8>>),
}

impl Content {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Stored(value) => value.expose().as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }

    /// Its bytes, for who keeps them.
    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Stored(value) => Zeroizing::new(value.expose().as_bytes().to_vec()),
            Self::Made(bytes) => bytes,
        }
    }

    /// Its text, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()).ok()
    }
}

impl From<SecretValue> for Content {
    fn from(value: SecretValue) -> Self {
        Self::Stored(value)
    }
}
