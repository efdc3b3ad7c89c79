//! The first step of every operation: whether its caller may. What is refused, here or later, is noted for the audit log.

use std::time::Instant;

use secrets_proto::audit::{AuditAction, Refusal};

use crate::audit::{Denial, Event};
use crate::caller::{Caller, Scope};

use super::writer::command::Command;
use super::{Error, Vault};

/// What an operation takes of its caller, and as what a refusal is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// A token that is still good.
    Token(AuditAction),
    /// A token with this scope.
    Scope(Scope, AuditAction),
    /// A token with the scope `admin` or `items`: it gives nothing away that is in the vault.
    AdminOrItems(AuditAction),
    /// A token with the scope `admin` that is not bound to names: it concerns the vault as a whole.
    Whole(AuditAction),
}

impl Vault {
    /// Checks a right before an operation is asked for. Errors: what the operation itself would answer first. What is
    /// refused is noted for the audit log.
    pub(crate) fn authorize(&self, caller: &Caller, right: Right) -> Result<(), Error> {
        match right {
            Right::Token(action) => self.check_token(caller, action),
            Right::Scope(scope, action) => self.check(caller, scope, action),
            Right::AdminOrItems(action) => self.check_either(caller, action),
            Right::Whole(action) => self.check_whole(caller, action),
        }
    }

    /// Whether the vault is open, so that an operation that the caller has the right to would be tried. Errors: what the
    /// operation would answer otherwise.
    pub(crate) fn check_open(&self, caller: &Caller) -> Result<(), Error> {
        self.is_good(caller)?;
        self.shared.read().view().map(drop)
    }

    /// The first step of every operation: whether the caller's token is still good, and has this right. What is refused
    /// is noted for the audit log.
    pub(super) fn check(&self, caller: &Caller, scope: Scope, action: AuditAction) -> Result<(), Error> {
        let outcome = self.has(caller, scope);
        self.note_refusal(caller, action, outcome)
    }

    /// Checks the caller for what takes the scope `admin` or `items`.
    pub(super) fn check_either(&self, caller: &Caller, action: AuditAction) -> Result<(), Error> {
        let outcome = self.has(caller, Scope::Items).or_else(|_| self.has(caller, Scope::Admin));
        self.note_refusal(caller, action, outcome)
    }

    /// Checks the caller for what concerns the vault as a whole: scope `admin`, and a token that is not bound to names.
    pub(super) fn check_whole(&self, caller: &Caller, action: AuditAction) -> Result<(), Error> {
        let outcome = self
            .has(caller, Scope::Admin)
            .and_then(|()| if caller.sees_all() { Ok(()) } else { Err(Error::BoundToNames) });
        self.note_refusal(caller, action, outcome)
    }

    /// Checks only whether the caller's token is still good, for what takes no right.
    pub(super) fn check_token(&self, caller: &Caller, action: AuditAction) -> Result<(), Error> {
        let outcome = self.is_good(caller);
        self.note_refusal(caller, action, outcome)
    }

    fn is_good(&self, caller: &Caller) -> Result<(), Error> {
        match caller.rights() {
            Some(rights) => self.shared.read().view()?.catalog.tokens.check(rights),
            None => Ok(()),
        }
    }

    fn has(&self, caller: &Caller, scope: Scope) -> Result<(), Error> {
        self.is_good(caller)?;
        if !caller.may(scope) {
            return Err(Error::Forbidden(scope));
        }
        // Items have no names that a token could be bound to.
        if scope == Scope::Items && !caller.sees_items() { Err(Error::BoundToNames) } else { Ok(()) }
    }

    /// Notes for the audit log that this was refused. Any scope: it is told, not asked.
    pub(crate) fn refused(&self, caller: &Caller, action: AuditAction, refusal: Refusal) {
        self.note(caller, Event::refused(action, refusal), refusal);
    }

    /// Notes this event, which was refused.
    pub(super) fn note(&self, caller: &Caller, event: Event, refusal: Refusal) {
        let action = event.action;
        let denial = Denial::now(caller, event);
        let (uid, pid) = (denial.caller.uid, denial.caller.pid);
        let noted = self.shared.denials().note(denial, Instant::now());
        if noted.is_new {
            tracing::info!(uid, pid, action = action.as_str(), why = refusal.in_words(), "refused");
        }
        if noted.is_next {
            // If the thread has ended, so has the daemon.
            let _ = self.commands.send(Command::Wake);
        }
    }

    /// Notes an outcome that is a refusal although the caller had the right.
    pub(super) fn note_refusal<T>(
        &self,
        caller: &Caller,
        action: AuditAction,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error) = &outcome
            && let Some(refusal) = error.refusal()
        {
            self.refused(caller, action, refusal);
        }
        outcome
    }
}
