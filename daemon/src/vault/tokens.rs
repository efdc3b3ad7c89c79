//! Access tokens in memory and in their sealed form. Of a token itself there is only a digest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use secrets_proto::token::{Scope, TokenInfo, TokenName};
use secrets_proto::{Glob, Timestamp, Uuid};
use serde::{Deserialize, Serialize};

use crate::caller::{Grant, Scopes};
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, RecordRow};

use super::Error;
use super::record::record_place;
use super::rest::{self, Rest};

/// The version of every token's row: nothing but its last use ever changes, and the manifest refuses an older row.
const VERSION: u64 = 1;

/// An expired token is told from an unknown one for this long, 30 days; then it is forgotten.
const REMEMBERED: i64 = 30 * 86_400;

/// `last_used_at` is kept to this many seconds.
const STEP: i64 = 60;

/// One access token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it gives to who holds it.
    pub(super) grant: Arc<Grant>,
    meta: Meta,
    /// What a newer program has added to that.
    rest: Rest,
    hash: [u8; 32],
    /// Shared by all copies: uses are noted where requests are answered and written where the file is.
    usage: Arc<Usage>,
}

/// The sealed part of a token, stored as JSON. It may get more fields that have a default, and [`rest`] says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    pub(super) name: TokenName,
    /// The SHA-256 of the token's text, in hex.
    pub(super) hash: String,
    pub(super) scopes: Vec<Right>,
    /// Absent: all names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secrets: Option<Vec<Glob>>,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate_per_minute: Option<u64>,
    /// When it was last used, to the minute. It is written along with other changes, so that using a token costs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used_at: Option<Timestamp>,
    /// The token that it was made with, if that was not the owner's: it goes when that one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made_by: Option<Uuid>,
}

/// A right of a token, as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Right {
    /// One that this program knows.
    Known(Scope),
    /// One that a newer program gave, by its name. It gives nothing here, and is kept.
    Unknown(String),
}

impl Right {
    const fn known(&self) -> Option<Scope> {
        match self {
            Self::Known(scope) => Some(*scope),
            Self::Unknown(_) => None,
        }
    }
}

impl Token {
    /// A new token from its sealed part.
    pub(super) fn new(id: Uuid, meta: Meta) -> Result<Self, Error> {
        Self::with_rest(id, meta, Rest::default())
    }

    fn with_rest(id: Uuid, meta: Meta, rest: Rest) -> Result<Self, Error> {
        let malformed = Error::Corrupt("a token is not of its form");
        let hash = HEXLOWER.decode(meta.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        let grant = Arc::new(Grant {
            id,
            name: meta.name.as_str().to_owned(),
            scopes: meta.scopes.iter().filter_map(Right::known).collect::<Scopes>(),
            names: meta.secrets.clone(),
            expires_at: meta.expires_at,
            rate_per_minute: meta.rate_per_minute,
        });
        let usage = Arc::new(Usage::since(meta.last_used_at));
        Ok(Self { grant, hash: hash.ok_or(malformed)?, meta, rest, usage })
    }

    /// The token in its row.
    pub(super) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext = seal::open(keys, record_place(RecordKind::Token, &row.id, row.version), &row.sealed)
            .map_err(|_| Error::Corrupt("a token is not authentic"))?;
        let (meta, rest) = rest::decode(&plaintext).ok_or(Error::Corrupt("a token is not of its form"))?;
        Self::with_rest(Uuid::from_bytes(row.id), meta, rest)
    }

    /// Its row.
    pub(super) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let id = *self.grant.id.as_bytes();
        let plaintext =
            rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("a token does not encode"))?;
        let sealed = seal::seal(keys, record_place(RecordKind::Token, &id, VERSION), &plaintext)?;
        Ok(RecordRow { kind: RecordKind::Token, id, version: VERSION, sealed })
    }

    /// Where its row is: id and version.
    pub(super) fn place(&self) -> ([u8; 16], u64) {
        (*self.grant.id.as_bytes(), VERSION)
    }

    /// Its name.
    pub(super) const fn name(&self) -> &TokenName {
        &self.meta.name
    }

    /// The token that it was made with.
    pub(super) const fn made_by(&self) -> Option<Uuid> {
        self.meta.made_by
    }

    /// Refuses a token whose time is over.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), Error> {
        match self.meta.expires_at {
            Some(end) if end <= now => Err(Error::TokenExpired),
            _ => Ok(()),
        }
    }

    /// Whether its time has been over for so long that nobody needs to be told.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        self.meta.expires_at.is_some_and(|end| end.saturating_add_seconds(REMEMBERED) <= now)
    }

    /// Counts a request, or says how many seconds too early it comes.
    pub(super) fn take(&self, now: Instant, time: Timestamp) -> Result<(), Error> {
        self.pace(now)?;
        let minute = time.as_second() - time.as_second().rem_euclid(STEP);
        self.usage.last.fetch_max(minute, Ordering::Relaxed);
        Ok(())
    }

    fn pace(&self, now: Instant) -> Result<(), Error> {
        match self.meta.rate_per_minute {
            Some(rate) => self.usage.pace(rate, now).map_err(Error::TooManyRequests),
            None => Ok(()),
        }
    }

    /// The same token with its last use in the sealed part, if that is not there yet.
    pub(super) fn with_use(&self) -> Option<Self> {
        let last = self.usage.last();
        if last <= self.meta.last_used_at {
            return None;
        }
        Some(Self { meta: Meta { last_used_at: last, ..self.meta.clone() }, ..self.clone() })
    }

    /// What the wire shows of it.
    pub(super) fn to_info(&self) -> TokenInfo {
        TokenInfo {
            id: self.grant.id,
            name: self.meta.name.clone(),
            scopes: self.grant.scopes.to_vec(),
            secrets: self.meta.secrets.clone(),
            created_at: self.meta.created_at,
            expires_at: self.meta.expires_at,
            last_used_at: self.usage.last(),
            rate_per_minute: self.meta.rate_per_minute,
        }
    }
}

/// How a token is being used.
#[derive(Debug)]
struct Usage {
    /// The last minute in which it was, in seconds since 1970; `i64::MIN` is never.
    last: AtomicI64,
    /// When everything asked so far would be done at an even pace.
    paced: Mutex<Option<Instant>>,
}

impl Usage {
    fn since(last: Option<Timestamp>) -> Self {
        let last = last.map_or(i64::MIN, Timestamp::as_second);
        Self { last: AtomicI64::new(last), paced: Mutex::new(None) }
    }

    fn last(&self) -> Option<Timestamp> {
        match self.last.load(Ordering::Relaxed) {
            i64::MIN => None,
            last => Timestamp::from_second(last),
        }
    }

    /// A token bucket that holds a minute's requests, as the generic cell rate algorithm (ITU-T I.371) keeps it: one
    /// time instead of a level that must be refilled.
    fn pace(&self, rate: u64, now: Instant) -> Result<(), u32> {
        let minute = Duration::from_secs(60);
        let each = minute / u32::try_from(rate).unwrap_or(u32::MAX).max(1);
        let mut paced = self.paced.lock().unwrap_or_else(PoisonError::into_inner);
        let next = paced.map_or(now, |paced| paced.max(now)) + each;
        let early = next.duration_since(now).saturating_sub(minute);
        if early.is_zero() {
            *paced = Some(next);
            return Ok(());
        }
        let seconds = early.as_secs() + u64::from(early.subsec_nanos() > 0);
        Err(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// All tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    by_id: HashMap<Uuid, Token>,
    by_hash: HashMap<[u8; 32], Uuid>,
}

impl Tokens {
    /// Adds a token, or puts it in the place of the one with its id.
    pub(super) fn put(&mut self, token: Token) {
        self.by_hash.insert(token.hash, token.grant.id);
        self.by_id.insert(token.grant.id, token);
    }

    /// Removes a token.
    pub(super) fn remove(&mut self, id: Uuid) {
        if let Some(token) = self.by_id.remove(&id) {
            self.by_hash.remove(&token.hash);
        }
    }

    /// The token with this digest.
    pub(super) fn by_hash(&self, hash: &[u8; 32]) -> Option<&Token> {
        self.by_hash.get(hash).and_then(|id| self.by_id.get(id))
    }

    /// Counts a request of this token, and of those that it was made with, or says how many seconds too early it comes:
    /// what a token has made uses up its maker's rate, lest it be a way around that.
    pub(super) fn take(&self, token: &Token, now: Instant, time: Timestamp) -> Result<(), Error> {
        token.take(now, time)?;
        let mut maker = token.made_by();
        while let Some(token) = maker.and_then(|id| self.by_id(id)) {
            token.pace(now)?;
            maker = token.made_by();
        }
        Ok(())
    }

    /// The token with this id.
    pub(super) fn by_id(&self, id: Uuid) -> Option<&Token> {
        self.by_id.get(&id)
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &Token> {
        self.by_id.values()
    }

    /// Whether one has this name, or the same but for case.
    pub(super) fn has_name(&self, name: &TokenName) -> bool {
        self.all().any(|token| token.name().is_same(name.as_str()))
    }

    /// Whether one has this token's id, digest or name.
    pub(super) fn has_any_of(&self, token: &Token) -> bool {
        self.by_id(token.grant.id).is_some()
            || self.by_hash(&token.hash).is_some()
            || self.has_name(token.name())
    }

    /// The tokens that a token has made, and those that they have made.
    pub(super) fn descendants(&self, id: Uuid) -> Vec<Uuid> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            found.extend(
                self.all().filter(|token| token.made_by() == Some(parent)).map(|token| token.grant.id),
            );
            at += 1;
        }
        found.split_off(1)
    }

    /// Whether the token is still there and good: it may have been revoked since its request began.
    pub(super) fn check(&self, grant: &Grant) -> Result<(), Error> {
        self.by_id(grant.id).ok_or(Error::UnknownToken)?.check_time(Timestamp::now())
    }

    /// Goes on counting uses where `before`, an earlier reading of the same file, was.
    pub(super) fn keep_usage(&mut self, before: &Self) {
        for token in self.by_id.values_mut() {
            if let Some(known) = before.by_id(token.grant.id) {
                token.usage = Arc::clone(&known.usage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_at_their_pace() {
        let usage = Usage::since(None);
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for _ in 0..30 {
            assert_eq!(usage.pace(30, at(0)), Ok(()));
        }
        assert_eq!(usage.pace(30, at(0)), Err(2));
        assert_eq!(usage.pace(30, at(1_500)), Err(1));
        assert_eq!(usage.pace(30, at(2_000)), Ok(()));
        assert_eq!(usage.pace(30, at(2_000)), Err(2));
        for _ in 0..30 {
            assert_eq!(usage.pace(30, at(200_000)), Ok(()));
        }
        assert_eq!(usage.pace(30, at(200_000)), Err(2));
        let once = Usage::since(None);
        assert_eq!((once.pace(1, at(0)), once.pace(1, at(0))), (Ok(()), Err(60)));
    }

    fn token(id: u128, made_by: Option<u128>, expires_at: Option<i64>) -> Token {
        let meta = Meta {
            name: TokenName::parse(&format!("token {id}")).unwrap(),
            hash: HEXLOWER.encode(&[u8::try_from(id).unwrap(); 32]),
            scopes: vec![Right::Known(Scope::List)],
            secrets: None,
            created_at: Timestamp::from_second(0).unwrap(),
            expires_at: expires_at.and_then(Timestamp::from_second),
            rate_per_minute: None,
            last_used_at: None,
            made_by: made_by.map(Uuid::from_u128),
        };
        Token::new(Uuid::from_u128(id), meta).unwrap()
    }

    #[test]
    fn a_token_ends_at_its_time_and_is_remembered_for_thirty_days() {
        let token = token(1, None, Some(1_000));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(token.check_time(at(999)).is_ok());
        assert!(matches!(token.check_time(at(1_000)), Err(Error::TokenExpired)));
        assert!(
            !token.is_forgotten(at(1_000 + REMEMBERED - 1)) && token.is_forgotten(at(1_000 + REMEMBERED))
        );
    }

    #[test]
    fn a_use_is_kept_to_the_minute_and_written_once() {
        let token = token(1, None, None);
        assert!(token.with_use().is_none());
        let time = |second| Timestamp::from_second(second).unwrap();
        token.take(Instant::now(), time(119)).unwrap();
        let used = token.with_use().unwrap();
        assert_eq!(used.to_info().last_used_at, Some(time(60)));
        used.take(Instant::now(), time(80)).unwrap();
        assert!(used.with_use().is_none());
    }

    #[test]
    fn what_a_token_has_made_is_found_however_deep() {
        let mut tokens = Tokens::default();
        for (id, made_by) in [(1, None), (2, Some(1)), (3, Some(2)), (4, None), (5, Some(1))] {
            tokens.put(token(id, made_by, None));
        }
        let mut found: Vec<u128> =
            tokens.descendants(Uuid::from_u128(1)).into_iter().map(|id| id.as_u128()).collect();
        found.sort_unstable();
        assert_eq!(found, [2, 3, 5]);
        assert!(tokens.descendants(Uuid::from_u128(4)).is_empty());
    }
}
