//! What a broker makes before it knows its session, while its launcher begins that: what it trusts, and its keys.

use rustls::pki_types::CertificateDer;

use crate::certificate::{self, Keys, pem};
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
        let roots: Vec<CertificateDer<'static>> = upstream::roots().map_err(Error::Roots)?;
        // A half more in base64, with its lines.
        let length = roots.iter().map(|root| root.len() * 3 / 2 + 64).sum();
        let mut authorities = String::with_capacity(length);
        roots.iter().for_each(|root| authorities.push_str(&pem(root)));
        Ok(Self { authorities, upstream: Upstream::new(roots), keys: Keys::new()? })
    }
}
