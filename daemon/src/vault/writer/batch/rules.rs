//! Setting where a secret's value may be used, inside a batch.

use std::sync::Arc;

use secrets_proto::Uuid;
use secrets_proto::audit::AuditAction;
use secrets_proto::rule::Rule;

use crate::caller::Caller;
use crate::vault::Error;
use crate::vault::format::record::Record;

use super::Batch;

impl Batch<'_> {
    /// Sets the secret's own rules, or takes them away. Returns the secret as it is then.
    pub(in crate::vault) fn set_rules(
        &mut self,
        caller: &Caller,
        id: Uuid,
        rules: Vec<Rule>,
        expected: Option<Vec<u64>>,
    ) -> Result<Arc<Record>, Error> {
        let old = self.find_to_change(caller, id, expected, AuditAction::RuleSet)?;
        let record = old.next(|meta| meta.rules = rules);
        self.put(Some(&old), record, caller, AuditAction::RuleSet)?;
        self.find(caller, id, None)
    }
}
