//! The facade's operations of the socket over which values are taken: to use one in a request, and to tell of a request
//! that got none.

use std::sync::Arc;
use std::time::Duration;

use secrets_proto::audit::{AuditAction, Refusal};
use secrets_proto::reveal::Remark;
use secrets_proto::session::{RefusedRequest, RefusedUse, ReturnedLease, TakeReply, TakeRequest, WhyRefused};

use crate::audit::Event;
use crate::caller::{Caller, Scope};

use super::writer::batch::told_of;
use super::writer::command::Command;
use super::{Error, Vault, rules};

impl Vault {
    /// Hands over a value to be used in this request, if a rule of the secret allows it. Its audit entry is durable
    /// before, or, within a minute of one, it is counted. Scope `use`, and a session's token.
    pub(crate) async fn take(&self, caller: &Caller, request: TakeRequest) -> Result<TakeReply, Error> {
        self.check(caller, Scope::Use, AuditAction::Use)?;
        // What is asked once a lock is due waits for the lock, and so would a lease that is returned.
        let lease = request.lease && self.auto_lock.stays_open(Duration::from_secs(1));
        let request = TakeRequest { lease, ..request };
        let shared = Arc::clone(&self.shared);
        let taken = self.write_for_answer(caller, move |batch, caller| {
            batch.take(caller, &request, rules::that_hold, &shared.uses(), shared.clock.now())
        });
        let reply = self.note_no_session(caller, taken.await)?;
        self.shared.touch();
        Ok(reply)
    }

    /// Takes a lease back, and counts its uses. Scope `use`, and the token of the session that has it: of any other lease
    /// nothing is said.
    pub(crate) fn returned(&self, caller: &Caller, lease: ReturnedLease) -> Result<(), Error> {
        self.check(caller, Scope::Use, AuditAction::Use)?;
        let ReturnedLease { id, uses } = lease;
        if caller.rights().is_some_and(|rights| self.shared.returned(id, rights.id, uses)) {
            // If the thread has ended, so has the daemon.
            let _ = self.commands.send(Command::Wake);
        }
        Ok(())
    }

    /// Gives no more leases, and waits for those that there are: the daemon ends. Scope `admin`.
    pub(crate) async fn end_leases(&self, caller: &Caller) -> Result<(), Error> {
        self.check(caller, Scope::Admin, AuditAction::Lock)?;
        self.ask(Command::EndLeases).await
    }

    /// Notes for the audit log that a request got no value. Scope `use`.
    pub(crate) fn refused_use(&self, caller: &Caller, refused: RefusedUse) -> Result<(), Error> {
        self.check(caller, Scope::Use, AuditAction::Use)?;
        let RefusedUse { secret, refused, why } = refused;
        let refusal = match why {
            WhyRefused::HostNotAllowed | WhyRefused::RuleMismatch => Refusal::Rule,
            WhyRefused::HostMismatch
            | WhyRefused::AmbiguousPath
            | WhyRefused::Smuggling
            | WhyRefused::PlaceholderEnded
            | WhyRefused::PlaceholderMisplaced
            | WhyRefused::PlaceholderRepeated
            | WhyRefused::BodyForm
            | WhyRefused::SignatureForm
            | WhyRefused::PlainHttp
            | WhyRefused::PrivateAddress => Refusal::Request,
        };
        let RefusedRequest { method, host, port, path } = &refused;
        let used = told_of(method, host, *port, path);
        // A name that the caller does not see is not written down for it.
        let names = secret.into_iter().filter(|name| caller.sees(name)).collect();
        let event = Event {
            names,
            used: Some(used),
            reason: Remark::parse(why.as_str()).ok(),
            ..Event::refused(AuditAction::Use, refusal)
        };
        self.note(caller, event, refusal);
        Ok(())
    }

    /// Notes as a refusal that the token is of no session. The batch notes all others, with the request.
    fn note_no_session<T>(&self, caller: &Caller, outcome: Result<T, Error>) -> Result<T, Error> {
        if matches!(outcome, Err(Error::NoSession)) {
            return self.note_refusal(caller, AuditAction::Use, outcome);
        }
        outcome
    }
}
