//! Sessions: a program has values put into its requests that it never sees. Beginning and ending one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reveal::{Purpose, Remark};
use crate::rule::Rule;
use crate::{SecretName, SensitiveString, Timestamp};

/// Body of `POST /use/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct BeginSession {
    /// The secrets whose values are to be used, by name: 1–64.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 64)))]
    pub secrets: Vec<SecretName>,
    /// For how many seconds, 1 to seven days; absent or null is 12 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 604_800)))]
    pub ttl_seconds: Option<u64>,
    /// What for, in a word; goes to the audit log.
    pub purpose: Purpose,
    /// The program whose requests are meant (`argv[0]` alone, never its arguments).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Remark>,
}

impl BeginSession {
    /// The most secrets of a session.
    pub const MAX_SECRETS: usize = 64;
    /// How long a session lasts unless something else is said: 12 hours.
    pub const DEFAULT_TTL: u64 = 12 * 3_600;
    /// The longest time that can be asked for, seven days.
    pub const MAX_TTL: u64 = 7 * 86_400;
}

/// Answer of `POST /use/sessions`. There is no value in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Session {
    /// The session's id, which is that of its access token.
    pub id: Uuid,
    /// The access token that uses the values. Shown this once.
    pub token: SensitiveString,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The secrets, in the order in which they were asked for, each once.
    pub secrets: Vec<SessionSecret>,
}

/// A secret of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SessionSecret {
    /// Its name.
    pub name: SecretName,
    /// What the program gets in place of the value. It looks like one, and is no secret.
    pub placeholder: String,
    /// Where the value may be used, in the order in which the rules are tried.
    pub rules: Vec<Rule>,
}
