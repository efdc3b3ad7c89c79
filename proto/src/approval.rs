//! Guarded secrets: who may have or change one is decided by a person. A request that no approval rule settles becomes an
//! ask, which waits for that person; to allow takes a proof, the passphrase or the recovery key, and to deny takes nothing.
//!
//! The rules here say who may ask ([`ApprovalRule`]); where a value may be put is said by [`rule`](crate::rule).

mod words;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::{FieldErrorType, Invalid};
use crate::item::NamedItem;
use crate::reveal::{Purpose, Remark};
use crate::vault::KeyKind;
use crate::{SecretName, Timestamp, UnitName};

pub use crate::proof::Proof;

/// The header in which a client says what it runs for, where the daemon cannot see it: form-encoded `program`, `script`,
/// `directory` and `command`, each an absolute path, at most [`CLIENT_HEADER_MAX`] bytes.
pub const CLIENT_HEADER: &str = "x-secretsd-client";

/// The most bytes of [`CLIENT_HEADER`].
pub const CLIENT_HEADER_MAX: usize = 2_048;

/// The header of a refusal that names the ask that waits for a person.
pub const APPROVAL_HEADER: &str = "x-secretsd-approval";

/// The most seconds that one request waits for a change: a day. Who waits for long is woken by the change alone.
pub const MAX_WAIT: u64 = 24 * 3_600;

/// The most seconds that something is allowed for by [`ApprovalScope::Time`].
pub const MAX_SECONDS: u64 = 8 * 3_600;

/// The most approval rules of a vault.
pub const MAX_RULES: usize = 1_000;

/// What a guarded secret is guarded against. None of them implies another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GuardedRight {
    /// The value is put into requests by the broker, and not seen.
    Use,
    /// The value leaves the daemon.
    Reveal,
    /// The secret is changed, renamed, deleted or taken back.
    Write,
    /// The vault is to be opened. No rule is about this, and no secret.
    Unlock,
}

impl GuardedRight {
    /// The rights that a rule can be about.
    pub const OF_SECRETS: [Self; 3] = [Self::Use, Self::Reveal, Self::Write];

    /// The right's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Reveal => "reveal",
            Self::Write => "write",
            Self::Unlock => "unlock",
        }
    }

    /// Reads the name of a right that a rule can be about.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::OF_SECRETS
            .into_iter()
            .find(|right| right.as_str() == text)
            .ok_or(Invalid::new(FieldErrorType::Enum, "expected use, reveal or write"))
    }
}

impl fmt::Display for GuardedRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Body of `PUT /user/secrets/{id}/guard`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct SetGuard {
    /// Whether the secret is to be guarded.
    pub guarded: bool,
    /// Needed to turn a guard off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Answer of `PUT /user/secrets/{id}/guard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Guard {
    /// Whether the secret is guarded now.
    pub guarded: bool,
    /// What else opens the vault and can be read by programs: who has that needs no approval.
    pub weakened_by: Vec<KeyKind>,
    /// The units that may load the secret all the same, because they were allowed to before.
    pub units: Vec<UnitName>,
    /// The other machines of the vault, by name: each has the secret, and on each its own passphrase decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
}

/// How an ask stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has answered yet.
    Pending,
    /// Allowed: the request is to be repeated.
    Allowed,
    /// Denied.
    Denied,
    /// Nobody has answered in time.
    Expired,
}

/// For how long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalScope {
    /// Allow one request of each process that waits.
    Once,
    /// Allow the same program in the asker's session.
    Session,
    /// Allow for some seconds.
    Time,
    /// Allow until the rule is removed.
    Always,
    /// Deny until the rule is removed.
    Never,
}

impl ApprovalScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Once, Self::Session, Self::Time, Self::Always, Self::Never];

    /// The scope's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Session => "session",
            Self::Time => "time",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Reads a scope's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(Invalid::new(FieldErrorType::Enum, "expected once, session, time, always or never"))
    }
}

/// Whether something is allowed or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
}

impl Effect {
    /// The effect's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// Reads an effect's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            _ => Err(Invalid::new(FieldErrorType::Enum, "expected allow or deny")),
        }
    }
}

/// Who has told a fact about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ToldBy {
    /// The kernel has.
    Kernel,
    /// The client itself has, in [`CLIENT_HEADER`].
    Client,
}

/// The terminal, or the service, in which a client runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ClientSession {
    /// Its pseudo terminal, like `pts/3`; none if the session is a service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The name of the process that leads it, or the service's control group.
    pub leader: String,
}

/// Who asks, as a person reads it: all of it is safe to print. What a rule can name is the token, which nobody has who
/// cannot read it; any program of the user can pass for another in all the rest but the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ApprovalClient {
    /// The name of the token that it shows; `owner` is the owner's.
    pub token: String,
    /// The process; 0 if it is not in the daemon's view.
    pub pid: i32,
    /// The names of the process and of those that started it, the nearest first, at most 9. No rule is about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<ClientSession>,
    /// The systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The program that runs the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The script that this program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The directory that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The program that will be started with the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Who has told each of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by: BTreeMap<String, ToldBy>,
}

/// Which clients a rule is about: those that are equal to it in all that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct ClientPattern {
    /// The name of the token; `owner` is the owner's, which must be narrowed by one of the others.
    pub token: String,
    /// The systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The program that runs the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The script that this program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The directory that it is in, or one above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The program that is started with the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What narrows the pattern that an ask offers. Each must be true of the client that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Narrowing {
    /// The systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The program that runs the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The script that this program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The directory that it is in, or one above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The program that is started with the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Narrowing {
    /// The most bytes of each of its texts.
    pub const MAX_TEXT: usize = 1_024;

    /// Checks a text of a pattern: what a path or a unit can be.
    pub fn text(text: String) -> Result<String, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new(FieldErrorType::StringTooShort, "this text has at least 1 byte"));
        }
        if text.len() > Self::MAX_TEXT {
            return Err(Invalid::new(FieldErrorType::StringTooLong, "this text has at most 1024 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(
                FieldErrorType::StringPatternMismatch,
                "this text has no control characters",
            ));
        }
        Ok(text)
    }
}

/// A request that waits for a person, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Approval {
    /// Its id.
    pub id: Uuid,
    /// How it stands.
    pub state: ApprovalState,
    /// When it was asked for first.
    pub created_at: Timestamp,
    /// When it goes without an answer.
    pub expires_at: Timestamp,
    /// How often it was asked for.
    pub count: u64,
    /// How many processes have asked for it, as far as they can be told apart. The scope `once` is for one of them alone: for
    /// the one that `client` describes.
    #[serde(default)]
    pub processes: usize,
    /// How many programs wait to answer asks.
    pub approvers: usize,
    /// What is asked for.
    pub right: GuardedRight,
    /// Of which guarded secrets; none for the right to unlock.
    pub secrets: Vec<SecretName>,
    /// Of which guarded items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<NamedItem>,
    /// What for, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Why, in the client's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Remark>,
    /// Who asks.
    pub client: ApprovalClient,
    /// The scopes that an answer can have.
    pub offers: Vec<ApprovalScope>,
}

/// Answer of `GET /approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ApprovalList {
    /// The asks that are open, the oldest first.
    pub approvals: Vec<Approval>,
    /// How many programs wait to answer asks, the caller too if it waits.
    pub approvers: usize,
    /// Counts changes: a client that waits `after` this number misses none.
    pub changes: u64,
}

/// Body of `POST /approvals`: asks those who answer asks to open the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct AskUnlock {
    /// Always `unlock`: everything else is asked for by doing it.
    pub right: UnlockRight,
}

/// The one right that is asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnlockRight {
    /// The vault is to be opened.
    Unlock,
}

/// Body of `POST /approvals/{id}/decision`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Decision {
    /// Whether it is allowed.
    pub decision: Effect,
    /// For how long: `once`, `session`, `time` or `always` to allow, `never` to deny for longer than 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ApprovalScope>,
    /// For how many seconds, with the scope `time`; 3,600 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 28_800)))]
    pub seconds: Option<u64>,
    /// What narrows the pattern that is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Narrowing>,
    /// Needed to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl Decision {
    /// For how many seconds something is allowed with the scope `time`, unless that is said.
    pub const DEFAULT_SECONDS: u64 = 3_600;
}

/// Who may have or change one guarded secret, or may not, until the rule is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ApprovalRule {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub effect: Effect,
    /// The name that the secret has now; in the trash too.
    pub secret: SecretName,
    /// Which rights it is about.
    pub rights: Vec<GuardedRight>,
    /// Which clients it is about.
    pub client: ClientPattern,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Answer of `GET /approvals/rules`, by name of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ApprovalRuleList {
    /// The rules.
    pub rules: Vec<ApprovalRule>,
    /// How many there are.
    pub total: usize,
    /// Those on items, by the item's label; not counted in `total`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemApprovalRule>,
}

/// Who may have or change one guarded item, or may not, until the rule is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ItemApprovalRule {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub effect: Effect,
    /// The item, with the label that it has now; in the trash too.
    pub item: NamedItem,
    /// Which rights it is about.
    pub rights: Vec<GuardedRight>,
    /// Which clients it is about.
    pub client: ClientPattern,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Body of `POST /approvals/rules`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct NewApprovalRule {
    /// What it does.
    pub effect: Effect,
    /// The name of the secret.
    pub secret: SecretName,
    /// Which rights it is about, at least one.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 3)))]
    pub rights: Vec<GuardedRight>,
    /// Which clients it is about.
    pub client: ClientPattern,
    /// Needed for a rule that allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Body of `POST /items/{id}/rules`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct NewItemApprovalRule {
    /// What it does.
    pub effect: Effect,
    /// Which rights it is about, at least one.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 3)))]
    pub rights: Vec<GuardedRight>,
    /// Which clients it is about.
    pub client: ClientPattern,
    /// Needed for a rule that allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_ones_on_the_wire() {
        for scope in ApprovalScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(ApprovalScope::parse(scope.as_str()), Ok(scope));
        }
        for right in GuardedRight::OF_SECRETS {
            assert_eq!(serde_json::to_value(right).unwrap(), right.as_str());
            assert_eq!(GuardedRight::parse(right.as_str()), Ok(right));
        }
        assert!(GuardedRight::parse("unlock").is_err());
        for effect in [Effect::Allow, Effect::Deny] {
            assert_eq!(Effect::parse(effect.as_str()), Ok(effect));
        }
    }
}
