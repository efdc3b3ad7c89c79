//! What a broker makes before it knows its session, while its launcher begins that: what it trusts, and its keys.

use crate::authorities::{self, Authorities};
use crate::certificate::{self, Keys};
use crate::upstream::{self, Upstream};

/// What is ready.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Checks hosts against the machine's authorities.
    pub(crate) upstream: Upstream,
    /// Those, in PEM.
    pub(crate) authorities: String,
    /// The keys of the session's own authority.
    pub(crate) keys: Keys,
}

/// Why nothing is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Roots(&'static str),
    #[error(transparent)]
    Keys(#[from] certificate::Error),
}

impl Ready {
    /// Reads the machine's authorities, and makes keys.
    pub(crate) fn new() -> Result<Self, Error> {
        upstream::use_ring();
        let Authorities { certificates, pem } = authorities::find().map_err(Error::Roots)?;
        Ok(Self { authorities: pem, upstream: Upstream::new(certificates), keys: Keys::new()? })
    }
}
