//! How the reply of each operation becomes an answer.

use bytes::Bytes;
use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::API_BASE;
use secrets_proto::audit::{AuditList, AuditVerified};
use secrets_proto::credential::{CredentialGrant, CredentialList};
use secrets_proto::secret::{PresetList, SecretDetail, VersionList, WrittenSecret};
use secrets_proto::token::TokenList;
use secrets_proto::vault::{AddKeyReply, InitReply, KeyList, RotateReply, VaultStatus, VerifyReply};
use serde::Serialize;

use super::answer::Answer;
use super::conditional;
use super::error::Failure;
use crate::handler::secrets::{Created, Found, Gone, Listing, Revealed, Shown, View};
use crate::handler::tokens::Made;
use crate::handler::vault::{Copy, Locked};
use crate::vault::{Held, Rendered};

/// A type that becomes an answer.
pub(super) trait IntoAnswer {
    /// Writes it; `asked` are the request's headers.
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure>;
}

/// Writes a list or a secret, which the vault keeps written.
pub(super) fn render<T: Serialize>(reply: &T) -> Bytes {
    // They have no maps and no foreign types, so that writing cannot fail. It is kept without room to grow.
    serde_json::to_vec(reply).unwrap_or_default().into_boxed_slice().into()
}

/// Writes values, into one buffer of the right size, which is wiped when it was sent.
pub(super) fn render_sensitive<T: Serialize>(reply: &T) -> Bytes {
    // As above.
    super::answer::sensitive(reply).unwrap_or_default()
}

fn rendered(reply: Rendered, asked: &HeaderMap) -> Result<Answer, Failure> {
    tagged(conditional::etag(reply.tag), asked, || Ok(Answer::json(StatusCode::OK, reply.body)))
}

impl IntoAnswer for Rendered {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        rendered(self, asked)
    }
}

impl IntoAnswer for Listing {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        match self {
            Self::Rendered(list) => rendered(list, asked),
            Self::Selected(list) => list.into_answer(asked),
        }
    }
}

impl IntoAnswer for Revealed {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        self.0.into_answer(asked)
    }
}

impl IntoAnswer for Bytes {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        Ok(Answer::json(StatusCode::OK, self))
    }
}

impl<T: IntoAnswer> IntoAnswer for Held<T> {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        let Self { reply, permit } = self;
        reply.into_answer(asked).map(|answer| match permit {
            Some(permit) => answer.holding(permit),
            None => answer,
        })
    }
}

impl IntoAnswer for Found {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        let Self(detail, view) = self;
        let tag = conditional::version_tag(detail.version);
        match view {
            View::Basic => tagged(tag, asked, || described(StatusCode::OK, detail, view)),
            // Never 304: when it was last used changes without a new version.
            View::Full | View::Warned => {
                let answer = described(StatusCode::OK, detail, view)?;
                Ok(match tag {
                    Some(tag) => answer.tagged(tag),
                    None => answer,
                })
            }
        }
    }
}

fn described(status: StatusCode, detail: SecretDetail, view: View) -> Result<Answer, Failure> {
    match view {
        View::Basic => Answer::metadata(status, &detail.secret),
        View::Full => Answer::metadata(status, &detail),
        View::Warned => Answer::metadata(status, &WrittenSecret::from(detail)),
    }
}

impl IntoAnswer for Shown {
    fn into_answer(self, asked: &HeaderMap) -> Result<Answer, Failure> {
        match self {
            Self::Rendered(secret) => rendered(secret, asked),
            Self::Found(found) => found.into_answer(asked),
        }
    }
}

impl IntoAnswer for Created {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        let Self(detail, view) = self;
        let location = HeaderValue::try_from(format!("{API_BASE}/user/secrets/{}", detail.secret.id));
        let tag = conditional::version_tag(detail.version);
        let mut answer = described(StatusCode::CREATED, detail, view)?;
        if let Ok(location) = location {
            answer = answer.with(LOCATION, location);
        }
        Ok(match tag {
            Some(tag) => answer.tagged(tag),
            None => answer,
        })
    }
}

impl IntoAnswer for Made {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        let answer = Answer::sensitive(StatusCode::CREATED, &self.0)?;
        let location = HeaderValue::try_from(format!("{API_BASE}/tokens/{}", self.0.info.id));
        Ok(match location {
            Ok(location) => answer.with(LOCATION, location),
            Err(_) => answer,
        })
    }
}

impl IntoAnswer for Gone {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }
}

/// A reply that is written as its JSON, with this status.
macro_rules! json {
    ($($reply:ty => $write:ident($status:ident)),+ $(,)?) => {$(
        impl IntoAnswer for $reply {
            fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
                Answer::$write(StatusCode::$status, &self)
            }
        }
    )+};
}

json! {
    PresetList => metadata(OK),
    VersionList => metadata(OK),
    VaultStatus => metadata(OK),
    InitReply => sensitive(CREATED),
    VerifyReply => metadata(OK),
    KeyList => metadata(OK),
    AddKeyReply => sensitive(CREATED),
    RotateReply => sensitive(OK),
    AuditList => metadata(OK),
    CredentialList => metadata(OK),
    CredentialGrant => metadata(OK),
    AuditVerified => metadata(OK),
    TokenList => metadata(OK),
}

impl IntoAnswer for Locked {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        Ok(Answer::metadata(StatusCode::OK, &self.0)?.after_relaunch())
    }
}

impl IntoAnswer for Copy {
    fn into_answer(self, _asked: &HeaderMap) -> Result<Answer, Failure> {
        Ok(Answer::binary(self.0))
    }
}

/// The answer with its tag, or 304 if the caller has it.
fn tagged(
    tag: Option<HeaderValue>,
    asked: &HeaderMap,
    write: impl FnOnce() -> Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    let Some(tag) = tag else { return write() };
    if conditional::has_already(asked, &tag) {
        return Ok(Answer::empty(StatusCode::NOT_MODIFIED).tagged(tag));
    }
    write().map(|answer| answer.tagged(tag))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use http_body_util::BodyExt;
    use http_body_util::Full;
    use hyper::Response;
    use hyper::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
    use secrets_proto::reveal::{RevealReply, RevealedSecret};
    use secrets_proto::secret::{Secret, SecretDetail, SecretList, SizeClass};
    use secrets_proto::{SecretName, SecretValue, Timestamp, Uuid};

    use super::*;
    use crate::caller::Asker;
    use crate::permits::Permits;

    fn detail() -> SecretDetail {
        SecretDetail {
            secret: Secret {
                id: Uuid::from_u128(7),
                name: SecretName::parse("A").unwrap(),
                provider: None,
                masked_value: "••••".into(),
                created_at: Timestamp::parse("2026-04-15T12:00:00Z").unwrap(),
                updated_at: Timestamp::parse("2026-04-15T12:00:00Z").unwrap(),
            },
            version: 3,
            last_used_at: None,
            expires_at: None,
            note: None,
            size_class: SizeClass::Small,
        }
    }

    fn sent<T: IntoAnswer>(reply: T, asked: &HeaderMap) -> Response<Full<Bytes>> {
        reply.into_answer(asked).unwrap().into_response("id".into(), HeaderMap::new())
    }

    async fn body(response: Response<Full<Bytes>>) -> serde_json::Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    fn having(tag: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(tag))])
    }

    #[tokio::test]
    async fn a_secret_has_six_fields_and_more_only_when_asked() {
        let response = sent(Found(detail(), View::Basic), &HeaderMap::new());
        assert_eq!(
            (response.status(), &response.headers()[ETAG]),
            (StatusCode::OK, &"\"3\"".parse().unwrap())
        );
        assert_eq!(body(response).await.as_object().unwrap().len(), 6);
        let response = sent(Found(detail(), View::Full), &HeaderMap::new());
        assert_eq!(body(response).await.as_object().unwrap().len(), 11);
        // Nothing to warn of.
        let response = sent(Found(detail(), View::Warned), &HeaderMap::new());
        assert_eq!(body(response).await.as_object().unwrap().len(), 11);
    }

    #[tokio::test]
    async fn what_the_caller_has_is_not_sent_again() {
        let full = sent(Found(detail(), View::Full), &having("W/\"3\""));
        assert_eq!((full.status(), &full.headers()[ETAG]), (StatusCode::OK, &"\"3\"".parse().unwrap()));
        let response = sent(Found(detail(), View::Basic), &having("W/\"3\""));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"3\"");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        let list = || {
            Listing::Rendered(Rendered {
                body: Bytes::from_static(b"[]"),
                tag: Bytes::from_static(b"\"t1\""),
            })
        };
        assert_eq!(sent(list(), &having("\"t1\"")).status(), StatusCode::NOT_MODIFIED);
        let response = sent(list(), &having("\"t0\""));
        assert_eq!(
            (response.status(), &response.headers()[ETAG]),
            (StatusCode::OK, &"\"t1\"".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn lists_count_what_they_hold() {
        let list = SecretList { secrets: vec![detail().secret], total: 1 };
        assert_eq!(&render(&list)[..12], br#"{"secrets":["#);
        let written = render(&list);
        let permit = Permits::new(1, 1).take_of_share(Asker::Process(1)).await;
        let response = sent(Listing::Selected(Held { reply: written, permit }), &HeaderMap::new());
        assert_eq!(body(response).await["total"], 1);
    }

    #[tokio::test]
    async fn who_does_not_read_a_long_answer_gets_no_other() {
        let permits = Permits::new(1, 1);
        let permit = permits.take(Asker::Process(1)).await;
        let response = sent(Held { reply: Bytes::from_static(b"[]"), permit }, &HeaderMap::new());
        let mut next = pin!(permits.take(Asker::Process(2)));
        let mut poll = || next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!poll());
        let sent = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!poll());
        drop(sent);
        assert!(poll());
    }

    #[test]
    fn a_new_secret_says_where_it_is() {
        let response = sent(Created(detail(), View::Basic), &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()[LOCATION], "/api/v1/user/secrets/00000000-0000-0000-0000-000000000007");
    }

    #[tokio::test]
    async fn values_are_not_to_be_kept() {
        let secrets = vec![RevealedSecret {
            id: Uuid::from_u128(7),
            name: SecretName::parse("A").unwrap(),
            value: SecretValue::new("a\n\"b".into()).unwrap(),
        }];
        let response = sent(Revealed(render_sensitive(&RevealReply { secrets })), &HeaderMap::new());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(body(response).await["secrets"][0]["value"], "a\n\"b");
    }

    #[test]
    fn what_is_gone_has_no_body() {
        assert_eq!(sent(Gone, &HeaderMap::new()).status(), StatusCode::NO_CONTENT);
    }
}
