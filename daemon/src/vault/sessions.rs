//! The facade's operations on sessions, in which values are used and never seen.

use secrets_proto::Uuid;
use secrets_proto::audit::AuditAction;
use secrets_proto::session::{BeginSession, Session};

use crate::caller::{Caller, Scope};
use crate::crypto::token;

use super::placeholder::placeholder;
use super::writer::batch::{Begun, Means};
use super::{Error, Vault, rules};

impl Vault {
    /// Begins a session, whose token the answer alone holds; durable when this returns. No value is in the answer. Scope
    /// `use`.
    pub(crate) async fn begin_session(
        &self,
        caller: &Caller,
        request: BeginSession,
    ) -> Result<Session, Error> {
        self.check(caller, Scope::Use, AuditAction::UseBegin)?;
        let token = token::generate()?;
        let hash = token::hash(token.expose().as_bytes());
        let means = Means { rules: rules::that_hold, placeholder };
        let begun =
            self.write(caller, move |batch, caller| batch.begin_session(caller, request, hash, &means));
        let Begun { id, expires_at, secrets } =
            self.note_refusal(caller, AuditAction::UseBegin, begun.await)?;
        Ok(Session { id, token, expires_at, secrets })
    }

    /// Ends a session that the caller has begun, or that it is. Scope `use`.
    pub(crate) async fn end_session(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        self.check(caller, Scope::Use, AuditAction::UseEnd)?;
        self.write_denials();
        self.write_again(caller, move |batch, caller| batch.end_session(caller, id)).await
    }
}
