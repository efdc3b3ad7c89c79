//! Several machines with one vault, and the operations on `/fleet`.

use serde::{Deserialize, Serialize};

use crate::invalid::{FieldErrorType, Invalid};
use crate::proof::Proof;
use crate::secret::SecretVersion;
use crate::{Glob, SecretName, SensitiveString, Timestamp, Uuid};

/// The name of a machine: 1 to 64 letters, digits, `.`, `_` and `-`, as host names have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[A-Za-z0-9._-]*$", "minLength" = 1, "maxLength" = 64)))]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

impl MachineName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            FieldErrorType::StringPatternMismatch,
            "a machine's name has 1 to 64 letters, digits, dots, underscores and hyphens",
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MachineName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<MachineName> for String {
    fn from(name: MachineName) -> Self {
        name.0
    }
}

/// Body of `POST /fleet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct BeginFleet {
    /// What this machine is called.
    pub name: MachineName,
    /// The directory that the machines share, absolute.
    pub directory: String,
}

/// Body of `PATCH /fleet/machines/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct RenameMachine {
    /// What the machine is called from then on.
    pub name: MachineName,
}

/// Body of `POST /fleet/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct JoinFleet {
    /// What the other machine has shown.
    pub code: SensitiveString,
    /// What this machine is called.
    pub name: MachineName,
    /// The directory that the machines share, absolute.
    pub directory: String,
}

/// What a key is for that is a machine of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// To be written down: with the store it is enough for a new machine to have everything, with no other one left.
    Paper,
    /// For a CI: who has it and the store reads everything, and changes nothing.
    Runner,
}

impl KeyRole {
    /// Reads a role.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "paper" => Ok(Self::Paper),
            "runner" => Ok(Self::Runner),
            _ => Err(Invalid::new(FieldErrorType::Enum, "expected paper or runner")),
        }
    }
}

/// Body of `POST /fleet/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct CreateMachineKey {
    /// What it is called among the machines.
    pub name: MachineName,
    /// What it is for.
    pub role: KeyRole,
    /// Needed while a secret is guarded: who has the key and the store has it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Answer of `POST /fleet/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct MachineKey {
    /// The machine's id.
    pub id: Uuid,
    /// The key: 14 groups of 4 letters and digits. It is kept nowhere.
    pub key: SensitiveString,
}

/// Body of `POST /fleet/keys/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct JoinByKey {
    /// The key.
    pub key: SensitiveString,
    /// What it is for.
    pub role: KeyRole,
    /// What this machine is called; a runner is called as its key.
    pub name: MachineName,
    /// The directory that the machines share, absolute.
    pub directory: String,
    /// Needed while a secret is guarded on this machine: the others get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Body of `POST /fleet/invitations/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct ConfirmInvitation {
    /// Whether the words are the same on both machines.
    pub accept: bool,
    /// Needed to accept while a secret is guarded: the machine on the other side gets it. Once is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// How far a machine is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Invitation {
    /// Its id on this machine.
    pub id: Uuid,
    /// How far it is.
    pub state: InvitationState,
    /// What is to be typed on the other machine; told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<SensitiveString>,
    /// What the other machine calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Five numbers below 2048, to be shown as words, which must be the same on both machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<u16>>,
}

/// How far a machine is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Nobody has typed the code yet.
    Waiting,
    /// The words are to be compared.
    Answered,
    /// It is done.
    Done,
    /// Somebody said no.
    Ended,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

/// Answer of `GET /fleet`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetStatus {
    /// Whether the vault belongs to a fleet; if not, the rest says nothing.
    pub member: bool,
    /// The directory that the machines share. A token that is bound to names is not told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The machines.
    pub machines: Vec<FleetMachine>,
    /// How many objects wait for another.
    pub waiting: usize,
    /// How many objects are not to be had.
    pub missing: usize,
    /// How many objects are none that a machine of the fleet has written.
    pub refused: usize,
    /// Whether there are more files in the directory than are looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crowded: bool,
    /// When another machine has last stored or deleted something, by its own clock; absent if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    /// Secrets that were given different values on several machines.
    pub conflicts: Vec<FleetConflict>,
    /// What names are like that travel; absent if all do that are not excluded. A token that is bound to names is not told
    /// this or the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What names are like that do not travel; absent if nothing is excluded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Secrets that stay on this machine because it was told so; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<SecretName>,
    /// Other secrets of this machine whose names do not travel; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<SecretName>,
    /// Secrets of the other machines whose names travel and that this one does not take; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<FleetAside>,
    /// Secrets that were kept on this machine alone and are in the trash, because one of the other machines has the name now; absent
    /// if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub displaced: Vec<FleetDisplaced>,
}

/// A secret of this machine alone that is in the trash, because one of the other machines has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetDisplaced {
    /// Its id.
    pub id: Uuid,
    /// What both are called.
    pub name: SecretName,
    /// The machine that stored the value which the name has now.
    pub by: String,
}

impl FleetStatus {
    /// Whether this machine was removed by another one.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.machines.iter().any(|machine| machine.this && machine.removed && !machine.disputed)
    }
}

/// A secret of the other machines that this one does not take: it was told to keep a value of its own, or has another secret of
/// this name that stays here and is newer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetAside {
    /// Its id.
    pub id: Uuid,
    /// What the others call it.
    pub name: SecretName,
}

/// Body of `POST /fleet/filter`: which secrets travel, for all machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct ChangeFilter {
    /// Whether names like this travel or not.
    pub list: FilterList,
    /// What the names are like.
    pub glob: Glob,
    /// Whether that is taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
    /// Needed if a guarded secret would leave this machine by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// What a glob is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FilterList {
    /// Names like it travel. If there is one of these, no others do.
    Include,
    /// Names like it do not travel.
    Exclude,
}

/// Body of `PUT /user/secrets/{id}/local`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct SetLocal {
    /// Whether the secret stays on this machine.
    pub local: bool,
    /// Needed to let a guarded secret leave this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Answer of `PUT /user/secrets/{id}/local`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeptLocal {
    /// The secret.
    pub name: SecretName,
    /// Whether it stays on this machine.
    pub local: bool,
    /// The machines that have, or will have, what they were told of it before.
    pub machines: Vec<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetMachine {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Whether it is this one.
    pub this: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// Whether it and another one have removed each other, and nobody has said which is kept; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
    /// Whether it only reads what the others write; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reader: bool,
    /// Whether it is a key alone, for a machine that is to come; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_alone: bool,
    /// Whether it was let in and has said nothing yet that has come here; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
    /// When this machine removed it, or heard that it was removed, by its own clock; absent if it was not, or if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
}

/// A secret that was given different values at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetConflict {
    /// The secret.
    pub name: SecretName,
    /// The machine whose value is in use.
    pub in_use: String,
    /// The machines whose values are kept beside it.
    pub others: Vec<String>,
}

/// Answer of `GET /fleet/conflicts`, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ConflictList {
    /// The secrets.
    pub conflicts: Vec<Conflict>,
}

/// A secret with values that were stored on several machines at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Conflict {
    /// The secret's id.
    pub id: Uuid,
    /// Its name.
    pub name: SecretName,
    /// The present value, and those that are kept beside it.
    pub values: Vec<SecretVersion>,
}

/// Body of `POST /fleet/conflicts/{id}/resolve`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct ResolveConflict {
    /// The version whose value is the present one from then on; by default the one that is already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 9_007_199_254_740_991_u64)))]
    pub version: Option<u64>,
}

/// Answer of `POST /fleet/merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct FleetMerge {
    /// The secrets that others have changed.
    pub merged: Vec<SecretName>,
    /// How many objects were written.
    pub written: usize,
    /// What is known of the fleet now.
    pub fleet: FleetStatus,
}

/// Answer of `DELETE /fleet/machines/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct MachineRemoved {
    /// What the machine had, and may still have.
    pub secrets: Vec<SecretName>,
}
