//! What is asked of the daemon, and how it is answered.

use std::path::PathBuf;

use secrets_client::{Call, Client, Error, Limits, Method, Paths};
use secrets_proto::approval::{Approval, ApprovalList, ApprovalScope, Decision, Effect, Proof};
use secrets_proto::vault::UnlockRequest;
use secrets_proto::{ErrorType, SensitiveString, Uuid};

/// The daemon of this user.
#[derive(Clone)]
pub(crate) struct Daemon {
    client: Client,
}

impl Daemon {
    /// The daemon that `secretctl` would ask, by the same flags and variables.
    pub(crate) fn find(socket: Option<PathBuf>, token: Option<PathBuf>) -> Result<Self, String> {
        let paths =
            Paths::find(socket, token, |name| std::env::var_os(name)).map_err(|error| error.to_string())?;
        Ok(Self { client: Client::new(paths.socket, paths.token, Limits::default()) })
    }

    /// What waits for a person: now, or as soon as it has changed after that state. Who waits here is known to the daemon
    /// as one who can answer.
    pub(crate) async fn asks(&self, after: Option<u64>) -> Result<ApprovalList, Error> {
        let call = Call::get("/approvals");
        let call = match after {
            Some(after) => call.once_changed(after),
            None => call,
        };
        self.client.send(&call).await?.parse()
    }

    /// Denies an ask; this takes nothing.
    pub(crate) async fn deny(&self, ask: Uuid) -> Result<(), Error> {
        let decision =
            Decision { decision: Effect::Deny, scope: None, seconds: None, client: None, proof: None };
        self.decide(ask, &decision).await
    }

    /// Allows an ask with what was typed, the passphrase or a recovery key, or opens the vault with it, if that is what was
    /// asked for.
    pub(crate) async fn allow(
        &self,
        ask: &Approval,
        scope: Option<ApprovalScope>,
        typed: SensitiveString,
    ) -> Result<(), Error> {
        let (recovery_key, passphrase) = Proof::readings(typed);
        if let Some(proof) = recovery_key {
            let done = self.allow_with(ask, scope, proof).await;
            let kind = done.as_ref().err().and_then(Error::kind);
            if !matches!(kind, Some(ErrorType::WrongKeyError | ErrorType::ValidationError)) {
                return done;
            }
        }
        self.allow_with(ask, scope, passphrase).await
    }

    async fn allow_with(
        &self,
        ask: &Approval,
        scope: Option<ApprovalScope>,
        proof: Proof,
    ) -> Result<(), Error> {
        let Some(scope) = scope else {
            let Proof { passphrase, recovery_key } = proof;
            let request = UnlockRequest { passphrase, recovery_key, ..UnlockRequest::default() };
            let call = Call::new(Method::POST, "/vault/unlock").json(&request)?;
            return self.client.send(&call).await.map(drop);
        };
        let (scope, proof) = (Some(scope), Some(proof));
        let decision = Decision { decision: Effect::Allow, scope, seconds: None, client: None, proof };
        self.decide(ask.id, &decision).await
    }

    async fn decide(&self, ask: Uuid, decision: &Decision) -> Result<(), Error> {
        let call = Call::new(Method::POST, &format!("/approvals/{ask}/decision")).json(decision)?;
        self.client.send(&call).await.map(drop)
    }
}
