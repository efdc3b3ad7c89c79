//! Who asks: a request becomes a [`Caller`] here or is refused. The peer's uid was checked when it connected; this
//! looks at what its head says of the fields, and never at a path or a body. Access tokens are in the vault, which is
//! asked about them.

mod browser;
mod owner;
mod throttle;

use std::sync::{Mutex, PoisonError};

use secrets_proto::audit::Refusal;
use secrets_proto::{ErrorType, token};
use tokio::time::Instant;

use self::throttle::Throttle;
use crate::caller::{Caller, Peer};
use crate::http::failure::Failure;
use crate::http::head::HeadFields;
use crate::vault::{self, Unidentified, Vault};

pub(crate) use self::browser::refuse_browsers;
pub(crate) use self::owner::{Error as OwnerTokenError, OwnerToken, TokenFile};

/// Knows the tokens of this run, the owner's and the one for items, and where to ask about others.
#[derive(Debug)]
pub(crate) struct Auth {
    owner: OwnerToken,
    items: OwnerToken,
    vault: Vault,
    throttle: Mutex<Throttle>,
}

impl Auth {
    /// Knows the owner's token and the one for items, asks this vault about others, and answers so many wrong ones plainly.
    pub(crate) fn new(owner: OwnerToken, items: OwnerToken, vault: Vault, wrong_tokens: usize) -> Self {
        Self { owner, items, vault, throttle: Mutex::new(Throttle::new(wrong_tokens)) }
    }

    /// The caller that a request's token names. Only what is wrong counts as a guess: a good token is served however
    /// many bad ones came before it. What is not rated does not count against the rate of a session's token.
    pub(crate) fn identify(
        &self,
        fields: &HeadFields<'_>,
        peer: Peer,
        is_rated: bool,
    ) -> Result<Caller, Failure> {
        let token = token(fields)?;
        if self.owner.is(token) {
            return Ok(Caller::owner(peer));
        }
        if self.items.is(token) {
            return Ok(Caller::items(peer));
        }
        let failure = match self.ask_vault(token, peer, is_rated) {
            Ok(caller) => return Ok(caller),
            Err(Wrong::Guess(failure)) => failure,
            Err(Wrong::Known(failure)) => return Err(failure),
        };
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match throttle.bad_token(Instant::now()) {
            Ok(()) => Err(failure.refused(Refusal::UnknownToken)),
            Err(seconds) => {
                let detail = "Too many wrong tokens; wait, and check which token you send";
                Err(Failure::rate_limit(seconds, detail).refused(Refusal::Throttled))
            }
        }
    }

    fn ask_vault(&self, token: &[u8], peer: Peer, is_rated: bool) -> Result<Caller, Wrong> {
        if !token::is_meant(token) {
            return Err(Wrong::Guess(Failure::unauthenticated(WRONG)));
        }
        if !token::is_well_formed(token) {
            return Err(Wrong::Guess(Failure::unauthenticated(MISTYPED)));
        }
        self.vault.identify(peer, token, is_rated).map_err(|Unidentified { error, rights }| {
            if matches!(error, vault::Error::UnknownToken) {
                return Wrong::Guess(error.into());
            }
            // The digests are sealed with the rest: no answer, right or wrong, is possible.
            if matches!(error, vault::Error::Locked | vault::Error::Uninitialized) {
                let failure = Failure::new(ErrorType::VaultLockedError, UNCHECKED);
                return Wrong::Known(failure.refused(Refusal::Locked));
            }
            let refusal = error.refusal();
            let failure = Failure::from(error);
            Wrong::Known(match refusal {
                Some(refusal) => failure.refused(refusal).of(rights),
                None => failure,
            })
        })
    }
}

/// What is wrong with a token that is not the owner's.
enum Wrong {
    /// The token may be somebody's guess.
    Guess(Failure),
    /// The token is known, or nobody can know it now.
    Known(Failure),
}

const WRONG: &str =
    "Authentication failed; read the token file again, the owner token is new at each daemon start";
const MISTYPED: &str =
    "Authentication failed; this access token is incomplete or mistyped (wrong checksum): copy it again";
const UNCHECKED: &str = "The vault is locked, so access tokens cannot be checked; its owner must unlock it";
const ABSENT: &str = "Authentication failed; send the token as Authorization: Bearer or X-API-Key";

/// The token that a request carries.
fn token<'a>(fields: &HeadFields<'a>) -> Result<&'a [u8], Failure> {
    let bearer = match fields.authorization {
        Some(value) => Some(bearer(value).ok_or_else(absent)?),
        None => None,
    };
    match (bearer, fields.api_key) {
        (Some(bearer), Some(key)) if bearer != key => {
            Err(Failure::invalid_request("Authorization and X-API-Key carry different tokens; send one")
                .closing())
        }
        (Some(token), _) | (None, Some(token)) => Ok(token),
        (None, None) => Err(absent()),
    }
}

fn absent() -> Failure {
    Failure::unauthenticated(ABSENT).refused(Refusal::NoToken)
}

/// The token in `Bearer <token>`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use hyper::{HeaderMap, StatusCode};

    use super::*;
    use crate::vault::{KdfCost, KeySources, Settings};

    const PEER: Peer = Peer { uid: 1, pid: 2 };

    /// Without a vault, so that nobody can be asked about access tokens.
    fn auth() -> (Auth, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: directory.path().join("data"),
            state_dir: directory.path().join("state"),
            kdf: KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 },
            idle_lock: Duration::ZERO,
            max_lock: Duration::ZERO,
            lock_is_final: false,
            triggers: std::sync::Arc::default(),
            lost: std::sync::Arc::default(),
            keys: KeySources::default(),
        };
        let owner = OwnerToken::fixed("secret-token-012345678901234567890123456789");
        let items = OwnerToken::fixed("items-token-0123456789012345678901234567890");
        (Auth::new(owner, items, Vault::start(settings, None).unwrap(), 10), directory)
    }

    fn fields<'a>(authorization: Option<&'a str>, api_key: Option<&'a str>) -> HeadFields<'a> {
        HeadFields {
            authorization: authorization.map(str::as_bytes),
            api_key: api_key.map(str::as_bytes),
            ..HeadFields::default()
        }
    }

    fn status(auth: &Auth, fields: &HeadFields<'_>) -> StatusCode {
        auth.identify(fields, PEER, true)
            .map_or_else(|failure| failure.into_response("x").status(), |_| StatusCode::OK)
    }

    fn headers(failure: Failure) -> HeaderMap {
        failure.into_response("x").into_http("x".into(), HeaderMap::new()).into_parts().0.headers
    }

    #[tokio::test]
    async fn the_owner_is_known_by_either_header() {
        let (auth, _directory) = auth();
        for (authorization, api_key) in [
            (Some("Bearer secret-token-012345678901234567890123456789"), None),
            (Some("bEARER   secret-token-012345678901234567890123456789"), None),
            (None, Some("secret-token-012345678901234567890123456789")),
            (
                Some("Bearer secret-token-012345678901234567890123456789"),
                Some("secret-token-012345678901234567890123456789"),
            ),
        ] {
            assert_eq!(
                status(&auth, &fields(authorization, api_key)),
                StatusCode::OK,
                "{authorization:?} {api_key:?}"
            );
        }
        for (authorization, api_key) in [
            (None, None),
            (Some("Bearer secret-token-01234567890123456789012345678"), None),
            (Some("Bearer secret-token-0123456789012345678901234567892"), None),
            (Some("Bearer secret-token-012345678901234567890123456788"), None),
            (Some("Bearer Secret-token-012345678901234567890123456789"), None),
            (Some("Basic secret-token-012345678901234567890123456789"), None),
            (Some("Basicx secret-token-012345678901234567890123456789"), None),
            (Some("secret-token-012345678901234567890123456789"), None),
            (Some("Bearer "), None),
            (Some("Bearer"), None),
            (Some(""), None),
            (None, Some("")),
            (None, Some("Bearer secret-token-012345678901234567890123456789")),
            (
                Some("Basic secret-token-012345678901234567890123456789"),
                Some("secret-token-012345678901234567890123456789"),
            ),
        ] {
            let found = status(&auth, &fields(authorization, api_key));
            assert_eq!(found, StatusCode::UNAUTHORIZED, "{authorization:?} {api_key:?}");
        }
        assert_eq!(
            status(&auth, &fields(Some("Bearer secret-token-012345678901234567890123456789"), Some("other"))),
            StatusCode::BAD_REQUEST
        );
        let refused = headers(auth.identify(&HeadFields::default(), PEER, true).unwrap_err());
        assert_eq!(refused[WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test]
    async fn an_access_token_that_cannot_be_checked_is_told_from_one_that_cannot_be_right() {
        let (auth, _directory) = auth();
        let text = crate::crypto::token::generate().unwrap();
        let text = text.expose();
        let (start, end) = text.split_at(52);
        let mistyped = format!("{start}{}", if end == "0" { "1" } else { "0" });
        // However often: it is no guess.
        for _ in 0..20 {
            assert_eq!(status(&auth, &fields(None, Some(text))), StatusCode::FORBIDDEN);
        }
        for wrong in [mistyped.as_str(), "ssd_", start, "SSD_0123"] {
            assert_eq!(status(&auth, &fields(None, Some(wrong))), StatusCode::UNAUTHORIZED, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down_and_a_good_token_is_not() {
        let (auth, _directory) = auth();
        let guess = |token| auth.identify(&fields(None, Some(token)), PEER, true);
        for _ in 0..10 {
            assert_eq!(guess("wrong").unwrap_err().into_response("x").status(), StatusCode::UNAUTHORIZED);
        }
        let refused = headers(guess("wrong").unwrap_err());
        assert_eq!(refused[RETRY_AFTER], "10");
        assert_eq!(guess("wrong").unwrap_err().into_response("x").status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(guess("secret-token-012345678901234567890123456789").is_ok());
        // A request without a token is no guess.
        assert_eq!(status(&auth, &HeadFields::default()), StatusCode::UNAUTHORIZED);
        tokio::time::advance(Duration::from_millis(10_001)).await;
        assert_eq!(guess("wrong").unwrap_err().into_response("x").status(), StatusCode::UNAUTHORIZED);
    }
}
