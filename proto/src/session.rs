//! Sessions: a program has values put into its requests that it never sees. Beginning one, and what is asked for in it by
//! what puts the values there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::reveal::{Purpose, Remark};
use crate::rule::{Host, Method, RequestPath, Rule, Site};
use crate::{SecretName, SecretValue, SensitiveString, Timestamp};

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
    /// Whether secrets without a rule are taken, too: their values are put nowhere, and what the program asks for shows which
    /// rules it needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learn: bool,
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
    /// The secret's name.
    pub name: SecretName,
    /// What the program gets in place of the value. It looks like one, and is no secret.
    pub placeholder: String,
    /// Where the value may be used, in the order in which the rules are tried.
    pub rules: Vec<Rule>,
}

/// A request that a value is to be put into, or was not put into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The request's method.
    pub method: Method,
    /// The host that it goes to.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The request's path, without query.
    pub path: RequestPath,
}

/// Body of `POST /use/take`, on the socket of its own: the value of a secret, to be put into this request now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeRequest {
    /// The secret.
    pub secret: SecretName,
    /// The request.
    #[serde(flatten)]
    pub wanted: Use,
    /// Where the placeholder was found: the rule is one for this site. Absent: the first for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Whether a [`Lease`] is wanted. Who has asked for one returns it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lease: bool,
}

/// Answer of `POST /use/take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeReply {
    /// The rule that allows it, by its number from 1 on.
    pub rule: usize,
    /// Where the value goes.
    pub site: Site,
    /// Whether the host may have an address that is not public.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// The value.
    pub value: SecretValue,
    /// For how long requests of the same method, host, port, path and site may have the value without asking again, if a
    /// lease was wanted and is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// A value may be put into more requests of one kind, for a moment. What would forbid them waits until the lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The lease's id, by which it is returned.
    pub id: Uuid,
    /// For how many milliseconds, counted from before the value was asked for.
    pub milliseconds: u64,
    /// Into how many requests at most, with the one that it was taken for.
    pub uses: u64,
}

/// Body of `POST /use/returns`, on the socket of its own: a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedLease {
    /// The lease.
    pub id: Uuid,
    /// Into how many requests the value was put, with the one that it was taken for.
    pub uses: u64,
}

/// A request that got no value, as far as it can be told: no rule need be possible for its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRequest {
    /// The request's method; `OTHER` for one that is not in upper case.
    pub method: Method,
    /// The host that it goes to: a name or an address.
    pub host: AnyHost,
    /// The port.
    pub port: u16,
    /// The request's path, without query; cut before what no path has.
    pub path: RequestPath,
}

impl RefusedRequest {
    /// Tells of a request with this method, host, port and path. Gives `None` if the host is not even like a name or an
    /// address.
    pub fn new(method: &str, host: &str, port: u16, path: &str) -> Option<Self> {
        let method = Method::parse(method).or_else(|_| Method::parse("OTHER")).ok()?;
        let sound = |byte: &u8| byte.is_ascii_graphic() && !b"?#".contains(byte);
        let end = path.bytes().take(RequestPath::MAX).take_while(sound).count();
        let path = RequestPath::parse(path.get(..end)?).or_else(|_| RequestPath::parse("/")).ok()?;
        Some(Self { method, host: AnyHost::parse(host).ok()?, port, path })
    }
}

/// A host as a program names it: a name, with underscores and a dot at its end or not, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnyHost(String);

impl AnyHost {
    /// Checks a host: 1 to 253 letters, digits, dots, dashes, underscores and colons.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if text.is_empty() || text.len() > 253 || !text.bytes().all(sound) {
            return Err(Invalid::new(
                FieldErrorType::StringPatternMismatch,
                "a host is a name or an address of at most 253 characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for AnyHost {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<AnyHost> for String {
    fn from(host: AnyHost) -> Self {
        host.0
    }
}

impl std::fmt::Display for AnyHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// Body of `POST /use/refusals`, on the socket of its own: a request that got no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedUse {
    /// The secret, if it is known which was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// The request.
    #[serde(flatten)]
    pub refused: RefusedRequest,
    /// Why.
    pub why: WhyRefused,
}

/// Why a request got no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyRefused {
    /// The request names another host than the one that the connection is for.
    HostMismatch,
    /// The path can be read in two ways.
    AmbiguousPath,
    /// The request can be read in two ways.
    Smuggling,
    /// The placeholder is of a session that has ended.
    PlaceholderEnded,
    /// No rule is for the host.
    HostNotAllowed,
    /// No rule is for the method and path.
    RuleMismatch,
    /// The placeholder is not where a rule puts the value.
    PlaceholderMisplaced,
    /// The placeholder is there more than once.
    PlaceholderRepeated,
    /// The body is none in which a field can be found: of another kind, too long, compressed, or malformed.
    BodyForm,
    /// The request is signed in a way in which it cannot be signed again, or not by this session's key.
    SignatureForm,
    /// The request would go without TLS.
    PlainHttp,
    /// The host has an address that is not public.
    PrivateAddress,
}

impl WhyRefused {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::HostMismatch,
        Self::AmbiguousPath,
        Self::Smuggling,
        Self::PlaceholderEnded,
        Self::HostNotAllowed,
        Self::RuleMismatch,
        Self::PlaceholderMisplaced,
        Self::PlaceholderRepeated,
        Self::BodyForm,
        Self::SignatureForm,
        Self::PlainHttp,
        Self::PrivateAddress,
    ];

    /// Reads a reason's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|why| why.as_str() == text);
        found.ok_or(Invalid::new(FieldErrorType::Enum, "this is no reason why a request got no value"))
    }

    /// The reason's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostMismatch => "host_mismatch",
            Self::AmbiguousPath => "ambiguous_path",
            Self::Smuggling => "smuggling",
            Self::PlaceholderEnded => "placeholder_ended",
            Self::HostNotAllowed => "host_not_allowed",
            Self::RuleMismatch => "rule_mismatch",
            Self::PlaceholderMisplaced => "placeholder_misplaced",
            Self::PlaceholderRepeated => "placeholder_repeated",
            Self::BodyForm => "body_form",
            Self::SignatureForm => "signature_form",
            Self::PlainHttp => "plain_http",
            Self::PrivateAddress => "private_address",
        }
    }
}
