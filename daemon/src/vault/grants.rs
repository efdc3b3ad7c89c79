//! The facade's operations on what units may load, and loading it.

use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList, UnitName};
use secrets_proto::{SecretName, SecretValue};

use crate::caller::{Caller, Scope};

use super::{Error, Vault, check};

impl Vault {
    /// What units may load, by unit. Scope `admin`.
    pub(crate) fn grants(&self, caller: &Caller) -> Result<CredentialList, Error> {
        check(caller, Scope::Admin)?;
        let published = self.shared.read();
        let credentials: Vec<CredentialGrant> =
            published.view()?.catalog.grants().map(|grant| grant.to_wire()).collect();
        Ok(CredentialList { total: credentials.len(), credentials })
    }

    /// Adds to what a unit may load. Scope `admin`.
    pub(crate) async fn allow(
        &self,
        caller: &Caller,
        request: AllowCredentials,
    ) -> Result<CredentialGrant, Error> {
        check(caller, Scope::Admin)?;
        self.write(caller, move |batch, caller| batch.allow(caller, request)).await
    }

    /// Takes one secret from what a unit may load, or all. Scope `admin`.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        unit: UnitName,
        name: Option<SecretName>,
    ) -> Result<(), Error> {
        check(caller, Scope::Admin)?;
        self.write(caller, move |batch, caller| batch.revoke(caller, &unit, name.as_ref())).await
    }

    /// Hands a value to a unit that was allowed to load it, after the audit entry is durable. Scope `reveal`.
    pub(crate) async fn load(
        &self,
        caller: &Caller,
        unit: UnitName,
        name: SecretName,
    ) -> Result<SecretValue, Error> {
        check(caller, Scope::Reveal)?;
        self.write(caller, move |batch, caller| batch.load(caller, &unit, &name)).await
    }

    /// Notes in the audit log that a unit was refused, as far as it is known which and what for. Any scope.
    pub(crate) async fn note_refusal(
        &self,
        caller: &Caller,
        unit: Option<UnitName>,
        name: Option<SecretName>,
        why: String,
    ) -> Result<(), Error> {
        self.write(caller, move |batch, caller| batch.note_refusal(caller, unit.as_ref(), name, &why)).await
    }
}
