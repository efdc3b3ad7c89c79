//! The operations on `/user/secrets`: metadata and masks, never values in an answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reveal::Remark;
use crate::variable::{self, Reason};
use crate::{Provider, SecretName, SecretValue, Timestamp};

/// What the API tells about a secret: exactly these six fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Secret {
    /// The secret's id, which never changes.
    pub id: Uuid,
    /// The name of its environment variable.
    pub name: SecretName,
    /// Who issued it, if known.
    pub provider: Option<Provider>,
    /// A mask that is safe to print, like `sk-pro••••789`.
    pub masked_value: String,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A secret as `?view=full` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SecretDetail {
    /// The six fields.
    #[serde(flatten)]
    pub secret: Secret,
    /// Counts every change; `If-Match` compares it.
    pub version: u64,
    /// When a value was last handed over, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When the owner says it stops working.
    pub expires_at: Option<Timestamp>,
    /// The owner's note.
    pub note: Option<Remark>,
    /// How large the value is, roughly.
    pub size_class: SizeClass,
    /// When it got its present value, which a new name or note does not change; null if that is known of its versions
    /// alone, as in a vault that was written by an older version.
    #[serde(default)]
    pub value_changed_at: Option<Timestamp>,
    /// Whether a person decides who may have or change it; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guarded: bool,
    /// Whether another machine stored another value at the same time, which is kept beside this one; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
    /// Whether it stays on this machine, where the vault is on several; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

/// A secret that was written, as `?view=full` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct WrittenSecret {
    /// The secret in full.
    #[serde(flatten)]
    pub detail: SecretDetail,
    /// What its owner should know; absent if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(length(min = 1)))]
    pub warnings: Vec<Warning>,
}

impl From<SecretDetail> for WrittenSecret {
    fn from(detail: SecretDetail) -> Self {
        let reasons = variable::reasons(detail.secret.name.as_str());
        let warnings = reasons.map(|kind| Warning { kind, msg: kind.text().into() }).collect();
        Self { detail, warnings }
    }
}

/// Why a secret's name is a bad one for the variable that it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Warning {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: Reason,
    /// The kind in words, a fixed text.
    pub msg: Cow<'static, str>,
}

/// A rough size of a value: enough to tell a token from a certificate, too little to help a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SizeClass {
    /// Up to 1 KiB.
    Small,
    /// Up to 8 KiB.
    Medium,
    /// Up to 64 KiB.
    Large,
}

impl SizeClass {
    /// That of a value of so many bytes.
    pub const fn of(bytes: u64) -> Self {
        match bytes {
            0..=1_024 => Self::Small,
            1_025..=8_192 => Self::Medium,
            _ => Self::Large,
        }
    }
}

/// Answer of `GET /user/secrets`, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "{T}List"))]
pub struct SecretList<T = Secret> {
    /// The secrets.
    pub secrets: Vec<T>,
    /// How many there are in `secrets`.
    pub total: usize,
}

/// Body of `POST /user/secrets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct CreateSecret {
    /// The new secret's name.
    pub name: SecretName,
    /// The new secret's value.
    pub value: SecretValue,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Whether it stays on this machine, where the vault is on several.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

/// Body of `POST /user/secrets/batch`: all of it is stored in one transaction, or nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct WriteSecrets {
    /// The secrets, 1–5,000, each name once.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 5000)))]
    pub secrets: Vec<WriteSecret>,
}

impl WriteSecrets {
    /// The most secrets that a request may store.
    pub const MAX: usize = 5_000;
}

/// One of many secrets that are stored together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct WriteSecret {
    /// The secret's name.
    pub name: SecretName,
    /// The secret's value.
    pub value: SecretValue,
    /// Who issued it, if it is new; an existing secret keeps its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// A note, if it is new; an existing secret keeps its note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Remark>,
    /// Whether a secret that has this name gets the value, as a new version; otherwise that is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Whether it is kept on this machine, where the vault is on several. One that is there and is not kept here is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

/// Body of `PUT /user/secrets/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct UpdateSecret {
    /// The new value.
    pub value: SecretValue,
}

/// Body of `PATCH /user/secrets/{id}`: what is absent stays; `null` clears what may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct PatchSecret {
    /// A new name.
    #[cfg_attr(feature = "openapi", schemars(with = "SecretName"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SecretName>,
    /// A new provider, or none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nullable")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Provider>"))]
    pub provider: Option<Option<Provider>>,
    /// A new note, or none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nullable")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Remark>"))]
    pub note: Option<Option<Remark>>,
    /// A new expiry, or none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nullable")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<Timestamp>"))]
    pub expires_at: Option<Option<Timestamp>>,
}

/// Answer of `GET /user/secrets/{id}/versions`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct VersionList {
    /// The versions of the value that are kept, the present one included; at most 10.
    pub versions: Vec<SecretVersion>,
}

/// One version of a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SecretVersion {
    /// The secret's version in which this value was stored. Changes of metadata count too, so there may be gaps.
    pub version: u64,
    /// The value's mask.
    pub masked_value: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Whether it is the present value.
    pub current: bool,
    /// The name of the machine that stored it, where the vault is on several; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether it was stored at the same time as the present one, and is kept beside it; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

/// Answer of `POST /user/secrets/{id}/same`, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SameList {
    /// The other secrets that have the same value, among those that the caller may see.
    pub secrets: Vec<Secret>,
    /// How many there are in `secrets`.
    pub total: usize,
}

/// Body of `POST /user/secrets/{id}/rollback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct RollbackRequest {
    /// A version that `versions` lists; its value becomes the present one, as a new version.
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 9_007_199_254_740_991_u64)))]
    pub version: u64,
}

/// Answer of `GET /user/secrets/trash`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TrashList {
    /// The deleted secrets.
    pub secrets: Vec<TrashedSecret>,
    /// How many there are in `secrets`.
    pub total: usize,
}

/// A deleted secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TrashedSecret {
    /// The six fields.
    #[serde(flatten)]
    pub secret: Secret,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// When it will be destroyed: 30 days later, at the first unlock from then on.
    pub purged_at: Timestamp,
}

/// Body of `POST /user/secrets/preset`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct CreateFromPreset {
    /// A provider that the presets list.
    pub provider: Provider,
    /// The value.
    pub value: SecretValue,
}

/// Answer of `GET /user/secrets/presets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct PresetList {
    /// The presets, ordered by provider.
    pub presets: Vec<Preset>,
}

/// A well-known provider and the variable its tools read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Preset {
    /// The provider.
    pub provider: Provider,
    /// The variable.
    pub env_var_name: SecretName,
    /// Whether a secret of that name exists.
    pub configured: bool,
}

/// Tells an absent field (outer `None`) from one that is `null` (inner `None`).
pub(crate) mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        field: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        field.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: PatchSecret = serde_json::from_str(r#"{"provider":null,"note":"x"}"#).unwrap();
        assert_eq!(patch.provider, Some(None));
        assert_eq!(patch.note, Some(Some(Remark::parse("x").unwrap())));
        assert_eq!(patch.expires_at, None);
        assert_eq!(serde_json::to_string(&patch).unwrap(), r#"{"provider":null,"note":"x"}"#);
    }
}
