//! What shows that a person asks who owns the vault.

use serde::{Deserialize, Serialize};

use crate::SensitiveString;

/// Exactly one of what only a person has. Key files, key providers and credentials are no proof: programs can read them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(deny_unknown_fields, transform = crate::schema::one_proof))]
pub struct Proof {
    /// The passphrase of the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SensitiveString>,
    /// The recovery key as `init` printed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<SensitiveString>,
}
