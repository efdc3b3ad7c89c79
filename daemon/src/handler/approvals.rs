//! The operations on `/approvals`, and on a secret's guard.

use std::time::Duration;

use secrets_proto::Uuid;
use secrets_proto::approval::{
    Approval, ApprovalList, ApprovalRule, ApprovalRuleList, Guard, ItemApprovalRule,
};

use super::secrets::{ById, Done};
use crate::caller::Caller;
use crate::vault::{AnswerTo, Error, Key, NewRule, Vault};

/// A guard to be turned on or off.
#[derive(Debug)]
pub(crate) struct SetGuard {
    /// The secret.
    pub(crate) id: Uuid,
    /// Whether it is to be guarded.
    pub(crate) guarded: bool,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
}

/// `PUT /user/secrets/{id}/guard`
pub(crate) async fn set_guard(vault: &Vault, caller: &Caller, new: SetGuard) -> Result<Guard, Error> {
    vault.set_guard(caller, new.id, new.guarded, new.proof).await
}

/// What is waited for.
#[derive(Debug)]
pub(crate) struct List {
    /// How long a change is waited for.
    pub(crate) wait: Duration,
    /// The state after which it is to be.
    pub(crate) after: Option<u64>,
}

/// `GET /approvals`
pub(crate) async fn list(vault: &Vault, caller: &Caller, asked: List) -> Result<ApprovalList, Error> {
    vault.approvals(caller, asked.wait, asked.after).await
}

/// One ask, and how long it is waited for.
#[derive(Debug)]
pub(crate) struct Get {
    /// The ask.
    pub(crate) id: Uuid,
    /// How long its answer is waited for.
    pub(crate) wait: Duration,
}

/// `GET /approvals/{id}`
pub(crate) async fn get(vault: &Vault, caller: &Caller, asked: Get) -> Result<Approval, Error> {
    vault.approval(caller, asked.id, asked.wait).await
}

/// An ask to open the vault.
#[derive(Debug)]
pub(crate) struct AskUnlock;

/// An ask that was made.
#[derive(Debug)]
pub(crate) struct Made(pub(crate) Approval);

/// `POST /approvals`
pub(crate) fn ask_unlock(vault: &Vault, caller: &Caller, _: AskUnlock) -> Result<Made, Error> {
    vault.ask_unlock(caller).map(Made)
}

/// An answer to an ask.
#[derive(Debug)]
pub(crate) struct Decide {
    /// The ask.
    pub(crate) id: Uuid,
    /// The answer.
    pub(crate) answer: AnswerTo,
}

/// `POST /approvals/{id}/decision`
pub(crate) async fn decide(vault: &Vault, caller: &Caller, asked: Decide) -> Result<Approval, Error> {
    vault.decide(caller, asked.id, asked.answer).await
}

/// `GET /approvals/rules`
pub(crate) fn rules(vault: &Vault, caller: &Caller, (): ()) -> Result<ApprovalRuleList, Error> {
    vault.approval_rules(caller)
}

/// An approval rule that was made.
#[derive(Debug)]
pub(crate) struct MadeRule(pub(crate) ApprovalRule);

/// `POST /approvals/rules`
pub(crate) async fn add_rule(vault: &Vault, caller: &Caller, new: NewRule) -> Result<MadeRule, Error> {
    vault.add_approval_rule(caller, new).await.map(MadeRule)
}

/// An approval rule to be made on an item.
#[derive(Debug)]
pub(crate) struct NewItemRule(pub(crate) NewRule);

/// One that was made.
#[derive(Debug)]
pub(crate) struct MadeItemRule(pub(crate) ItemApprovalRule);

/// `POST /items/{id}/rules`
pub(crate) async fn add_item_rule(
    vault: &Vault,
    caller: &Caller,
    new: NewItemRule,
) -> Result<MadeItemRule, Error> {
    vault.add_item_rule(caller, new.0).await.map(MadeItemRule)
}

/// `DELETE /approvals/rules/{id}`
pub(crate) async fn remove_rule(vault: &Vault, caller: &Caller, by: ById) -> Result<Done, Error> {
    vault.remove_approval_rule(caller, by.0).await.map(|()| Done)
}
