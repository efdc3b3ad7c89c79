//! The facade's operations on what units may load, and loading it.

use secrets_proto::audit::{AuditAction, Refusal};
use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList, UnitName};
use secrets_proto::{SecretName, SecretValue};

use crate::audit::Event;
use crate::caller::{Caller, Scope};

use super::{Error, Key, Vault};

impl Vault {
    /// What units may load, by unit. Scope `admin`.
    pub(crate) fn grants(&self, caller: &Caller) -> Result<CredentialList, Error> {
        self.check_whole(caller, AuditAction::CredentialList)?;
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
        proof: Option<Key>,
    ) -> Result<CredentialGrant, Error> {
        self.check_whole(caller, AuditAction::CredentialAllow)?;
        let caller = &match proof {
            Some(proof) => self.prove(caller, Some(proof), AuditAction::CredentialAllow).await?,
            // What is not guarded takes none.
            None => caller.clone(),
        };
        let allowed = self.write(caller, move |batch, caller| batch.allow(caller, request)).await;
        self.note_refusal(caller, AuditAction::CredentialAllow, allowed)
    }

    /// Takes one secret from what a unit may load, or all. Scope `admin`.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        unit: UnitName,
        name: Option<SecretName>,
    ) -> Result<(), Error> {
        self.check_whole(caller, AuditAction::CredentialRevoke)?;
        self.write(caller, move |batch, caller| batch.revoke(caller, &unit, name.as_ref())).await
    }

    /// Hands a value to a unit that was allowed to load it, after the audit entry is durable. Scope `reveal`.
    pub(crate) async fn load(
        &self,
        caller: &Caller,
        unit: UnitName,
        name: SecretName,
    ) -> Result<SecretValue, Error> {
        self.check(caller, Scope::Reveal, AuditAction::CredentialLoad)?;
        let asked = (unit.clone(), name.clone());
        let outcome = self.write(caller, move |batch, caller| batch.load(caller, &unit, &name)).await;
        if let Err(error) = &outcome {
            let (unit, name) = asked;
            self.refused_unit(caller, Some(&unit), Some(name), refusal(error));
        }
        outcome
    }

    /// Notes for the audit log that a unit was refused, as far as it is known which and what it wanted. Any scope: it is
    /// told, not asked.
    pub(crate) fn refused_unit(
        &self,
        caller: &Caller,
        unit: Option<&UnitName>,
        name: Option<SecretName>,
        refusal: Refusal,
    ) {
        let event = Event {
            refusal: Some(refusal),
            ..Event::of_unit(AuditAction::CredentialLoad, unit, name.into_iter().collect())
        };
        self.note(caller, event, refusal);
    }
}

/// How the audit log says that a unit did not get a value.
fn refusal(error: &Error) -> Refusal {
    if matches!(error, Error::NotGranted) {
        Refusal::NotGranted
    } else if matches!(error, Error::NotFound) {
        Refusal::Missing
    } else if matches!(error, Error::Locked | Error::Uninitialized) {
        Refusal::Locked
    } else {
        Refusal::Failed
    }
}
