//! The proof that a person asks who owns the vault: the passphrase or the recovery key. It is checked as at an unlock: off
//! the request path, one at a time, and late when it is wrong.

use secrets_proto::audit::AuditAction;

use crate::caller::Caller;

use super::writer::command::Command;
use super::{Error, Key, Vault};

impl Vault {
    /// The caller, proven by this key. A key that programs can read is no proof, and neither is none. What is refused is noted
    /// for the audit log.
    pub(super) async fn prove(
        &self,
        caller: &Caller,
        proof: Option<Key>,
        action: AuditAction,
    ) -> Result<Caller, Error> {
        let Some(key @ (Key::Passphrase(_) | Key::Recovery(_))) = proof else {
            return self.note_refusal(caller, action, Err(Error::Unproven));
        };
        // Locked meanwhile: then there is nothing to prove for.
        self.shared.read().view()?;
        let found = self.ask(Command::Slots).await?;
        let offered = self.settings.keys.secret_of(key).await;
        let offered = match offered {
            // Too long, or no recovery key at all: it is as wrong as any other, and told as late.
            Err(Error::UnusableKey(..)) => Err(Error::WrongKey),
            offered => offered,
        };
        let opened = match offered {
            Ok(offered) => {
                let open = self
                    .derivations
                    .run(move |cancel| offered.open(&found.slots, found.identity, || cancel.check()));
                open.await.map(drop)
            }
            Err(error) => Err(error),
        };
        // Before the delay, for which the caller need not wait.
        let opened = self.note_refusal(caller, action, opened);
        self.derivations.delay_if_wrong(opened).await?;
        Ok(caller.proven())
    }

    /// The caller, proven if it offers a proof. While a secret is guarded it must.
    pub(super) async fn prove_if_guarded(
        &self,
        caller: &Caller,
        proof: Option<Key>,
        action: AuditAction,
    ) -> Result<Caller, Error> {
        let has_guarded = self.shared.read().view()?.catalog.has_guarded();
        if proof.is_none() && !has_guarded {
            return Ok(caller.clone());
        }
        self.prove(caller, proof, action).await
    }
}
