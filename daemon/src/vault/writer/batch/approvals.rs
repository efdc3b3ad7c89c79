//! Guards and approval rules, inside a batch. Whether a guarded secret may be had or changed is asked here, on the way to
//! its value or its rows, so that no operation can forget to; and it is asked of the secrets as they are at that moment.

use std::sync::Arc;

use secrets_local::clock::Moment;
use secrets_proto::approval::{Effect, GuardedRight, MAX_RULES};
use secrets_proto::audit::{AuditAction, Refusal};
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::{Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::guarded::{self, RuleAbout, Subject};
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;
use crate::vault::format::approval_rule::{ApprovalRule, Meta, Pattern};
use crate::vault::format::record::Record;
use crate::vault::writer::approvals::{Answer, Approvals, Asked};
use crate::vault::writer::catalog::Change;

use super::Batch;

/// What a request says of itself.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Why<'a> {
    pub(super) purpose: Option<&'a Purpose>,
    pub(super) reason: Option<&'a Remark>,
}

/// What the requests of a batch ask, and what the present one was allowed.
#[derive(Default)]
pub(super) struct Gate {
    /// Where it is asked; nothing guarded is had or changed in a batch that has nobody to ask.
    asked_at: Option<(Arc<Approvals>, Moment)>,
    allowed: Vec<(Uuid, GuardedRight)>,
    /// By which rules and answers.
    by: Vec<Uuid>,
}

impl Batch<'_> {
    /// Says where, and when, requests ask for approval.
    pub(in crate::vault) fn ask_at(&mut self, approvals: Arc<Approvals>, now: Moment) {
        self.gate.asked_at = Some((approvals, now));
    }

    /// Begins a request: what the one before was allowed does not hold for it.
    pub(super) fn forget_approval(&mut self) {
        self.gate.allowed.clear();
        self.gate.by.clear();
    }

    /// By which rules and answers the present request was allowed.
    pub(super) fn approved_by(&self) -> Vec<Uuid> {
        self.gate.by.clone()
    }

    /// Goes on if none of these is guarded, or if all that are may be had or changed by the caller. What it refuses is noted,
    /// as `action` refused.
    pub(super) fn approve<'r>(
        &mut self,
        caller: &Caller,
        right: GuardedRight,
        action: AuditAction,
        records: impl IntoIterator<Item = &'r Arc<Record>>,
        why: Why<'_>,
    ) -> Result<(), Error> {
        let is_guarded = |record: &&Arc<Record>| record.meta.guarded;
        let guarded: Vec<(Uuid, Subject)> = records
            .into_iter()
            .filter(is_guarded)
            .map(|record| (record.id, record.meta.name.clone().into()))
            .collect();
        self.approve_guarded(caller, right, action, &guarded, why)
    }

    /// The same for what is known to be guarded.
    pub(super) fn approve_guarded(
        &mut self,
        caller: &Caller,
        right: GuardedRight,
        action: AuditAction,
        guarded: &[(Uuid, Subject)],
        why: Why<'_>,
    ) -> Result<(), Error> {
        if guarded.is_empty() {
            return Ok(());
        }
        let allow = |gate: &mut Gate| gate.allowed.extend(guarded.iter().map(|(id, _)| (*id, right)));
        if caller.is_daemon() {
            allow(&mut self.gate);
            return Ok(());
        }
        let asked_at = self.gate.asked_at.clone();
        let (approvals, now) = asked_at.ok_or(Error::Internal("nobody can be asked for approval"))?;
        let client = caller.client();
        let asked =
            Asked { client: &client, right, secrets: guarded, purpose: why.purpose, reason: why.reason };
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let rules = |secret| self.catalog.approval_rules_of(secret);
        let answer = approvals.ask(id, &asked, rules, now);
        let (names, items) = guarded::split(guarded.iter().map(|(_, subject)| subject.clone()));
        let event = |action, refusal, by| Event {
            names: names.clone(),
            items: items.clone(),
            purpose: why.purpose.cloned(),
            reason: why.reason.cloned(),
            refusal,
            approvals: by,
            ..Event::done(action, Vec::new())
        };
        match answer {
            Answer::Allowed(by) => {
                allow(&mut self.gate);
                self.gate.by = by;
                Ok(())
            }
            Answer::Denied { rule, secrets } => {
                let by = rule.into_iter().collect();
                self.refuse(caller, event(action, Some(Refusal::ApprovalDenied), by));
                let denied = guarded.iter().filter(|(id, _)| secrets.contains(id));
                let names = denied.map(|(_, subject)| subject.clone()).collect();
                Err(Error::ApprovalDenied { names, by_rule: rule.is_some() })
            }
            Answer::Asked { id, is_new } => {
                if is_new {
                    self.refuse(caller, event(AuditAction::Ask, None, vec![id]));
                }
                self.refuse(caller, event(action, Some(Refusal::ApprovalRequired), Vec::new()));
                Err(Error::ApprovalRequired(id))
            }
            Answer::TooMany => {
                self.refuse(caller, event(action, Some(Refusal::Throttled), Vec::new()));
                Err(Error::TooManyAsks)
            }
        }
    }

    /// Goes on with a secret whose value a unit or session was allowed to have before.
    pub(super) fn allowed_before(&mut self, record: &Record, right: GuardedRight) {
        self.allow_before(record.id, record.meta.guarded, right);
    }

    /// The same for anything with a guard.
    pub(super) fn allow_before(&mut self, id: Uuid, is_guarded: bool, right: GuardedRight) {
        if is_guarded {
            self.gate.allowed.push((id, right));
        }
    }

    /// The last look before a value is opened or a row is changed: a guarded secret for which nobody was asked stays shut.
    pub(super) fn check_approved(&self, record: &Record, rights: &[GuardedRight]) -> Result<(), Error> {
        self.check_allowed(record.id, record.meta.guarded, rights)
    }

    /// The same look for anything with a guard.
    pub(super) fn check_allowed(
        &self,
        id: Uuid,
        is_guarded: bool,
        rights: &[GuardedRight],
    ) -> Result<(), Error> {
        let is_allowed = |right: &GuardedRight| self.gate.allowed.contains(&(id, *right));
        if !is_guarded || rights.iter().any(is_allowed) {
            return Ok(());
        }
        Err(Error::Internal("a guarded secret was not asked for"))
    }

    /// The same look before a value's row is added or removed.
    pub(super) fn check_value_row(&self, row: &RecordRow) -> Result<(), Error> {
        let id = Uuid::from_bytes(row.id);
        let is_guarded = match row.kind {
            RecordKind::Value => self.catalog.all().any(id).is_some_and(|record| record.meta.guarded),
            RecordKind::ItemValue => self.catalog.items.any(id).is_some_and(|item| item.meta.guarded),
            RecordKind::Secret
            | RecordKind::Token
            | RecordKind::Credential
            | RecordKind::ApprovalRule
            | RecordKind::Item
            | RecordKind::Collection
            | RecordKind::Fleet
            | RecordKind::Object
            | RecordKind::Origin
            | RecordKind::Unknown(_) => false,
        };
        self.check_allowed(id, is_guarded, &[GuardedRight::Write])
    }

    /// Turns a guard on or off. Off, a person must have shown to be the owner. With a guard, the sessions end that use the
    /// secret: nobody was asked for them.
    pub(in crate::vault) fn set_guard(
        &mut self,
        caller: &Caller,
        id: Uuid,
        guarded: bool,
    ) -> Result<Arc<Record>, Error> {
        let old = self.find(caller, id, None)?;
        if old.meta.guarded == guarded {
            return Ok(old);
        }
        if !guarded && !caller.is_proven() {
            return Err(Error::Unproven);
        }
        let action = if guarded { AuditAction::Guard } else { AuditAction::Unguard };
        self.allowed_before(&old, GuardedRight::Write);
        let record = old.next(|meta| meta.guarded = guarded);
        self.put(Some(&old), record, caller, action)?;
        if guarded {
            self.end_sessions_with(caller, id)?;
        }
        self.find(caller, id, None)
    }

    /// Ends the sessions that use this secret.
    pub(super) fn end_sessions_with(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let uses = self
            .catalog
            .tokens
            .all()
            .filter(|token| token.session().is_some_and(|session| session.secrets.contains(&id)));
        let sessions: Vec<Uuid> = uses.map(|token| token.rights.id).collect();
        for session in sessions {
            // One may have gone with another.
            if self.catalog.tokens.by_id(session).is_some() {
                self.revoke_token(caller, session)?;
            }
        }
        Ok(())
    }

    /// Makes an approval rule about a secret or an item.
    pub(in crate::vault) fn add_rule_for(
        &mut self,
        caller: &Caller,
        about: &RuleAbout,
        effect: Effect,
        rights: Vec<GuardedRight>,
        clients: Pattern,
    ) -> Result<Arc<ApprovalRule>, Error> {
        let (secret, subject) = match about {
            RuleAbout::Secret(name) => {
                (self.catalog.of(caller).by_name(name).ok_or(Error::NotFound)?.id, name.clone().into())
            }
            RuleAbout::Item(id) => {
                (*id, self.catalog.items.by_id(*id).ok_or(Error::NotFound)?.named().into())
            }
        };
        let meta = Meta { secret, effect, rights, clients, created_at: Timestamp::now() };
        self.add_approval_rule(caller, meta, &subject)
    }

    /// Keeps an approval rule. One that is there already is no error. One that allows takes a proof.
    pub(in crate::vault) fn add_approval_rule(
        &mut self,
        caller: &Caller,
        meta: Meta,
        subject: &Subject,
    ) -> Result<Arc<ApprovalRule>, Error> {
        if meta.effect == Effect::Allow && !caller.is_proven() {
            return Err(Error::Unproven);
        }
        let same = |rule: &&Arc<ApprovalRule>| {
            let other = &rule.meta;
            (&other.effect, &other.rights, &other.clients) == (&meta.effect, &meta.rights, &meta.clients)
        };
        if let Some(rule) = self.catalog.approval_rules_of(meta.secret).iter().find(same) {
            return Ok(Arc::clone(rule));
        }
        if self.catalog.approval_rules().count() >= MAX_RULES {
            return Err(Error::TooManyApprovalRules);
        }
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let rule = Arc::new(ApprovalRule::new(id, meta));
        self.insert_row(&rule.seal(self.keys)?)?;
        self.apply(Change::PutApprovalRule(Arc::clone(&rule)));
        let (names, items) = guarded::split([subject.clone()]);
        let event = Event { approvals: vec![id], items, ..Event::done(AuditAction::RuleAdd, names) };
        self.audit(caller, event)?;
        Ok(rule)
    }

    /// Removes an approval rule: from then on a person is asked again.
    pub(in crate::vault) fn remove_approval_rule(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let rule = self.catalog.approval_rules().find(|rule| rule.id == id).cloned();
        let rule = rule.ok_or(Error::NotFound)?;
        let name = self.catalog.all().any(rule.meta.secret).map(|record| record.meta.name.clone());
        let item = self.catalog.items.any(rule.meta.secret).map(|item| item.named());
        self.delete_approval_rule(&rule)?;
        let (names, items) = (name.into_iter().collect(), item.into_iter().collect());
        self.audit(
            caller,
            Event { approvals: vec![id], items, ..Event::done(AuditAction::RuleRemove, names) },
        )
    }

    /// Removes the approval rules of a secret that is destroyed.
    pub(super) fn remove_approval_rules_of(&mut self, secret: Uuid) -> Result<(), Error> {
        let rules: Vec<_> = self.catalog.approval_rules_of(secret).to_vec();
        if let Some((approvals, _)) = &self.gate.asked_at {
            approvals.forget_secret(secret);
        }
        rules.iter().try_for_each(|rule| self.delete_approval_rule(rule))
    }

    fn delete_approval_rule(&mut self, rule: &Arc<ApprovalRule>) -> Result<(), Error> {
        let (id, version) = rule.row_key();
        let row = self.writing.record(RecordKind::ApprovalRule, &id, version)?;
        self.delete_row(&row.ok_or(Error::Corrupt("an approval rule's row is missing"))?)?;
        self.apply(Change::RemoveApprovalRule(Arc::clone(rule)));
        Ok(())
    }
}
