//! `/user/secrets`: its routes, what their requests are made from, and how their replies are written.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::reveal::{Purpose, Remark, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, PresetList, RollbackRequest, SameList, SecretDetail,
    SecretList, UpdateSecret, VersionList, WriteSecret, WriteSecrets, WrittenSecret,
};
use secrets_proto::{
    API_BASE, FieldErrorType, Glob, Invalid, Provider, SecretName, SecretValue, Selector, Timestamp,
};

use super::codec::{FromRequest, IntoResponse, form, json, render, render_sensitive, rendered, tagged};
use super::route::{Route, delete, get, patch, post, put, read};
use super::serve::{serve, serve_either, serve_now};
use crate::caller::Scope;
use crate::handler::secrets::{
    self as handler, Create, Created, Delete, DropVersion, Edit, Found, Get, List, Listing, Restore, Reveal,
    Revealed, Rollback, Shown, Trash, Update, View,
};
use crate::http::conditional;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::{ListFilter, Right};

/// The largest number that JSON has exactly, so that a version can be told.
const LARGEST: u64 = 9_007_199_254_740_991;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/user/secrets", "list_secrets", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve_either(x, handler::list)
    }),
    post("/api/v1/user/secrets", "create_secret", Right::Scope(Scope::Write, AuditAction::Create), |x| {
        serve(x, handler::create)
    }),
    post(
        "/api/v1/user/secrets/batch",
        "write_secrets",
        Right::Scope(Scope::Write, AuditAction::Create),
        |x| serve(x, handler::write_all),
    ),
    read(
        "/api/v1/user/secrets/presets",
        "get_provider_presets",
        Right::Scope(Scope::List, AuditAction::List),
        |x| serve_now(x, handler::presets),
    ),
    post(
        "/api/v1/user/secrets/preset",
        "create_secret_from_preset",
        Right::Scope(Scope::Write, AuditAction::Create),
        |x| serve(x, handler::create_from_preset),
    ),
    read("/api/v1/user/secrets/{id}", "get_secret", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve_now(x, handler::get)
    }),
    put("/api/v1/user/secrets/{id}", "update_secret", Right::Scope(Scope::Write, AuditAction::Update), |x| {
        serve(x, handler::update)
    }),
    patch("/api/v1/user/secrets/{id}", "edit_secret", Right::Scope(Scope::Write, AuditAction::Edit), |x| {
        serve(x, handler::edit)
    }),
    delete(
        "/api/v1/user/secrets/{id}",
        "delete_secret",
        Right::Scope(Scope::Write, AuditAction::Delete),
        |x| serve(x, handler::delete),
    ),
    post(
        "/api/v1/user/secrets/reveal",
        "reveal_secrets",
        Right::Scope(Scope::Reveal, AuditAction::Reveal),
        |x| serve(x, handler::reveal),
    ),
    get(
        "/api/v1/user/secrets/{id}/versions",
        "list_versions",
        Right::Scope(Scope::List, AuditAction::List),
        |x| serve(x, handler::versions),
    ),
    delete(
        "/api/v1/user/secrets/{id}/versions",
        "drop_version",
        Right::Scope(Scope::Write, AuditAction::VersionDrop),
        |x| serve(x, handler::drop_version),
    ),
    post(
        "/api/v1/user/secrets/{id}/same",
        "find_same",
        Right::Scope(Scope::Reveal, AuditAction::Compare),
        |x| serve(x, handler::same),
    ),
    post(
        "/api/v1/user/secrets/{id}/rollback",
        "rollback_secret",
        Right::Scope(Scope::Write, AuditAction::Rollback),
        |x| serve(x, handler::rollback),
    ),
    get("/api/v1/user/secrets/trash", "list_trash", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve(x, handler::trash)
    }),
    post(
        "/api/v1/user/secrets/{id}/restore",
        "restore_secret",
        Right::Scope(Scope::Write, AuditAction::Restore),
        |x| serve(x, handler::restore),
    ),
];

impl FromRequest for List {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let provider = parts.parameter("provider", Provider::parse);
        let name = parts.parameter("name", Glob::parse);
        let view = view(parts);
        Some(Self {
            filter: ListFilter { provider: provider?, name: name? },
            view: view?,
            basic: form(),
            full: form(),
        })
    }
}

impl FromRequest for Trash {
    fn take(_input: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { render })
    }
}

impl FromRequest for Get {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view) = (parts.id(), view(parts));
        Some(Self { id: id?, view: view?, render })
    }
}

impl<T: FromRequest> FromRequest for Create<T> {
    const BODY: bool = T::BODY;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (view, new) = (written_view(parts), T::take(parts));
        Some(Self { new: new?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for CreateSecret {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (new, local) = (new_secret(parts), parts.flag("local"));
        let (name, value, provider) = new?;
        Some(Self { name, value, provider, local: local? })
    }
}

fn new_secret(parts: &mut RequestParts<'_>) -> Option<(SecretName, SecretValue, Option<Provider>)> {
    let name = parts.required("name", SecretName::try_from);
    let value = parts.required("value", SecretValue::new);
    let provider = parts.nullable("provider", Provider::try_from);
    Some((name?, value?, provider?.flatten()))
}

impl FromRequest for WriteSecrets {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { secrets: parts.objects("secrets", 1..=Self::MAX, WriteSecret::take)? })
    }
}

impl FromRequest for WriteSecret {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (new, replace, local) = (new_secret(parts), parts.flag("replace"), parts.flag("local"));
        let note = parts.nullable("note", Remark::try_from);
        let (name, value, provider) = new?;
        Some(Self { name, value, provider, note: note?.flatten(), replace: replace?, local: local? })
    }
}

impl FromRequest for CreateFromPreset {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let provider = parts.required("provider", Provider::try_from);
        let value = parts.required("value", SecretValue::new);
        Some(Self { provider: provider?, value: value? })
    }
}

impl FromRequest for Update {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let value = parts.required("value", SecretValue::new);
        let new = UpdateSecret { value: value? };
        Some(Self { id: id?, new, expected: expected?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Edit {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let name = parts.optional("name", SecretName::try_from);
        let provider = parts.nullable("provider", Provider::try_from);
        let note = parts.nullable("note", Remark::try_from);
        let expires_at = parts.nullable("expires_at", |text| Timestamp::parse(&text));
        let patch = PatchSecret { name: name?, provider: provider?, note: note?, expires_at: expires_at? };
        // Its answer was in full before it could be asked for.
        Some(Self { id: id?, patch, expected: expected?, view: view?.unwrap_or(View::Full) })
    }
}

impl FromRequest for Delete {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let purge = parts.parameter("purge", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Invalid::new(FieldErrorType::Enum, "expected true or false")),
        });
        Some(Self { id: id?, expected: expected?, purge: purge?.unwrap_or(false) })
    }
}

impl FromRequest for DropVersion {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let version = parts.required_parameter("version", |text| {
            let number = text.parse().ok().filter(|number| (1..=LARGEST).contains(number));
            number.ok_or_else(|| {
                Invalid::new(FieldErrorType::IntParsing, "expected a version's number, from 1 on")
            })
        });
        Some(Self { id: id?, version: version?, expected: expected? })
    }
}

impl FromRequest for Reveal {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        RevealRequest::take(parts).map(|request| Self { request, render: render_sensitive })
    }
}

impl FromRequest for RevealRequest {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secrets = parts.list("secrets", 1..=Self::MAX_SELECTORS, Selector::try_from);
        let purpose = parts.required("purpose", Purpose::try_from);
        let command = parts.nullable("command", Remark::try_from);
        let reason = parts.nullable("reason", Remark::try_from);
        let directory = parts.nullable("directory", Remark::try_from);
        Some(Self {
            secrets: secrets?,
            purpose: purpose?,
            command: command?.flatten(),
            reason: reason?.flatten(),
            directory: directory?.flatten(),
        })
    }
}

impl FromRequest for Restore {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view) = (parts.id(), written_view(parts));
        Some(Self { id: id?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Rollback {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let to = RollbackRequest { version: parts.number("version")? };
        Some(Self { id: id?, to, expected: expected?, view: view?.unwrap_or_default() })
    }
}

fn view(parts: &mut RequestParts<'_>) -> Option<View> {
    asked_view(parts, View::Full).map(Option::unwrap_or_default)
}

/// The view of what a write leads to, if one is asked for: with warnings.
pub(super) fn written_view(parts: &mut RequestParts<'_>) -> Option<Option<View>> {
    asked_view(parts, View::Warned)
}

fn asked_view(parts: &mut RequestParts<'_>, full: View) -> Option<Option<View>> {
    parts.parameter("view", |text| match text {
        "basic" => Ok(View::Basic),
        "full" => Ok(full),
        _ => Err(Invalid::new(FieldErrorType::Enum, "expected basic or full")),
    })
}

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
