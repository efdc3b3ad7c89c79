//! Entries of the audit log, as `GET /audit` lists them.

use serde::{Deserialize, Serialize};

use crate::reveal::{Purpose, Remark};
use crate::{SecretName, Timestamp};

/// Answer of `GET /audit`, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditList {
    /// The entries.
    pub entries: Vec<AuditEntry>,
}

/// What happened, by whom, to which secrets. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// When, to the millisecond.
    pub time: Timestamp,
    /// What was asked for.
    pub action: AuditAction,
    /// Who asked.
    pub caller: AuditCaller,
    /// The secrets it concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SecretName>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The program that gets the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Remark>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Remark>,
    /// How it ended.
    pub outcome: AuditOutcome,
}

/// Who asked: facts about the peer of the socket at the time it connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditCaller {
    /// The user.
    pub uid: u32,
    /// The process; 0 where there was none to know.
    pub pid: i32,
    /// The process's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Its program file, where readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Its systemd unit, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The name of the token it used.
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
    /// A secret was stored.
    Create,
    /// A secret got a new value.
    Update,
    /// A secret's metadata changed.
    Edit,
    /// A secret was moved to the trash.
    Delete,
    /// A secret was destroyed with all its versions.
    Purge,
    /// A secret came back from the trash.
    Restore,
    /// A secret got an earlier value again.
    Rollback,
    /// Values were handed over.
    Reveal,
    /// A key slot was added.
    KeyAdd,
    /// A key slot was removed.
    KeyRemove,
    /// The data key was replaced.
    Rotate,
    /// A copy of the vault was handed out.
    Backup,
    /// A vault older than its rollback guard was accepted as it is.
    AcceptRestore,
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
            Self::Reveal => "reveal",
            Self::KeyAdd => "key_add",
            Self::KeyRemove => "key_remove",
            Self::Rotate => "rotate",
            Self::Backup => "backup",
            Self::AcceptRestore => "accept_restore",
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
}
