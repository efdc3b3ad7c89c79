//! Many secrets in one transaction: all of them or none.

use std::collections::HashSet;
use std::sync::Arc;

use secrets_proto::SecretName;
use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::secret::{CreateSecret, SecretDetail, UpdateSecret, WriteSecret};

use crate::caller::Caller;
use crate::vault::Error;
use crate::vault::format::record::Record;
use crate::vault::writer::effort::Effort;

use super::Batch;
use super::approvals::Why;

impl Batch<'_> {
    /// Stores each of these, new or under a name that may be replaced, with an audit entry each. What it refuses, it has
    /// not touched; when somebody wants to lock meanwhile, the whole transaction is given up.
    pub(in crate::vault) fn write_all(
        &mut self,
        caller: &Caller,
        all: Vec<WriteSecret>,
        effort: &Effort<'_>,
    ) -> Result<Vec<SecretDetail>, Error> {
        if let Some(one) = all.iter().find(|one| !caller.sees(&one.name)) {
            self.refuse_name(caller, AuditAction::Create, &one.name);
            return Err(Error::OutsideNames);
        }
        let mut named: HashSet<&SecretName> = HashSet::new();
        let mut taken = Vec::new();
        for (at, one) in all.iter().enumerate() {
            // What is not to leave this machine is not put into what all machines have.
            let is_in_the_way = |record: &Arc<Record>| !one.replace || one.local && !record.meta.local;
            let is_there = self.catalog.of(caller).by_name(&one.name).is_some_and(is_in_the_way);
            if !named.insert(&one.name) || is_there {
                taken.push(at);
            }
        }
        if !taken.is_empty() {
            return Err(Error::NamesTaken(taken));
        }
        let secrets = self.catalog.of(caller);
        let present: Vec<Arc<Record>> =
            all.iter().filter_map(|one| secrets.by_name(&one.name)).cloned().collect();
        self.approve(caller, GuardedRight::Write, AuditAction::Update, &present, Why::default())?;
        all.into_iter()
            .map(|one| {
                effort.give_way().map_err(|_| Error::GivenUp)?;
                self.write_one(caller, one)
            })
            .collect()
    }

    fn write_one(&mut self, caller: &Caller, one: WriteSecret) -> Result<SecretDetail, Error> {
        let WriteSecret { name, value, provider, note, local, .. } = one;
        let present: Option<Arc<Record>> = self.catalog.of(caller).by_name(&name).cloned();
        match present {
            Some(record) => self.renew(caller, &record, &UpdateSecret { value }),
            None => self.create_noted(caller, CreateSecret { name, value, provider, local }, note),
        }
    }
}
