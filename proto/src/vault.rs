//! The operations on `/vault`: making it, opening it, closing it.

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::proof::Proof;
use crate::{SensitiveString, Timestamp};

/// Answer of `GET /vault`, `POST /vault/unlock` and `POST /vault/lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct VaultStatus {
    /// Whether the vault can be used.
    pub state: VaultState,
    /// The number of the vault's file format.
    pub format: u32,
    /// How many secrets it holds; only while unlocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<usize>,
    /// How many key slots it has; only while unlocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<usize>,
    /// When it locks by itself.
    pub auto_lock: AutoLock,
    /// Whether keys are kept out of swap.
    pub memory_lock: MemoryLock,
    /// Present and true if the vault is older than its rollback guard: it can be read, not written, until the
    /// owner accepts it as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
    /// Why the key for unlocking at start did not open the vault; only while locked, and only for who may see the whole
    /// vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_failure: Option<String>,
    /// By how many seconds the clock had leapt ahead since it was seen before, or was put back if that is negative: until it
    /// has run like this for a day, nothing is removed from the trash and no expired token forgotten. Only while unlocked,
    /// and only for who may see the whole vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_leapt_seconds: Option<i64>,
    /// What is wrong with the sockets and the token of the daemon: names that are gone and cannot be made again, and why.
    /// Only for who may see the whole vault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// The daemon's version.
    pub version: String,
}

/// Whether the vault can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VaultState {
    /// There is no vault yet.
    Uninitialized,
    /// There is a vault, and its keys are not in memory.
    Locked,
    /// The vault is open.
    Unlocked,
}

/// When the vault locks by itself; 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AutoLock {
    /// After this many seconds without a reveal or write.
    pub idle_seconds: u64,
    /// After this many seconds since unlock, whatever happens.
    pub max_seconds: u64,
    /// Before the machine suspends or hibernates, which waits for it.
    #[serde(default)]
    pub suspend: Trigger,
    /// When a session of the user is locked.
    #[serde(default)]
    pub session_lock: Trigger,
    /// What is in the way, if one of the two is unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// When that will be if nothing happens before; only while unlocked. A token that is bound to names is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks_at: Option<Timestamp>,
}

/// Whether something that happens on the machine locks the vault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The vault locks when this happens.
    Live,
    /// The settings say that the vault does not lock when this happens.
    Off,
    /// The vault should lock when this happens, and the daemon would not hear of it in time.
    #[default]
    Unavailable,
}

/// Why the daemon does not hear of something in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// There is no system bus, or it does not let the daemon in.
    NoSystemBus,
    /// Nobody on the bus is logind.
    NoLogind,
    /// Logind or the bus has not answered yet.
    NoAnswer,
    /// Logind or the bus has refused.
    Refused,
    /// The machine is about to suspend; from the resume on it is as before.
    Suspending,
}

/// Whether keys are kept out of swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemoryLock {
    /// The pages that hold keys are locked in memory.
    Ok,
    /// The system refused to lock them.
    Unavailable,
}

/// Body of `POST /vault/init`: exactly one key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields, transform = crate::schema::one_key))]
pub struct InitRequest {
    /// A passphrase, 1–1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SensitiveString>,
    /// The absolute path of an existing key file that the daemon reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Whether to use the credential that systemd hands to the daemon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credential: bool,
    /// A key provider that the daemon's settings name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_provider: Option<String>,
    /// Whether the caller will confirm that the recovery key was shown, by `POST /vault/keys/{id}/confirm`. Until then it
    /// is listed as unconfirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
}

/// Answer of `POST /vault/init`; the vault is then unlocked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct InitReply {
    /// Opens the vault when the passphrase is lost. Shown this once.
    pub recovery_key: SensitiveString,
    /// The recovery key's slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key_id: Option<Uuid>,
}

/// Body of `POST /vault/unlock`: exactly one key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields, transform = crate::schema::one_key_or_recovery))]
pub struct UnlockRequest {
    /// The passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SensitiveString>,
    /// The absolute path of a key file that the daemon reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The recovery key as `init` printed it; case, spaces and hyphens do not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<SensitiveString>,
    /// Whether to use the credential that systemd hands to the daemon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credential: bool,
    /// A key provider that the daemon's settings name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_provider: Option<String>,
}

/// Body of `POST /vault/verify`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct VerifyRequest {
    /// Take the vault as it is, although it is older than its rollback guard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_restore: bool,
}

/// Answer of `POST /vault/verify`: what was read and found authentic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct VerifyReply {
    /// Secrets outside the trash.
    pub secrets: u64,
    /// Secrets in the trash.
    pub trashed: u64,
    /// Versions of values.
    pub values: u64,
    /// Access tokens.
    pub tokens: u64,
    /// Credential grants.
    pub credentials: u64,
    /// Items, in the trash or not; absent if there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub items: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What opens a key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A passphrase.
    Passphrase,
    /// A key file.
    KeyFile,
    /// A credential that systemd hands to the daemon.
    Credential,
    /// The recovery key.
    Recovery,
    /// A key provider command.
    KeyProvider,
}

/// A key slot, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeyInfo {
    /// The slot's id.
    pub id: Uuid,
    /// What opens it.
    pub kind: KeyKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the settings called the key provider when the slot was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_provider: Option<String>,
    /// Present and true for a recovery key of which its creator has not confirmed yet that it was shown: perhaps nobody has
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}

/// Answer of `GET /vault/keys`, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeyList {
    /// The key slots.
    pub keys: Vec<KeyInfo>,
}

/// Body of `POST /vault/keys`: exactly one key, or `recovery`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields, transform = crate::schema::one_key_or_fresh))]
pub struct AddKeyRequest {
    /// A passphrase, 1–1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SensitiveString>,
    /// The absolute path of an existing key file that the daemon reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Whether to use the credential that systemd hands to the daemon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credential: bool,
    /// A key provider that the daemon's settings name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_provider: Option<String>,
    /// A fresh recovery key, which the answer holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovery: bool,
    /// A slot that the new one takes the place of, in one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Uuid>,
    /// Whether the caller will confirm that the fresh recovery key was shown, by `POST /vault/keys/{id}/confirm`. Until then
    /// it is listed as unconfirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
    /// Needed while a secret is guarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Body of `DELETE /vault/keys/{id}`, which may have none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct RemoveKeyRequest {
    /// Needed while a secret is guarded, for a passphrase or a recovery key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Answer of `POST /vault/keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AddKeyReply {
    /// The new slot.
    #[serde(flatten)]
    pub key: KeyInfo,
    /// The fresh recovery key, if one was asked for. Shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<SensitiveString>,
    /// Why what a key provider printed may be no key; it was added all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<KeyDoubt>,
}

/// Why what a key provider printed looks like no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyDoubt {
    /// The key is one byte, again and again.
    OneByte,
    /// The key is text with spaces, as a message or a listing is.
    Text,
}

/// Answer of `POST /vault/rotate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RotateReply {
    /// A fresh recovery key: the old one no longer opens the vault. Shown this once.
    pub recovery_key: SensitiveString,
    /// How many other key slots are gone, because their keys were not there to wrap the new data key.
    pub keys_removed: usize,
    /// The recovery key's slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key_id: Option<Uuid>,
}
