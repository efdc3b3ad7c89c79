//! The operations on `/user/secrets/{id}/rules`.

use secrets_proto::Uuid;
use secrets_proto::rule::{Rule, RuleList};

use super::secrets::ById;
use crate::caller::Caller;
use crate::vault::{Error, Vault};

/// Rules that are to be set.
#[derive(Debug)]
pub(crate) struct Set {
    /// The secret's id.
    pub(crate) id: Uuid,
    /// The rules.
    pub(crate) rules: Vec<Rule>,
    /// The version that the secret must have.
    pub(crate) expected: Option<Vec<u64>>,
}

/// The rules of a secret, and its version.
#[derive(Debug)]
pub(crate) struct Rules(pub(crate) RuleList, pub(crate) u64);

/// `GET /user/secrets/{id}/rules`
pub(crate) fn get(vault: &Vault, caller: &Caller, by: ById) -> Result<Rules, Error> {
    vault.rules(caller, by.0).map(|(rules, version)| Rules(rules, version))
}

/// `PUT /user/secrets/{id}/rules`
pub(crate) async fn set(vault: &Vault, caller: &Caller, set: Set) -> Result<Rules, Error> {
    let Set { id, rules, expected } = set;
    vault.set_rules(caller, id, rules, expected).await.map(|(rules, version)| Rules(rules, version))
}
