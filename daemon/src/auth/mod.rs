//! Who asks: a request becomes a [`Caller`] here or is refused. The peer's uid was checked when it connected; this
//! looks at what its head says of the sender, and never at a path or a body.

mod browser;
mod owner;
mod throttle;

use std::sync::{Mutex, PoisonError};

use secrets_proto::audit::Refusal;
use tokio::time::Instant;

use self::throttle::Throttle;
use crate::caller::{Caller, Peer};
use crate::router::error::Failure;
use crate::router::strict::Sender;

pub(crate) use self::browser::refuse_browsers;
pub(crate) use self::owner::{Error as OwnerTokenError, OwnerToken};

/// Knows the tokens.
#[derive(Debug)]
pub(crate) struct Auth {
    owner: OwnerToken,
    throttle: Mutex<Throttle>,
}

impl Auth {
    /// Knows the owner's token.
    pub(crate) fn new(owner: OwnerToken) -> Self {
        Self { owner, throttle: Mutex::new(Throttle::default()) }
    }

    /// The caller that a request's token names.
    pub(crate) fn identify(&self, sender: &Sender<'_>, peer: Peer) -> Result<Caller, Failure> {
        let token = token(sender)?;
        if self.owner.is(token) {
            return Ok(Caller::owner(peer));
        }
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match throttle.bad_token(Instant::now()) {
            Ok(()) => Err(Failure::unauthenticated(WRONG).refused(Refusal::UnknownToken)),
            Err(seconds) => {
                let detail = "Too many wrong tokens; wait, and read the token file again";
                Err(Failure::rate_limit(seconds, detail).refused(Refusal::Throttled))
            }
        }
    }
}

const WRONG: &str =
    "Authentication failed; read the token file again, the owner token is new at each daemon start";
const ABSENT: &str = "Authentication failed; send the token as Authorization: Bearer or X-API-Key";

/// The token that a request carries.
fn token<'a>(sender: &Sender<'a>) -> Result<&'a [u8], Failure> {
    let bearer = match sender.authorization {
        Some(value) => Some(bearer(value).ok_or_else(absent)?),
        None => None,
    };
    match (bearer, sender.api_key) {
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
    use hyper::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use hyper::{HeaderMap, StatusCode};

    use super::*;

    const PEER: Peer = Peer { uid: 1, pid: 2 };

    fn sender<'a>(authorization: Option<&'a str>, api_key: Option<&'a str>) -> Sender<'a> {
        Sender {
            authorization: authorization.map(str::as_bytes),
            api_key: api_key.map(str::as_bytes),
            ..Sender::default()
        }
    }

    fn status(auth: &Auth, sender: &Sender<'_>) -> StatusCode {
        auth.identify(sender, PEER)
            .map_or_else(|failure| failure.into_answer("x").status(), |_| StatusCode::OK)
    }

    fn headers(failure: Failure) -> HeaderMap {
        failure.into_answer("x").into_response("x", HeaderMap::new()).into_parts().0.headers
    }

    #[tokio::test]
    async fn the_owner_is_known_by_either_header() {
        let auth = Auth::new(OwnerToken::fixed("secret-token-012345678901234567890123456789"));
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
                status(&auth, &sender(authorization, api_key)),
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
            let found = status(&auth, &sender(authorization, api_key));
            assert_eq!(found, StatusCode::UNAUTHORIZED, "{authorization:?} {api_key:?}");
        }
        assert_eq!(
            status(&auth, &sender(Some("Bearer secret-token-012345678901234567890123456789"), Some("other"))),
            StatusCode::BAD_REQUEST
        );
        let refused = headers(auth.identify(&Sender::default(), PEER).unwrap_err());
        assert_eq!(refused[WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down_and_a_good_token_is_not() {
        let auth = Auth::new(OwnerToken::fixed("secret-token-012345678901234567890123456789"));
        let guess = |token| auth.identify(&sender(None, Some(token)), PEER);
        for _ in 0..10 {
            assert_eq!(guess("wrong").unwrap_err().into_answer("x").status(), StatusCode::UNAUTHORIZED);
        }
        let refused = headers(guess("wrong").unwrap_err());
        assert_eq!(refused[RETRY_AFTER], "10");
        assert_eq!(guess("wrong").unwrap_err().into_answer("x").status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(guess("secret-token-012345678901234567890123456789").is_ok());
        // A request without a token is no guess.
        assert_eq!(status(&auth, &Sender::default()), StatusCode::UNAUTHORIZED);
        tokio::time::advance(std::time::Duration::from_millis(10_001)).await;
        assert_eq!(guess("wrong").unwrap_err().into_answer("x").status(), StatusCode::UNAUTHORIZED);
    }
}
