//! The messages of cargo's credential provider protocol, version 1.

use secrets_proto::SensitiveString;
use serde::{Deserialize, Serialize};

/// What cargo sends.
#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) v: u32,
    pub(super) registry: Registry,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) token: Option<SensitiveString>,
    #[serde(default)]
    pub(super) args: Vec<SensitiveString>,
}

/// The registry that it is about.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Registry {
    pub(super) index_url: String,
    #[serde(default)]
    pub(super) name: Option<String>,
}

/// The versions that are spoken here.
#[derive(Serialize)]
pub(super) struct Hello {
    pub(super) v: [u32; 1],
}

/// What cargo gets for each request.
#[derive(Serialize)]
pub(super) enum Reply<'a> {
    Ok(Answer<'a>),
    Err(Problem<'a>),
}

/// What was done.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Answer<'a> {
    Get {
        token: &'a str,
        #[serde(flatten)]
        cache: Cache,
        operation_independent: bool,
    },
    Login,
    Logout,
}

/// How long cargo may keep a token.
#[derive(Serialize)]
#[serde(tag = "cache", rename_all = "kebab-case")]
pub(super) enum Cache {
    Session,
    Expires { expiration: i64 },
}

/// What is wrong, as cargo knows it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Problem<'a> {
    NotFound,
    OperationNotSupported,
    #[serde(rename_all = "kebab-case")]
    Other {
        message: &'a str,
        caused_by: [&'a str; 0],
    },
}
