//! What units may load, and loading it, inside a batch.

use std::sync::Arc;

use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::credential::{AllowCredentials, CredentialGrant, UnitName};
use secrets_proto::{SecretName, SecretValue};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto::{self, seal};
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;
use crate::vault::format::record::record_context;
use crate::vault::format::unit_grant::UnitGrant;
use crate::vault::writer::catalog::Change;

use super::Batch;

impl Batch<'_> {
    /// Adds to what a unit may load. What it may load already is no error.
    pub(in crate::vault) fn allow(
        &mut self,
        caller: &Caller,
        request: AllowCredentials,
    ) -> Result<CredentialGrant, Error> {
        let AllowCredentials { unit, mut secrets, proof: _ } = request;
        let seen = self.catalog.of(caller);
        let exists = |name: &SecretName| seen.by_name(name).is_some();
        let missing: Vec<usize> =
            secrets.iter().enumerate().filter(|(_, name)| !exists(name)).map(|(at, _)| at).collect();
        if !missing.is_empty() {
            return Err(Error::Missing(missing));
        }
        secrets.sort_unstable();
        secrets.dedup();
        let old = self.catalog.grant(&unit).cloned();
        let added: Vec<SecretName> = match &old {
            Some(old) => secrets.into_iter().filter(|name| !old.covers(name)).collect(),
            None => secrets,
        };
        let is_guarded = |name: &SecretName| seen.by_name(name).is_some_and(|record| record.meta.guarded);
        if added.iter().any(is_guarded) && !caller.is_proven() {
            return Err(Error::Unproven);
        }
        let grant = match &old {
            Some(old) if added.is_empty() => return Ok(old.to_wire()),
            Some(old) => old.with(added.iter().cloned()),
            None => {
                let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
                UnitGrant::new(id, unit.clone()).with(added.iter().cloned())
            }
        };
        let reply = grant.to_wire();
        if let Some(old) = old {
            self.delete_grant(&old)?;
        }
        self.insert_grant(grant)?;
        self.audit(caller, Event::of_unit(AuditAction::CredentialAllow, Some(&unit), added))?;
        Ok(reply)
    }

    /// Takes one secret from what a unit may load, or all of them.
    pub(in crate::vault) fn revoke(
        &mut self,
        caller: &Caller,
        unit: &UnitName,
        name: Option<&SecretName>,
    ) -> Result<(), Error> {
        let old = self.catalog.grant(unit).cloned().ok_or(Error::NotGranted)?;
        let (revoked, left) = match name {
            Some(name) if old.covers(name) => (vec![name.clone()], Some(old.without(name))),
            Some(_) => return Err(Error::NotGranted),
            None => (old.meta.secrets.clone(), None),
        };
        self.delete_grant(&old)?;
        match left.filter(|left| !left.meta.secrets.is_empty()) {
            Some(left) => self.insert_grant(left)?,
            None => self.apply(Change::Revoke(unit.clone())),
        }
        self.audit(caller, Event::of_unit(AuditAction::CredentialRevoke, Some(unit), revoked))
    }

    /// Opens a value for a unit that was allowed to load it. It may leave only after the commit: the audit entry is
    /// part of it.
    pub(in crate::vault) fn load(
        &mut self,
        caller: &Caller,
        unit: &UnitName,
        name: &SecretName,
    ) -> Result<SecretValue, Error> {
        if !self.catalog.allows(unit, name) {
            return Err(Error::NotGranted);
        }
        let record = caller.sees(name).then(|| self.catalog.all().by_name(name)).flatten().cloned();
        let record = record.ok_or(Error::NotFound)?;
        // The grant is what a person has allowed.
        self.allowed_before(&record, GuardedRight::Reveal);
        let value = self.open_value(&record)?;
        self.touch(&record)?;
        self.audit(caller, Event::of_unit(AuditAction::CredentialLoad, Some(unit), vec![name.clone()]))?;
        Ok(value)
    }

    fn insert_grant(&mut self, grant: UnitGrant) -> Result<(), Error> {
        let (kind, id) = (RecordKind::Credential, *grant.id.as_bytes());
        let sealed = seal::seal(self.keys, record_context(kind, &id, grant.version), &grant.encode()?)?;
        self.insert_row(&RecordRow { kind, id, version: grant.version, sealed })?;
        self.apply(Change::Allow(Arc::new(grant)));
        Ok(())
    }

    fn delete_grant(&mut self, grant: &UnitGrant) -> Result<(), Error> {
        let row = self.writing.record(RecordKind::Credential, grant.id.as_bytes(), grant.version)?;
        self.delete_row(&row.ok_or(Error::Corrupt("a grant's row is missing"))?)
    }
}
