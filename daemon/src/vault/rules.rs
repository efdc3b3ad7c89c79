//! The facade's operations on rules: where a secret's value may be used without being seen.

use secrets_proto::Uuid;
use secrets_proto::audit::AuditAction;
use secrets_proto::rule::{Rule, RuleList, RuleSource};

use crate::caller::{Caller, Scope};

use super::format::record::Record;
use super::{Error, Vault, rule_presets};

impl Vault {
    /// The rules of a secret, and its version. Scope `list`.
    pub(crate) fn rules(&self, caller: &Caller, id: Uuid) -> Result<(RuleList, u64), Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        let published = self.shared.read();
        published.view()?.catalog.of(caller).by_id(id).map(|record| list(record)).ok_or(Error::NotFound)
    }

    /// Sets the own rules of a secret; with none, those of its provider hold again. `expected` are the versions
    /// that `If-Match` names. Scope `admin`: who says where a value goes could have it sent to himself.
    pub(crate) async fn set_rules(
        &self,
        caller: &Caller,
        id: Uuid,
        rules: Vec<Rule>,
        expected: Option<Vec<u64>>,
    ) -> Result<(RuleList, u64), Error> {
        self.check(caller, Scope::Admin, AuditAction::RuleSet)?;
        self.write(caller, move |batch, caller| {
            batch.set_rules(caller, id, rules, expected).map(|record| list(&record))
        })
        .await
    }
}

/// The rules that hold for a secret: its own, or those of its provider.
pub(super) fn that_hold(record: &Record) -> Vec<Rule> {
    list(record).0.rules
}

fn list(record: &Record) -> (RuleList, u64) {
    let preset = record.meta.provider.as_ref().map(rule_presets::of).unwrap_or_default();
    let own = &record.meta.rules;
    let (source, rules, preset) = match (own.is_empty(), preset.is_empty()) {
        (false, _) => (RuleSource::Own, own.clone(), preset),
        (true, false) => (RuleSource::Preset, preset, Vec::new()),
        (true, true) => (RuleSource::None, Vec::new(), Vec::new()),
    };
    (RuleList { name: record.meta.name.clone(), source, rules, preset }, record.version)
}
