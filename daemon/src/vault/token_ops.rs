//! The facade's operations on access tokens, and the one question that is asked before there is a caller: whose a token
//! is.

use std::sync::Arc;
use std::time::Instant;

use secrets_proto::audit::AuditAction;
use secrets_proto::token::{CreateToken, CreatedToken, TokenInfo, TokenList};
use secrets_proto::{Timestamp, Uuid};

use crate::caller::{Caller, Peer, TokenRights};
use crate::crypto::token;

use super::{Error, Vault};

/// Why a token makes nobody a caller.
#[derive(Debug)]
pub(crate) struct Unidentified {
    /// What is wrong.
    pub(crate) error: Error,
    /// The token, if it is known and only its time is over or its rate used up.
    pub(crate) rights: Option<Arc<TokenRights>>,
}

impl From<Error> for Unidentified {
    fn from(error: Error) -> Self {
        Self { error, rights: None }
    }
}

impl Vault {
    /// Who holds this token, which is well-formed: a caller with the token's rights. Counts the request. While the
    /// vault is locked nobody can tell, because the digests are sealed.
    pub(crate) fn identify(&self, peer: Peer, text: &[u8], is_rated: bool) -> Result<Caller, Unidentified> {
        let published = self.shared.read();
        let tokens = &published.view()?.catalog.tokens;
        let token = tokens.by_hash(&token::hash(text)).ok_or(Error::UnknownToken)?;
        let now = Timestamp::now();
        let good = tokens.check_time(token).and_then(|()| tokens.take(token, Instant::now(), now, is_rated));
        good.map_err(|error| Unidentified { error, rights: Some(Arc::clone(&token.rights)) })?;
        Ok(Caller::holding(peer, Arc::clone(&token.rights)))
    }

    /// Makes a token, which the answer alone holds; durable when this returns. It gives no more than its maker has.
    /// Scope `admin`, on all names.
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        new: CreateToken,
    ) -> Result<CreatedToken, Error> {
        self.check_whole(caller, AuditAction::TokenCreate)?;
        let token = token::generate()?;
        let hash = token::hash(token.expose().as_bytes());
        let made = self.write(caller, move |batch, caller| batch.create_token(caller, new, hash)).await;
        let info = self.note_refusal(caller, AuditAction::TokenCreate, made)?;
        Ok(CreatedToken { info, token })
    }

    /// The tokens, by name. Scope `admin`, on all names.
    pub(crate) fn tokens(&self, caller: &Caller) -> Result<TokenList, Error> {
        self.check_whole(caller, AuditAction::TokenList)?;
        let published = self.shared.read();
        let all = published.view()?.catalog.tokens.all();
        let mut tokens: Vec<TokenInfo> = all.map(|token| token.to_info()).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(TokenList { tokens })
    }

    /// Revokes a token, with all that it has made; it is refused from then on. Scope `admin`, on all names.
    pub(crate) async fn revoke_token(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        self.check_whole(caller, AuditAction::TokenRevoke)?;
        self.write_denials();
        self.write_again(caller, move |batch, caller| batch.revoke_token(caller, id)).await
    }
}
