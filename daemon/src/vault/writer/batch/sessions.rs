//! Beginning sessions, and what the audit log says of them, inside a batch. A session is an access token that may do
//! nothing but use the values of some secrets.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::AuditAction;
use secrets_proto::rule::Rule;
use secrets_proto::session::{BeginSession, SessionSecret};
use secrets_proto::token::{Scope, TokenName};
use secrets_proto::{Glob, SecretName, Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::crypto;
use crate::vault::format::record::Record;
use crate::vault::format::token::{Meta, SealedScope, Session, Token, session_name};
use crate::vault::writer::catalog::Change;
use crate::vault::{Error, Unusable};

use super::Batch;
use super::approvals::Why;
use super::tokens::of_session;

/// The most sessions that there can be.
const MOST: usize = 256;

/// How many of them are the owner's alone: no token can take all.
const FOR_THE_OWNER: usize = 64;

/// The most sessions that were begun with one of the owner's tokens, and with what those have made.
const OF_A_TOKEN: usize = 32;

/// What the facade knows of rules and placeholders.
pub(in crate::vault) struct Means {
    /// The rules that hold for a secret.
    pub(in crate::vault) rules: fn(&Record) -> Vec<Rule>,
    /// A new placeholder for a value.
    pub(in crate::vault) placeholder: fn(&str) -> Result<String, crypto::Error>,
}

/// A session that was begun, but for its token.
pub(in crate::vault) struct Begun {
    pub(in crate::vault) id: Uuid,
    pub(in crate::vault) expires_at: Timestamp,
    pub(in crate::vault) secrets: Vec<SessionSecret>,
}

impl Batch<'_> {
    /// Begins a session whose token has this digest. It is refused whole, with all that is wrong, if a secret is missing
    /// or its value cannot be used anywhere.
    pub(in crate::vault) fn begin_session(
        &mut self,
        caller: &Caller,
        request: BeginSession,
        hash: [u8; 32],
        means: &Means,
    ) -> Result<Begun, Error> {
        let now = Timestamp::now();
        let expires_at = end_of(caller, request.ttl_seconds, now)?;
        let seen = self.catalog.of(caller);
        let wanted: Vec<Arc<Record>> =
            request.secrets.iter().filter_map(|name| seen.by_name(name)).cloned().collect();
        if wanted.len() == request.secrets.len() {
            // Once for all of them, and for the life of the session.
            let why = Why { purpose: Some(&request.purpose), reason: None };
            self.approve(caller, GuardedRight::Use, AuditAction::UseBegin, &wanted, why)?;
        }
        let secrets = self.usable(caller, &request.secrets, request.learn, means)?;
        let ids = secrets.iter().filter_map(|secret| self.catalog.of(caller).by_name(&secret.name));
        let ids = ids.map(|record| record.id).collect();
        // Those that have ended make room.
        if let Some(now) = self.catalog.tokens.forgetting_time() {
            self.forget_tokens(&Caller::daemon("expiry"), now)?;
        }
        self.check_room(caller)?;
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let malformed = |_| Error::Internal("a session's token is not of its form");
        let globs = secrets.iter().map(|secret| Glob::parse(secret.name.as_str()));
        let token = Token::new(
            id,
            Meta {
                name: TokenName::parse(&session_name(id)).map_err(malformed)?,
                hash: HEXLOWER.encode(&hash),
                scopes: vec![SealedScope::Known(Scope::Use)],
                secrets: Some(globs.collect::<Result<_, _>>().map_err(malformed)?),
                created_at: now,
                expires_at: Some(expires_at),
                rate_per_minute: caller.rights().and_then(|rights| rights.rate_per_minute),
                last_used_at: None,
                made_by: caller.rights().map(|rights| rights.id),
                session: Some(Session { purpose: request.purpose, command: request.command, secrets: ids }),
            },
        )?;
        self.insert_row(&token.seal(self.keys)?)?;
        let event = Event { approvals: self.approved_by(), ..of_session(AuditAction::UseBegin, &token) };
        self.audit(caller, event)?;
        self.apply(Change::PutToken(Box::new(token)));
        Ok(Begun { id, expires_at, secrets })
    }

    /// Ends a session: the caller's own, one that it has begun, or, for the owner, any.
    pub(in crate::vault) fn end_session(&mut self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        let is_session = self.catalog.tokens.by_id(id).is_some_and(|token| token.session().is_some());
        let is_its = caller
            .rights()
            .is_none_or(|rights| rights.id == id || self.catalog.tokens.descendants(rights.id).contains(&id));
        if !is_session || !is_its {
            return Err(Error::NotFound);
        }
        self.revoke_token(caller, id)
    }

    /// Whether the caller may begin one more. Who holds a token keeps neither the owner nor other tokens from it.
    fn check_room(&self, caller: &Caller) -> Result<(), Error> {
        let sessions = || self.catalog.tokens.all().filter(|token| token.session().is_some());
        let room = caller.rights().is_none_or(|rights| {
            let tokens = &self.catalog.tokens;
            let mut first = rights.id;
            while let Some(maker) = tokens.by_id(first).and_then(Token::made_by) {
                first = maker;
            }
            let own = tokens.descendants(first);
            let own = sessions().filter(|token| own.contains(&token.rights.id)).count();
            own < OF_A_TOKEN && sessions().count() < MOST - FOR_THE_OWNER
        });
        if room && sessions().count() < MOST { Ok(()) } else { Err(Error::TooManySessions) }
    }

    /// The secrets with these names, each once, with placeholders for their values; those without a rule only to `learn`.
    fn usable(
        &self,
        caller: &Caller,
        names: &[SecretName],
        learn: bool,
        means: &Means,
    ) -> Result<Vec<SessionSecret>, Error> {
        let secrets = self.catalog.of(caller);
        let missing = |(at, name): (usize, &SecretName)| secrets.by_name(name).is_none().then_some(at);
        let missing: Vec<usize> = names.iter().enumerate().filter_map(missing).collect();
        if !missing.is_empty() {
            return Err(Error::Missing(missing));
        }
        let (mut usable, mut unusable) = (Vec::<SessionSecret>::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let Some(record) = secrets.by_name(name) else { continue };
            let rules = (means.rules)(record);
            let has_none = rules.is_empty() && learn;
            if rules.is_empty() && !learn {
                unusable.push((at, Unusable::NoRule));
                continue;
            }
            let value = self.open_value(record)?;
            if !has_none && !rules.iter().any(|rule| rule.site.can_hold(value.expose())) {
                unusable.push((at, Unusable::Value));
            } else if usable.iter().all(|secret| secret.name != *name) {
                let placeholder = (means.placeholder)(value.expose())?;
                usable.push(SessionSecret { name: name.clone(), placeholder, rules });
            }
        }
        if unusable.is_empty() { Ok(usable) } else { Err(Error::Unusable(unusable)) }
    }
}

/// When a session ends: not after what it is begun with. What is not said follows that, what is said and goes beyond is
/// refused.
fn end_of(caller: &Caller, ttl: Option<u64>, now: Timestamp) -> Result<Timestamp, Error> {
    let seconds = i64::try_from(ttl.unwrap_or(BeginSession::DEFAULT_TTL)).unwrap_or(i64::MAX);
    let asked = now.saturating_add_seconds(seconds);
    match caller.rights().and_then(|rights| rights.expires_at) {
        Some(end) if end < asked && ttl.is_some() => Err(Error::BeyondMaker),
        Some(end) => Ok(end.min(asked)),
        None => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::caller::{Peer, TokenRights};

    #[test]
    fn a_session_ends_with_what_it_is_begun_with_at_the_latest() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let after = |seconds| now.saturating_add_seconds(seconds);
        let peer = Peer { uid: 1, pid: 1 };
        let holding = |expires_at| {
            let rights = TokenRights {
                id: Uuid::nil(),
                name: "maker".into(),
                scopes: [Scope::Use].into_iter().collect(),
                names: None,
                expires_at,
                rate_per_minute: None,
            };
            Caller::holding(peer, Arc::new(rights))
        };
        for caller in [Caller::owner(peer), holding(None), holding(Some(after(86_400)))] {
            assert_eq!(end_of(&caller, None, now).unwrap(), after(43_200));
            assert_eq!(end_of(&caller, Some(60), now).unwrap(), after(60));
        }
        let short = holding(Some(after(3_600)));
        assert_eq!(end_of(&short, None, now).unwrap(), after(3_600));
        assert_eq!(end_of(&short, Some(3_600), now).unwrap(), after(3_600));
        assert!(matches!(end_of(&short, Some(3_601), now), Err(Error::BeyondMaker)));
    }
}
