//! Access tokens in memory and in their sealed form. Of a token itself there is only a digest.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use secrets_local::clock::since_boot;
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::token::{Scope, TokenInfo, TokenName};
use secrets_proto::{Glob, SecretName, Timestamp, Uuid};
use serde::{Deserialize, Serialize};

use crate::caller::{Names, Scopes, TokenRights};
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;

use super::record::record_context;
use super::rest::{self, Rest};

/// The version of every token's row: nothing but its last use ever changes, and the manifest refuses an older row.
const VERSION: u64 = 1;

/// An expired token is told from an unknown one for this long, 30 days; then it is forgotten.
const REMEMBERED: i64 = 30 * 86_400;

/// A session, of which there are many, for an hour.
const SESSION_REMEMBERED: i64 = 3_600;

/// A token may have been made so many seconds later than now, by a clock that was wrong by hours: a day.
const AHEAD: i64 = 86_400;

/// `last_used_at` is kept to this many seconds.
const STEP: i64 = 60;

/// One access token.
#[derive(Debug, Clone)]
pub(in crate::vault) struct Token {
    /// What it gives to who holds it.
    pub(in crate::vault) rights: Arc<TokenRights>,
    meta: Meta,
    /// What a newer program has added to that.
    rest: Rest,
    pub(in crate::vault) hash: [u8; 32],
    /// Shared by all copies: uses are noted where requests are answered and written where the file is.
    pub(in crate::vault) usage: Arc<Usage>,
}

/// The sealed part of a token, stored as JSON. It may get more fields that have a default, and [`rest`] says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Meta {
    pub(in crate::vault) name: TokenName,
    /// The SHA-256 of the token's text, in hex.
    pub(in crate::vault) hash: String,
    pub(in crate::vault) scopes: Vec<SealedScope>,
    /// Absent: all names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) secrets: Option<Vec<Glob>>,
    pub(in crate::vault) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) rate_per_minute: Option<u64>,
    /// When it was last used, to the minute. It is written along with other changes, so that using a token costs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) last_used_at: Option<Timestamp>,
    /// The token that it was made with, if that was not the owner's: it goes when that one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) made_by: Option<Uuid>,
    /// What it is for, if it is a session that uses values without seeing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) session: Option<Session>,
}

/// What the audit log says of a session's uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Session {
    pub(in crate::vault) purpose: Purpose,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) command: Option<Remark>,
    /// The secrets, by their ids: a name may become another secret's.
    pub(in crate::vault) secrets: Vec<Uuid>,
}

/// A scope of a token, as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::vault) enum SealedScope {
    /// One that this program knows.
    Known(Scope),
    /// One that a newer program gave, by its name. It gives nothing here, and is kept.
    Unknown(String),
}

impl SealedScope {
    const fn known(&self) -> Option<Scope> {
        match self {
            Self::Known(scope) => Some(*scope),
            Self::Unknown(_) => None,
        }
    }
}

impl Token {
    /// A new token from its sealed part.
    pub(in crate::vault) fn new(id: Uuid, meta: Meta) -> Result<Self, Error> {
        Self::with_rest(id, meta, Rest::default())
    }

    fn with_rest(id: Uuid, meta: Meta, rest: Rest) -> Result<Self, Error> {
        let malformed = Error::Corrupt("a token is not of its form");
        let hash = HEXLOWER.decode(meta.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        let rights = Arc::new(TokenRights {
            id,
            name: meta.name.as_str().to_owned(),
            scopes: meta.scopes.iter().filter_map(SealedScope::known).collect::<Scopes>(),
            names: meta.secrets.as_deref().map(Names::new),
            expires_at: meta.expires_at,
            rate_per_minute: meta.rate_per_minute,
        });
        let usage = Arc::new(Usage::since(meta.last_used_at));
        Ok(Self { rights, hash: hash.ok_or(malformed)?, meta, rest, usage })
    }

    /// The token in its row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let plaintext =
            seal::open(keys, record_context(RecordKind::Token, &row.id, row.version), &row.sealed)
                .map_err(|_| Error::Corrupt("a token is not authentic"))?;
        let (meta, rest) = rest::decode(&plaintext).ok_or(Error::Corrupt("a token is not of its form"))?;
        Self::with_rest(Uuid::from_bytes(row.id), meta, rest)
    }

    /// The token's row, sealed.
    pub(in crate::vault) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let id = *self.rights.id.as_bytes();
        let plaintext =
            rest::encode(&self.meta, &self.rest).ok_or(Error::Internal("a token does not encode"))?;
        let sealed = seal::seal(keys, record_context(RecordKind::Token, &id, VERSION), &plaintext)?;
        Ok(RecordRow { kind: RecordKind::Token, id, version: VERSION, sealed })
    }

    /// Where its row is: id and version.
    pub(in crate::vault) fn row_key(&self) -> ([u8; 16], u64) {
        (*self.rights.id.as_bytes(), VERSION)
    }

    /// The token's name.
    pub(in crate::vault) const fn name(&self) -> &TokenName {
        &self.meta.name
    }

    /// The token that it was made with.
    pub(in crate::vault) const fn made_by(&self) -> Option<Uuid> {
        self.meta.made_by
    }

    /// What it is for, if it is a session.
    pub(in crate::vault) const fn session(&self) -> Option<&Session> {
        self.meta.session.as_ref()
    }

    /// The names that a session is bound to.
    pub(in crate::vault) fn session_names(&self) -> Vec<SecretName> {
        let globs = self.meta.secrets.iter().flatten();
        globs.filter_map(|glob| SecretName::parse(glob.as_str()).ok()).collect()
    }

    /// Refuses a token whose time is over, by whichever clock has gone further.
    pub(in crate::vault) fn check_time(&self) -> Result<(), Error> {
        let known = self.usage.known.map(Clocks::now_by_boot);
        self.check_at(known.into_iter().fold(Timestamp::now(), Timestamp::max))
    }

    /// Refuses a token whose time is over now, or whose time has not come yet: the clock was put back since it was made.
    fn check_at(&self, now: Timestamp) -> Result<(), Error> {
        if self.meta.created_at > now.saturating_add_seconds(AHEAD) {
            return Err(Error::TokenAhead);
        }
        match self.meta.expires_at {
            Some(end) if end <= now => Err(Error::TokenExpired),
            _ => Ok(()),
        }
    }

    /// Whether its time has been over for so long that nobody needs to be told.
    pub(in crate::vault) fn is_forgotten(&self, now: Timestamp) -> bool {
        let remembered = if self.meta.session.is_some() { SESSION_REMEMBERED } else { REMEMBERED };
        self.meta.expires_at.is_some_and(|end| end.saturating_add_seconds(remembered) <= now)
    }

    /// From now on the wall clock alone tells whether its time is over: it cannot be believed, and may be put right.
    pub(in crate::vault) fn doubt_clock(&mut self) {
        let last = AtomicI64::new(self.usage.last.load(Ordering::Relaxed));
        self.usage = Arc::new(Usage { last, paced: Mutex::default(), known: None });
    }

    /// Counts a request, or says how many seconds too early it comes.
    pub(in crate::vault) fn take(&self, now: Instant, time: Timestamp) -> Result<(), Error> {
        self.pace(now)?;
        self.note_use(time);
        Ok(())
    }

    /// Notes that it was used.
    pub(in crate::vault) fn note_use(&self, time: Timestamp) {
        let minute = time.as_second() - time.as_second().rem_euclid(STEP);
        let last = self.usage.last.load(Ordering::Relaxed);
        // A time yet to come is none: the clock was put back since.
        if minute > last || last > minute + AHEAD {
            self.usage.last.store(minute, Ordering::Relaxed);
        }
    }

    /// Counts a request of a token that it has made, or says how many seconds too early that comes.
    pub(in crate::vault) fn pace(&self, now: Instant) -> Result<(), Error> {
        match self.meta.rate_per_minute {
            Some(rate) => self.usage.pace(rate, now).map_err(Error::TooManyRequests),
            None => Ok(()),
        }
    }

    /// The token with its last use in the sealed part; `None` if that is there already.
    pub(in crate::vault) fn with_use(&self) -> Option<Self> {
        let last = self.usage.last();
        if last == self.meta.last_used_at {
            return None;
        }
        Some(Self { meta: Meta { last_used_at: last, ..self.meta.clone() }, ..self.clone() })
    }

    /// What the wire shows of it.
    pub(in crate::vault) fn to_info(&self) -> TokenInfo {
        TokenInfo {
            id: self.rights.id,
            name: self.meta.name.clone(),
            scopes: self.rights.scopes.to_vec(),
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
pub(in crate::vault) struct Usage {
    /// The last minute in which it was, in seconds since 1970; `i64::MIN` is never.
    last: AtomicI64,
    /// When everything asked so far would be done at an even pace.
    paced: Mutex<Option<Instant>>,
    /// When the token was made or read from the file, if the clock could be believed then.
    known: Option<Clocks>,
}

/// The wall clock and the clock since boot at one moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::vault) struct Clocks {
    wall: Timestamp,
    boot: Duration,
}

impl Clocks {
    pub(in crate::vault) fn now() -> Self {
        Self { wall: Timestamp::now(), boot: since_boot() }
    }

    /// What the wall clock would say now if nobody had moved it since.
    pub(in crate::vault) fn now_by_boot(self) -> Timestamp {
        let passed = since_boot().saturating_sub(self.boot).as_secs();
        self.wall.saturating_add_seconds(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl Usage {
    fn since(last: Option<Timestamp>) -> Self {
        let last = last.map_or(i64::MIN, Timestamp::as_second);
        Self { last: AtomicI64::new(last), paced: Mutex::new(None), known: Some(Clocks::now()) }
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

/// What the token of the session with this id is called, also in the audit log.
pub(in crate::vault) fn session_name(id: Uuid) -> String {
    format!("session {}", id.simple())
}

#[cfg(test)]
pub(in crate::vault) mod tests {
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

    /// A token that may list.
    pub(in crate::vault) fn token(id: u128, made_by: Option<u128>, expires_at: Option<i64>) -> Token {
        let meta = Meta {
            name: TokenName::parse(&format!("token {id}")).unwrap(),
            hash: HEXLOWER.encode(&[u8::try_from(id).unwrap(); 32]),
            scopes: vec![SealedScope::Known(Scope::List)],
            secrets: None,
            created_at: Timestamp::from_second(0).unwrap(),
            expires_at: expires_at.and_then(Timestamp::from_second),
            rate_per_minute: None,
            last_used_at: None,
            made_by: made_by.map(Uuid::from_u128),
            session: None,
        };
        Token::new(Uuid::from_u128(id), meta).unwrap()
    }

    #[test]
    fn a_token_ends_at_its_time_and_is_remembered_for_thirty_days() {
        let token = token(1, None, Some(1_000));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(token.check_at(at(999)).is_ok());
        assert!(matches!(token.check_at(at(1_000)), Err(Error::TokenExpired)));
        assert!(
            !token.is_forgotten(at(1_000 + REMEMBERED - 1)) && token.is_forgotten(at(1_000 + REMEMBERED))
        );
        // It was made in 1970, which is later than this by more than clocks are wrong by.
        assert!(matches!(token.check_at(at(-AHEAD - 1)), Err(Error::TokenAhead)));
    }

    #[test]
    fn a_clock_that_was_put_back_does_not_keep_a_token() {
        let now = Timestamp::now();
        let known = |ago: u64, wall: Timestamp| {
            let reading = Clocks { wall, boot: since_boot().saturating_sub(Duration::from_secs(ago)) };
            let mut token = token(1, None, Some(now.as_second() + 60));
            token.usage = Arc::new(Usage { known: Some(reading), ..Usage::since(None) });
            token
        };
        assert!(known(10, now.saturating_add_seconds(-10)).check_time().is_ok());
        // The wall clock was put back since: its minutes are over by the other.
        assert!(matches!(known(10, now.saturating_add_seconds(55)).check_time(), Err(Error::TokenExpired)));
        // It was far ahead when the vault was opened, and is put right.
        let mut leapt = known(0, now.saturating_add_seconds(1_000));
        assert!(matches!(leapt.check_time(), Err(Error::TokenExpired)));
        leapt.doubt_clock();
        assert!(leapt.check_time().is_ok());
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
}
