//! Changes of access tokens, inside a batch.

use data_encoding::HEXLOWER;
use secrets_proto::audit::AuditAction;
use secrets_proto::reveal::Remark;
use secrets_proto::token::{CreateToken, ITEMS_NAME, TokenInfo};
use secrets_proto::{Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::{Caller, Scopes, TokenRights};
use crate::crypto;
use crate::store::RecordKind;
use crate::vault::Error;
use crate::vault::format::token::{Meta, SealedScope, Token};
use crate::vault::writer::catalog::Change;

use super::Batch;

/// The most tokens that there can be, beside sessions.
const MOST: usize = 256;

impl Batch<'_> {
    /// Refuses a caller whose token was revoked, or has expired, while its request was waiting.
    pub(in crate::vault) fn admit(&mut self, caller: &Caller) -> Result<(), Error> {
        self.forget_approval();
        caller.rights().map_or(Ok(()), |rights| self.catalog.tokens.check(rights))
    }

    /// Makes a token with this digest.
    pub(in crate::vault) fn create_token(
        &mut self,
        caller: &Caller,
        new: CreateToken,
        hash: [u8; 32],
    ) -> Result<TokenInfo, Error> {
        let now = Timestamp::now();
        let (expires_at, rate_per_minute) = within(caller.rights(), &new, now)?;
        if self.catalog.tokens.has_name(&new.name) || new.name.is_same(ITEMS_NAME) {
            return Err(Error::TokenNameTaken);
        }
        if self.catalog.tokens.all().filter(|token| token.session().is_none()).count() >= MOST {
            return Err(Error::TooManyTokens);
        }
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let scopes: Scopes = new.scopes.into_iter().collect();
        let token = Token::new(
            id,
            Meta {
                name: new.name,
                hash: HEXLOWER.encode(&hash),
                scopes: scopes.to_vec().into_iter().map(SealedScope::Known).collect(),
                secrets: new.secrets,
                created_at: now,
                expires_at,
                rate_per_minute,
                last_used_at: None,
                made_by: caller.rights().map(|rights| rights.id),
                session: None,
            },
        )?;
        self.insert_row(&token.seal(self.keys)?)?;
        self.audit(caller, about(AuditAction::TokenCreate, &token))?;
        let info = token.to_info();
        self.apply(Change::PutToken(Box::new(token)));
        Ok(info)
    }

    /// Revokes a token and all that it has made.
    pub(in crate::vault) fn revoke_token(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        if self.catalog.tokens.by_id(id).is_none() {
            return Err(Error::NotFound);
        }
        let made = self.catalog.tokens.descendants(id);
        std::iter::once(id).chain(made).try_for_each(|id| self.remove_token(caller, id))
    }

    /// Removes the tokens that have been expired for so long that nobody needs to be told.
    pub(in crate::vault) fn forget_tokens(&mut self, caller: &Caller, now: Timestamp) -> Result<(), Error> {
        let all = self.catalog.tokens.all();
        let due: Vec<Uuid> =
            all.filter(|token| token.is_forgotten(now)).map(|token| token.rights.id).collect();
        due.into_iter().try_for_each(|id| self.remove_token(caller, id))
    }

    /// Writes down when tokens were last used, since something is written anyway.
    pub(in crate::vault) fn note_token_use(&mut self) -> Result<(), Error> {
        let used: Vec<Token> = self.catalog.tokens.all().filter_map(Token::with_use).collect();
        for token in used {
            self.delete_token(&token)?;
            self.insert_row(&token.seal(self.keys)?)?;
            self.apply(Change::PutToken(Box::new(token)));
        }
        Ok(())
    }

    fn remove_token(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let token = self.catalog.tokens.by_id(id).cloned().ok_or(Error::NotFound)?;
        self.delete_token(&token)?;
        self.apply(Change::RemoveToken(id));
        if token.session().is_some() {
            return self.audit(caller, of_session(AuditAction::UseEnd, &token));
        }
        self.audit(caller, about(AuditAction::TokenRevoke, &token))
    }

    fn delete_token(&mut self, token: &Token) -> Result<(), Error> {
        let (id, version) = token.row_key();
        let row = self.writing.record(RecordKind::Token, &id, version)?;
        self.delete_row(&row.ok_or(Error::Corrupt("a token's row is missing"))?)
    }
}

/// When a new token ends and how often it may ask, within what its creator has: what is not given follows its creator, what
/// is given and goes beyond is refused.
fn within(
    maker: Option<&TokenRights>,
    new: &CreateToken,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<u64>), Error> {
    let after = |seconds| now.saturating_add_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    let usual = after(CreateToken::DEFAULT_TTL);
    let Some(maker) = maker else {
        let expires_at = new.ttl_seconds.map_or(Some(usual), |ttl| ttl.map(after));
        return Ok((expires_at, new.rate_per_minute));
    };
    let expires_at = match (new.ttl_seconds, maker.expires_at) {
        (None, end) => Some(end.map_or(usual, |end| end.min(usual))),
        (Some(ttl), end) => {
            let asked = ttl.map(after);
            if end.is_some_and(|end| asked.is_none_or(|asked| asked > end)) {
                return Err(Error::BeyondMaker);
            }
            asked
        }
    };
    let beyond = |rate| maker.rate_per_minute.is_some_and(|most| rate > most);
    if new.rate_per_minute.is_some_and(beyond)
        || new.scopes.iter().any(|scope| !maker.scopes.contains(*scope))
    {
        return Err(Error::BeyondMaker);
    }
    Ok((expires_at, new.rate_per_minute.or(maker.rate_per_minute)))
}

/// What the audit log says about a token: which, and its scopes.
fn about(action: AuditAction, token: &Token) -> Event {
    let scopes: Vec<&str> = token.rights.scopes.to_vec().into_iter().map(|scope| scope.as_str()).collect();
    let text = format!("token {}: {}", token.name(), scopes.join(", "));
    Event { reason: Remark::parse(&text).ok(), ..Event::done(action, Vec::new()) }
}

/// What the audit log says about a session: which, for what, and for which secrets.
pub(super) fn of_session(action: AuditAction, token: &Token) -> Event {
    let session = token.session();
    Event {
        purpose: session.map(|session| session.purpose.clone()),
        command: session.and_then(|session| session.command.clone()),
        reason: Remark::parse(token.name().as_str()).ok(),
        ..Event::done(action, token.session_names())
    }
}

#[cfg(test)]
mod tests {
    use secrets_proto::token::{Scope, TokenName};

    use super::*;

    fn new(scopes: &[Scope], ttl_seconds: Option<Option<u64>>, rate_per_minute: Option<u64>) -> CreateToken {
        let name = TokenName::parse("new").unwrap();
        CreateToken { name, scopes: scopes.to_vec(), secrets: None, ttl_seconds, rate_per_minute }
    }

    #[test]
    fn a_token_gives_no_more_than_its_maker_has() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let after = |seconds| Some(now.saturating_add_seconds(seconds));
        let maker = TokenRights {
            id: Uuid::nil(),
            name: "maker".into(),
            scopes: [Scope::List, Scope::Admin].into_iter().collect(),
            names: None,
            expires_at: after(3_600),
            rate_per_minute: Some(60),
        };
        let made = |new| within(Some(&maker), &new, now);
        let list = [Scope::List];
        assert_eq!(made(new(&list, None, None)).unwrap(), (after(3_600), Some(60)));
        assert_eq!(made(new(&list, Some(Some(60)), Some(6))).unwrap(), (after(60), Some(6)));
        for beyond in [
            new(&[Scope::List, Scope::Reveal], None, None),
            new(&list, Some(None), None),
            new(&list, Some(Some(3_601)), None),
            new(&list, None, Some(61)),
        ] {
            assert!(matches!(made(beyond), Err(Error::BeyondMaker)));
        }
        let owner = |new| within(None, &new, now).unwrap();
        let all = Scope::ALL;
        assert_eq!(owner(new(&all, None, None)), (after(30 * 86_400), None));
        assert_eq!(owner(new(&all, Some(None), Some(60_000))), (None, Some(60_000)));
        let endless = TokenRights { expires_at: None, ..maker };
        assert_eq!(within(Some(&endless), &new(&list, Some(None), None), now).unwrap().0, None);
        assert_eq!(within(Some(&endless), &new(&list, None, None), now).unwrap().0, after(30 * 86_400));
    }
}
