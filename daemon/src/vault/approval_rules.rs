//! The facade's operations on approval rules: what answers an ask instead of a person.

use std::sync::Arc;

use secrets_proto::approval::{
    ApprovalRule, ApprovalRuleList, ClientPattern, Effect, GuardedRight, ItemApprovalRule,
};
use secrets_proto::audit::AuditAction;
use secrets_proto::token::ITEMS_NAME;
use secrets_proto::{FieldErrorType, Invalid, Uuid};

use crate::caller::{Caller, ITEMS_TOKEN};
use crate::guarded::RuleAbout;

use super::format::approval_rule::{self, Meta, Pattern};
use super::writer::catalog::Catalog;
use super::writer::rights;
use super::{Error, Key, Vault};

/// The owner's name, where others have that of their token.
const OWNER: &str = "owner";

/// An approval rule to be made.
#[derive(Debug)]
pub(crate) struct NewRule {
    /// What it does.
    pub(crate) effect: Effect,
    /// The secret or item.
    pub(crate) about: RuleAbout,
    /// Which rights.
    pub(crate) rights: Vec<GuardedRight>,
    /// Which clients.
    pub(crate) clients: ClientPattern,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
}

impl Vault {
    /// The approval rules, by name of the secret. Scope `admin`, on all names.
    pub(crate) fn approval_rules(&self, caller: &Caller) -> Result<ApprovalRuleList, Error> {
        self.check_whole(caller, AuditAction::RuleAdd)?;
        let published = self.shared.read();
        let catalog = &published.view()?.catalog;
        let mut rules: Vec<ApprovalRule> =
            catalog.approval_rules().filter_map(|rule| to_wire(rule, catalog)).collect();
        rules.sort_by(|a, b| (&a.secret, a.created_at, a.id).cmp(&(&b.secret, b.created_at, b.id)));
        let mut items: Vec<ItemApprovalRule> =
            catalog.approval_rules().filter_map(|rule| to_item_rule(rule, catalog)).collect();
        items.sort_by(|a, b| (&a.item.label, a.created_at, a.id).cmp(&(&b.item.label, b.created_at, b.id)));
        Ok(ApprovalRuleList { total: rules.len(), rules, items })
    }

    /// Makes an approval rule on a secret; durable when this returns. One that allows takes a proof. Scope `admin`, on all
    /// names.
    pub(crate) async fn add_approval_rule(
        &self,
        caller: &Caller,
        new: NewRule,
    ) -> Result<ApprovalRule, Error> {
        let rule = self.make_rule(caller, new).await?;
        to_wire(&rule, &self.shared.read().view()?.catalog).ok_or(Error::NotFound)
    }

    /// The same on an item.
    pub(crate) async fn add_item_rule(
        &self,
        caller: &Caller,
        new: NewRule,
    ) -> Result<ItemApprovalRule, Error> {
        let rule = self.make_rule(caller, new).await?;
        // It may be open to somebody from now on.
        self.shared.items_changed();
        to_item_rule(&rule, &self.shared.read().view()?.catalog).ok_or(Error::NotFound)
    }

    async fn make_rule(
        &self,
        caller: &Caller,
        new: NewRule,
    ) -> Result<Arc<approval_rule::ApprovalRule>, Error> {
        self.check_whole(caller, AuditAction::RuleAdd)?;
        let NewRule { effect, about, rights, clients, proof } = new;
        let clients = {
            let published = self.shared.read();
            let catalog = &published.view()?.catalog;
            let is_there = match &about {
                RuleAbout::Secret(name) => catalog.of(caller).by_name(name).is_some(),
                RuleAbout::Item(id) => catalog.items.by_id(*id).is_some(),
            };
            if !is_there {
                return Err(Error::NotFound);
            }
            pattern_of(clients, effect, catalog)?
        };
        let caller = match effect {
            Effect::Allow => self.prove(caller, proof, AuditAction::RuleAdd).await?,
            Effect::Deny => caller.clone(),
        };
        let rule = self
            .write(&caller, move |batch, caller| batch.add_rule_for(caller, &about, effect, rights, clients));
        let rule = rule.await?;
        let published = self.shared.read();
        let catalog = &published.view()?.catalog;
        let now = self.shared.clock.now();
        self.shared.approvals.settle_by_rules(|secret| catalog.approval_rules_of(secret), now);
        Ok(rule)
    }

    /// Removes an approval rule: from then on a person is asked again. Scope `admin`, on all names.
    pub(crate) async fn remove_approval_rule(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        self.check_whole(caller, AuditAction::RuleRemove)?;
        self.write(caller, move |batch, caller| batch.remove_approval_rule(caller, id)).await?;
        self.shared.items_changed();
        Ok(())
    }
}

/// The pattern of a rule that is made beforehand.
fn pattern_of(clients: ClientPattern, effect: Effect, catalog: &Catalog) -> Result<Pattern, Error> {
    let unfit =
        |message| Err(Error::UnfitAnswer("client", Invalid::new(FieldErrorType::ValueError, message)));
    let ClientPattern { token, unit, program, script, directory, command } = clients;
    let token = if token == OWNER {
        None
    } else if token == ITEMS_NAME {
        Some(ITEMS_TOKEN)
    } else {
        match catalog.tokens.all().find(|known| known.name().as_str() == token) {
            Some(known) => Some(known.rights.id),
            None => return unfit("there is no token of this name; `owner` is the owner's"),
        }
    };
    let pattern = Pattern { token, unit, program, script, directory, command };
    if token.is_none_or(|token| token == ITEMS_TOKEN) && !pattern.is_narrow() {
        return unfit(
            "with the owner's token every program is meant; name a program, command, unit or directory too",
        );
    }
    if effect == Effect::Allow && !rights::may_be_allowed(&pattern) {
        return unfit(
            "this is any program, or one that runs whatever it is given; name a script, command or unit",
        );
    }
    Ok(pattern)
}

/// What people are told of a rule, if its secret is there.
fn to_wire(rule: &approval_rule::ApprovalRule, catalog: &Catalog) -> Option<ApprovalRule> {
    let Meta { secret, effect, rights, clients, created_at } = &rule.meta;
    Some(ApprovalRule {
        id: rule.id,
        effect: *effect,
        secret: catalog.all().any(*secret)?.meta.name.clone(),
        rights: rights.clone(),
        client: clients_to_wire(clients, catalog),
        created_at: *created_at,
    })
}

/// The same of a rule on an item.
fn to_item_rule(rule: &approval_rule::ApprovalRule, catalog: &Catalog) -> Option<ItemApprovalRule> {
    let Meta { secret, effect, rights, clients, created_at } = &rule.meta;
    Some(ItemApprovalRule {
        id: rule.id,
        effect: *effect,
        item: catalog.items.any(*secret)?.named(),
        rights: rights.clone(),
        client: clients_to_wire(clients, catalog),
        created_at: *created_at,
    })
}

fn clients_to_wire(clients: &Pattern, catalog: &Catalog) -> ClientPattern {
    let token = match clients.token {
        None => OWNER.to_owned(),
        Some(ITEMS_TOKEN) => ITEMS_NAME.to_owned(),
        Some(id) => {
            catalog.tokens.by_id(id).map_or_else(|| id.to_string(), |token| token.name().as_str().to_owned())
        }
    };
    let Pattern { token: _, unit, program, script, directory, command } = clients.clone();
    ClientPattern { token, unit, program, script, directory, command }
}
