//! Who asks: a request becomes a [`Caller`] here or is refused. The peer's uid was checked when it connected; this
//! looks at headers, and never at a path's meaning or a body.

mod browser;
mod owner;
mod throttle;

use std::sync::{Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use tokio::time::Instant;

use self::throttle::Throttle;
use crate::caller::{Caller, Peer};
use crate::router::error::Failure;
use crate::router::strict::X_API_KEY;

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
    pub(crate) fn identify(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, Failure> {
        let token = token(headers)?;
        if self.owner.is(token) {
            return Ok(Caller::owner(peer));
        }
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match throttle.bad_token(Instant::now()) {
            Ok(()) => Err(Failure::unauthenticated(WRONG)),
            Err(seconds) => {
                let detail = "Too many wrong tokens; wait, and read the token file again";
                Err(Failure::rate_limit(seconds, detail))
            }
        }
    }
}

const WRONG: &str =
    "Authentication failed; read the token file again, the owner token is new at each daemon start";
const ABSENT: &str = "Authentication failed; send the token as Authorization: Bearer or X-API-Key";

/// The token that a request carries. That each header is there at most once was checked before.
fn token(headers: &HeaderMap) -> Result<&[u8], Failure> {
    let bearer = match headers.get(AUTHORIZATION) {
        Some(value) => Some(bearer(value.as_bytes()).ok_or_else(|| Failure::unauthenticated(ABSENT))?),
        None => None,
    };
    let key = headers.get(X_API_KEY).map(|value| value.as_bytes());
    match (bearer, key) {
        (Some(bearer), Some(key)) if bearer != key => {
            Err(Failure::invalid_request("Authorization and X-API-Key carry different tokens; send one")
                .closing())
        }
        (Some(token), _) | (None, Some(token)) => Ok(token),
        (None, None) => Err(Failure::unauthenticated(ABSENT)),
    }
}

/// The token in `Bearer <token>`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

    use super::*;

    const PEER: Peer = Peer { uid: 1, pid: 2 };

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn status(auth: &Auth, list: &[(HeaderName, &str)]) -> StatusCode {
        auth.identify(&headers(list), PEER)
            .map_or_else(|failure| failure.into_response("x").status(), |_| StatusCode::OK)
    }

    #[tokio::test]
    async fn the_owner_is_known_by_either_header() {
        let owner = OwnerToken::fixed("secret-token");
        let auth = Auth::new(owner);
        let (a, k) = (AUTHORIZATION, X_API_KEY);
        for good in [
            &[(a.clone(), "Bearer secret-token")][..],
            &[(a.clone(), "bEARER   secret-token")],
            &[(k.clone(), "secret-token")],
            &[(a.clone(), "Bearer secret-token"), (k.clone(), "secret-token")],
        ] {
            assert_eq!(status(&auth, good), StatusCode::OK, "{good:?}");
        }
        for bad in [
            &[][..],
            &[(a.clone(), "Bearer secret-toke")],
            &[(a.clone(), "Bearer secret-token2")],
            &[(a.clone(), "Bearer Secret-token")],
            &[(a.clone(), "Basic secret-token")],
            &[(a.clone(), "secret-token")],
            &[(a.clone(), "Bearer ")],
            &[(a.clone(), "Bearer")],
            &[(a.clone(), "")],
            &[(k.clone(), "")],
            &[(k.clone(), "Bearer secret-token")],
            &[(a.clone(), "Basic secret-token"), (k.clone(), "secret-token")],
        ] {
            assert_eq!(status(&auth, bad), StatusCode::UNAUTHORIZED, "{bad:?}");
        }
        assert_eq!(status(&auth, &[(a, "Bearer secret-token"), (k, "other")]), StatusCode::BAD_REQUEST);
        let refused = auth.identify(&HeaderMap::new(), PEER).unwrap_err().into_response("x");
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down_and_a_good_token_is_not() {
        let auth = Auth::new(OwnerToken::fixed("secret-token"));
        let guess = |token| auth.identify(&headers(&[(X_API_KEY, token)]), PEER);
        for _ in 0..10 {
            assert_eq!(guess("wrong").unwrap_err().into_response("x").status(), StatusCode::UNAUTHORIZED);
        }
        let refused = guess("wrong").unwrap_err().into_response("x");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[RETRY_AFTER], "10");
        assert!(guess("secret-token").is_ok());
        // A request without a token is no guess.
        assert_eq!(status(&auth, &[]), StatusCode::UNAUTHORIZED);
        tokio::time::advance(std::time::Duration::from_millis(10_001)).await;
        assert_eq!(guess("wrong").unwrap_err().into_response("x").status(), StatusCode::UNAUTHORIZED);
    }
}
