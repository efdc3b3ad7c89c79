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

impl Proof {
    /// What a person has typed where the passphrase is asked for: perhaps a recovery key, which is to be tried first, and in
    /// any case a passphrase. Hardly any passphrase has the form of a recovery key.
    pub fn readings(typed: SensitiveString) -> (Option<Self>, Self) {
        let recovery_key = is_like_recovery_key(&typed).then(|| typed.clone());
        let recovery = recovery_key.map(|key| Self { recovery_key: Some(key), passphrase: None });
        (recovery, Self { passphrase: Some(typed), recovery_key: None })
    }
}

/// Whether this has the form of a recovery key: 56 letters and digits but U, with blanks and hyphens anywhere.
fn is_like_recovery_key(typed: &SensitiveString) -> bool {
    let is_between = |character: &char| matches!(character, ' ' | '-' | '\t');
    let is_digit =
        |character: char| character.is_ascii_alphanumeric() && !character.eq_ignore_ascii_case(&'u');
    let mut digits = typed.expose().chars().filter(|character| !is_between(character));
    digits.by_ref().take(RECOVERY_KEY).filter(|digit| is_digit(*digit)).count() == RECOVERY_KEY
        && digits.next().is_none()
}

/// How many letters and digits a recovery key has.
const RECOVERY_KEY: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_key_is_known_by_its_form_and_is_a_passphrase_all_the_same() {
        let may_be_key = |typed: &str| {
            let (key, passphrase) = Proof::readings(SensitiveString::new(typed.to_owned()));
            assert_eq!(passphrase.passphrase.unwrap().expose(), typed);
            key.is_some_and(|key| key.recovery_key.unwrap().expose() == typed)
        };
        let groups = ["M0P6"; 14];
        for key in [groups.join("-"), groups.join(" ").to_lowercase(), groups.concat()] {
            assert!(may_be_key(&key), "{key}");
        }
        for other in ["", "correct horse battery staple", &["M0P6"; 13].join("-"), &["M0PU"; 14].join("-")] {
            assert!(!may_be_key(other), "{other}");
        }
        assert!(!may_be_key(&["M0P6"; 15].join("-")));
    }
}
