//! Entries of the audit log, as `GET /audit` lists them.

use serde::{Deserialize, Serialize};

use crate::item::NamedItem;
use crate::reveal::{Purpose, Remark};
use crate::{SecretName, Timestamp, Uuid};

/// Answer of `GET /audit`, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditList {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Whether there may be older ones that match; ask for those `before` the first.
    #[serde(default)]
    pub more: bool,
}

/// Answer of `GET /audit/verify`: every entry is as it was written, and none is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditVerified {
    /// How many entries there are.
    pub entries: u64,
    /// The number of the first; those before it were archived.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub first: u64,
}

/// Body of `POST /audit/archive`, from a caller that has these entries in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct ArchiveAudit {
    /// The number of the last entry that is to leave the vault.
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 9_007_199_254_740_991_u64)))]
    pub through: u64,
}

/// Answer of `POST /audit/archive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditArchived {
    /// How many entries have left the vault.
    pub removed: u64,
}

/// What happened, by whom, to which secrets. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// When, to the millisecond. Denials are written later than they happen, so that they may stand behind what came
    /// after them.
    pub time: Timestamp,
    /// What was asked for.
    pub action: AuditAction,
    /// Who asked.
    pub caller: AuditCaller,
    /// The secrets it concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SecretName>,
    /// The items it concerned. A token that is bound to names is not told this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<NamedItem>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The program that gets the values, or the unit that may load them. A token that is bound to names is not told this
    /// or the reason: either could name other secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Remark>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Remark>,
    /// The directory in which that program starts. A token that is bound to names is not told this either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Remark>,
    /// The requests that the value was put into, or was not. A token that is bound to names is not told this either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<AuditUse>,
    /// The approval rules and approvals by which it was allowed, or that it is about. A token that is bound to names is not
    /// told this either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Uuid>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Why it was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// How often it happened: denials that are equal share an entry.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// When it happened last, if more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many denials before it have no entry: there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

/// Requests that a value was put into, or was not: those of one secret, session, rule and host within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditUse {
    /// The rule that allowed it, by its number from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// The host, with its port unless that is 443.
    pub host: String,
    /// The methods, each once, 32 at most.
    pub methods: Vec<String>,
    /// The paths without query, each once, 32 at most, of each the first 200 bytes.
    pub paths: Vec<String>,
}

impl AuditUse {
    /// The most methods and paths that are told.
    pub const MAX: usize = 32;
    /// The most bytes of a path that are told.
    pub const MAX_PATH: usize = 200;
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_one(number: &u64) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who asked. All but uid and token are facts for people, which no decision rests on: of the process that connected, as
/// it was when something was written about it for the first time. What it says of itself is made safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditCaller {
    /// The user.
    pub uid: u32,
    /// The process; 0 if it is not in the daemon's view, as that of an outer pid namespace.
    pub pid: i32,
    /// The process's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// The caller's program file, where readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The caller's systemd unit, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The name of the token it used; empty if it had none that is known.
    pub token: String,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// The vault was made.
    Init,
    /// The vault was opened.
    Unlock,
    /// The vault was closed.
    Lock,
    /// A secret or item was stored.
    Create,
    /// A secret or item got a new value.
    Update,
    /// The metadata of a secret or item changed.
    Edit,
    /// A secret or item was moved to the trash.
    Delete,
    /// A secret or item was destroyed with all its versions.
    Purge,
    /// A secret or item came back from the trash.
    Restore,
    /// A secret got an earlier value again.
    Rollback,
    /// An earlier value of a secret was destroyed.
    VersionDrop,
    /// Values were handed over.
    Reveal,
    /// A value was compared with the others.
    Compare,
    /// A key slot was added.
    KeyAdd,
    /// A key slot was removed.
    KeyRemove,
    /// The data key was replaced.
    Rotate,
    /// A key slot took another's place.
    KeyReplace,
    /// A copy of the vault was handed out.
    Backup,
    /// A vault older than its rollback guard was accepted as it is.
    AcceptRestore,
    /// A unit was allowed to load secrets.
    CredentialAllow,
    /// A unit was no longer allowed to.
    CredentialRevoke,
    /// A unit asked for a secret.
    CredentialLoad,
    /// The API was to be used at all; only ever refused.
    Access,
    /// Metadata was asked for; only ever refused.
    List,
    /// What units may load was asked for; only ever refused.
    CredentialList,
    /// The access tokens were asked for; only ever refused.
    TokenList,
    /// The key slots were asked for; only ever refused.
    KeyList,
    /// The audit log was asked for; only ever refused.
    Audit,
    /// The vault was to be read as a whole; only ever refused.
    Verify,
    /// An access token was made.
    TokenCreate,
    /// An access token was revoked.
    TokenRevoke,
    /// Where a secret's value may be used was set.
    RuleSet,
    /// A session was begun that uses values without seeing them.
    UseBegin,
    /// A value was put into a request.
    Use,
    /// A session that uses values without seeing them was ended.
    UseEnd,
    /// Old entries were taken out of the audit log.
    AuditArchive,
    /// A recovery key was confirmed to have been shown.
    KeyConfirm,
    /// A secret or item was guarded.
    Guard,
    /// The guard of a secret or item was turned off.
    Unguard,
    /// A person was asked whether something is allowed.
    Ask,
    /// A person has allowed it.
    Approve,
    /// A person has denied it.
    Deny,
    /// An approval rule was made.
    RuleAdd,
    /// An approval rule was removed.
    RuleRemove,
    /// The vault's fleet was made, joined or changed.
    Fleet,
    /// A secret was changed by another machine of the fleet.
    Merge,
    /// A secret was kept on this machine.
    KeepLocal,
    /// A secret that stayed on this machine was given to the others.
    Share,
    /// Something that a newer program does.
    #[serde(other)]
    Other,
}

impl AuditAction {
    /// The action's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Unlock => "unlock",
            Self::Lock => "lock",
            Self::Create => "create",
            Self::Update => "update",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Purge => "purge",
            Self::Restore => "restore",
            Self::Rollback => "rollback",
            Self::VersionDrop => "version_drop",
            Self::Reveal => "reveal",
            Self::Compare => "compare",
            Self::KeyAdd => "key_add",
            Self::KeyRemove => "key_remove",
            Self::Rotate => "rotate",
            Self::KeyReplace => "key_replace",
            Self::Backup => "backup",
            Self::AcceptRestore => "accept_restore",
            Self::CredentialAllow => "credential_allow",
            Self::CredentialRevoke => "credential_revoke",
            Self::CredentialLoad => "credential_load",
            Self::Access => "access",
            Self::List => "list",
            Self::CredentialList => "credential_list",
            Self::TokenList => "token_list",
            Self::KeyList => "key_list",
            Self::Audit => "audit",
            Self::Verify => "verify",
            Self::TokenCreate => "token_create",
            Self::TokenRevoke => "token_revoke",
            Self::RuleSet => "rule_set",
            Self::UseBegin => "use_begin",
            Self::Use => "use",
            Self::UseEnd => "use_end",
            Self::AuditArchive => "audit_archive",
            Self::KeyConfirm => "key_confirm",
            Self::Guard => "guard",
            Self::Unguard => "unguard",
            Self::Ask => "ask",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::RuleAdd => "rule_add",
            Self::RuleRemove => "rule_remove",
            Self::Fleet => "fleet",
            Self::Merge => "merge",
            Self::KeepLocal => "keep_local",
            Self::Share => "share",
            Self::Other => "other",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// Done.
    Ok,
    /// Refused: not allowed, or not there.
    Denied,
    /// An outcome that a newer program wrote.
    #[serde(other)]
    Other,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No token was sent.
    NoToken,
    /// The token is not known, or no longer.
    UnknownToken,
    /// The token's time is over.
    ExpiredToken,
    /// The token was revoked.
    RevokedToken,
    /// There were too many tries.
    Throttled,
    /// The peer is another user.
    OtherUser,
    /// The request comes from a web page.
    Browser,
    /// The token lacks the right, for this or for this name.
    Scope,
    /// A secret that was named is not there.
    Missing,
    /// The key does not open the vault.
    WrongKey,
    /// The peer asks for no unit.
    NoUnit,
    /// The peer is not in the unit it claims to be.
    OtherUnit,
    /// The unit was not allowed to load this.
    NotGranted,
    /// The vault is locked.
    Locked,
    /// What was asked for is turned off.
    Off,
    /// No rule allows the value to be used there.
    Rule,
    /// The request is none that a value is put into.
    Request,
    /// The daemon could not do it.
    Failed,
    /// A secret is guarded, and nobody has allowed this yet.
    ApprovalRequired,
    /// A secret is guarded, and a person or a rule has denied this.
    ApprovalDenied,
    /// A reason that a newer program wrote.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// The reason in words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NoToken => "no token",
            Self::UnknownToken => "unknown token",
            Self::ExpiredToken => "expired token",
            Self::RevokedToken => "revoked token",
            Self::Throttled => "too many tries",
            Self::OtherUser => "another user",
            Self::Browser => "a web page",
            Self::Scope => "not the token's right",
            Self::Missing => "no such secret",
            Self::WrongKey => "wrong key",
            Self::NoUnit => "asks for no unit",
            Self::OtherUnit => "not in the unit it claims to be",
            Self::NotGranted => "not granted",
            Self::Locked => "the vault is locked",
            Self::Off => "turned off",
            Self::Rule => "no rule allows it",
            Self::Request => "not a request for a value",
            Self::Failed => "a failure",
            Self::ApprovalRequired => "nobody has allowed it",
            Self::ApprovalDenied => "denied by a person or a rule",
            Self::Other => "a reason unknown to this version",
        }
    }
}
