//! How the replies of `/user/secrets` are written.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::API_BASE;
use secrets_proto::secret::{PresetList, SameList, SecretDetail, SecretList, VersionList, WrittenSecret};

use crate::handler::secrets::{Created, Found, Listing, Revealed, Shown, View};
use crate::http::conditional;
use crate::http::failure::Failure;
use crate::http::response::Response;
use crate::router::codec::{IntoResponse, json, rendered, tagged};

impl IntoResponse for Listing {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        match self {
            Self::Rendered(list) => list.into_response(asked),
            Self::Selected(list) => list.into_response(asked),
        }
    }
}

impl IntoResponse for Revealed {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        self.0.into_response(asked)
    }
}

impl IntoResponse for Found {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
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

fn described(status: StatusCode, detail: SecretDetail, view: View) -> Result<Response, Failure> {
    Ok(match view {
        View::Basic => Response::metadata(status, &detail.secret)?,
        View::Full => Response::metadata(status, &detail)?,
        View::Warned => Response::metadata(status, &WrittenSecret::from(detail))?,
    })
}

impl IntoResponse for Shown {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        match self {
            Self::Rendered(secret) => rendered(secret, asked),
            Self::Found(found) => found.into_response(asked),
        }
    }
}

impl IntoResponse for Created {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
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

json! {
    SecretList => metadata(OK),
    PresetList => metadata(OK),
    VersionList => metadata(OK),
    SameList => metadata(OK),
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::Response;
    use hyper::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
    use secrets_proto::reveal::{RevealReply, RevealedSecret};
    use secrets_proto::secret::{Secret, SecretDetail, SecretList, SizeClass};
    use secrets_proto::{SecretName, SecretValue, Timestamp, Uuid};

    use super::*;
    use crate::caller::QuotaKey;
    use crate::handler::secrets::Done;
    use crate::permits::Permits;
    use crate::router::codec::{form, render, render_sensitive};
    use crate::vault::{Form, Held, Rendered};

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
            value_changed_at: None,
            guarded: false,
            conflict: false,
            local: false,
        }
    }

    fn sent<T: IntoResponse>(reply: T, asked: &HeaderMap) -> Response<Full<Bytes>> {
        reply.into_response(asked).unwrap().into_http("id".into(), HeaderMap::new())
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
        assert_eq!(body(response).await.as_object().unwrap().len(), 12);
        // Nothing to warn of.
        let response = sent(Found(detail(), View::Warned), &HeaderMap::new());
        assert_eq!(body(response).await.as_object().unwrap().len(), 12);
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
            let reply = Rendered { body: Bytes::from_static(b"[]"), tag: Bytes::from_static(b"\"t1\"") };
            Listing::Rendered(Held { reply, permit: None })
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
        let one = detail().secret;
        for secrets in [vec![], vec![one.clone()], vec![one.clone(); 3]] {
            let list = SecretList { total: secrets.len(), secrets };
            let form: Form<Secret> = form();
            assert_eq!(form.write(&list.secrets), render(&list));
            let pages: Vec<Bytes> = list.secrets.chunks(2).map(form.page).collect();
            assert_eq!((form.list)(&pages, list.total, Bytes::new()), render(&list));
            // In the place of one that nobody reads any more, and beside one that somebody does.
            let room = || Bytes::from(vec![b'x'; render(&list).len() + 1]);
            let (free, read) = (room(), room());
            let place = free.as_ptr();
            let written = (form.list)(&pages, list.total, free);
            assert_eq!((written.as_ptr(), &written), (place, &render(&list)));
            assert_eq!((form.list)(&pages, list.total, read.clone()), render(&list));
            assert_eq!(read, room());
        }
        let written = form().write(&[one]);
        let permit = Permits::new(1, 1).take_of_share(QuotaKey::Process(1)).await;
        let response = sent(Listing::Selected(Held { reply: written, permit }), &HeaderMap::new());
        assert_eq!(body(response).await["total"], 1);
    }

    #[tokio::test]
    async fn who_does_not_read_a_long_answer_gets_no_other() {
        let permits = Permits::new(1, 1);
        let permit = permits.take(QuotaKey::Process(1)).await;
        let response = sent(Held { reply: Bytes::from_static(b"[]"), permit }, &HeaderMap::new());
        let mut next = pin!(permits.take(QuotaKey::Process(2)));
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
            expires_at: None,
            conflict: false,
        }];
        let response = sent(Revealed(render_sensitive(&RevealReply { secrets })), &HeaderMap::new());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(body(response).await["secrets"][0]["value"], "a\n\"b");
    }

    #[test]
    fn what_is_gone_has_no_body() {
        assert_eq!(sent(Done, &HeaderMap::new()).status(), StatusCode::NO_CONTENT);
    }
}
