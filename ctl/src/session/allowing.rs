//! What a person must allow, on the way to an answer: by an answer to an ask, or by a proof that comes with the request.

use secrets_client::{Answer, Call, Method};
use secrets_proto::approval::{Approval, Decision, Proof};
use secrets_proto::vault::UnlockRequest;
use secrets_proto::{ErrorType, Uuid};
use serde::de::DeserializeOwned;

use super::{Session, WAITING};
use crate::approval::{self, Patience, Ways};
use crate::failure::Failure;
use crate::output;

impl Session {
    /// Reads an answer that may be long in coming, of which nobody is told.
    pub(crate) fn fetch_quietly<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        let answer = self.runtime.block_on(self.client.send(call));
        Ok(answer.map_err(|error| self.explain(error))?.parse()?)
    }

    /// Answers an ask.
    pub(crate) fn decide(&self, ask: Uuid, decision: &Decision) -> Result<Approval, Failure> {
        let call = Call::new(Method::POST, &format!("/approvals/{ask}/decision")).json(decision)?;
        Ok(self.call_slowly(&call, "checking…")?.parse()?)
    }

    /// Does something with the ways to ask how an ask stands and to answer it.
    pub(crate) fn with_ways<T>(&self, work: impl FnOnce(&Ways<'_>) -> T) -> T {
        let get = |ask: Uuid, wait: u64| {
            let call = Call::get(&format!("/approvals/{ask}")).query("wait", &wait.to_string());
            self.fetch_quietly(&call)
        };
        let decide = |ask: Uuid, decision: &Decision| self.decide(ask, decision);
        let open = |Proof { passphrase, recovery_key }: Proof| {
            let request = UnlockRequest { passphrase, recovery_key, ..UnlockRequest::default() };
            self.call_slowly(&Call::new(Method::POST, "/vault/unlock").json(&request)?, "checking…").map(drop)
        };
        work(&Ways { get: &get, decide: &decide, open: &open, step: self.step })
    }

    /// Sends a request that takes a proof while a secret is guarded: only then the passphrase is asked for.
    pub(crate) fn call_proven(
        &self,
        make: &dyn Fn(Option<Proof>) -> Result<Call, Failure>,
    ) -> Result<Answer, Failure> {
        self.call_proven_noted(make, WAITING)
    }

    /// Sends such a request, which may take a while; the note is what a person is told who waits.
    pub(crate) fn call_proven_noted(
        &self,
        make: &dyn Fn(Option<Proof>) -> Result<Call, Failure>,
        note: &str,
    ) -> Result<Answer, Failure> {
        match self.call_noted(&make(None)?, note) {
            Err(failure) if failure.kind() == Some(ErrorType::WrongKeyError) => {
                output::say("a secret is guarded, so this takes the passphrase of the vault");
                let act = |proof| self.call_slowly(&make(Some(proof))?, "checking…");
                approval::proven(&act, &|| false)?.ok_or(failure)
            }
            outcome => outcome,
        }
    }

    /// If a person must allow what was refused, has that done; anything else is the failure that it was.
    pub(super) fn have_allowed(&self, failure: Failure) -> Result<(), Failure> {
        let Some(id) = failure.ask() else { return Err(failure) };
        // Who holds an access token answers nothing that it has asked.
        let may_ask = self.patience.may_ask && !self.paths.token.is_access_token();
        let patience = Patience { may_ask, ..self.patience };
        let settled = self.with_ways(|ways| approval::settle(ways, id, patience));
        settled.map_err(|told| told.because(failure))
    }
}
