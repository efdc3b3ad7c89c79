//! `/items`: its routes, what their requests are made from, and how their replies are written.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use secrets_proto::API_BASE;
use secrets_proto::audit::AuditAction;
use secrets_proto::item::{
    Attributes, Collection, ContentType, CreateItem, Item, ItemChanges, ItemLabel, ItemValue,
    ItemVersionList, PatchCollection, PatchItem, RevealedItem, SearchItems, UpdateItemValue,
};

use super::approvals::{after, wait};
use super::codec::{FromRequest, IntoResponse, json, render, tagged};
use super::route::{Route, delete, get, patch, post, put, read};
use super::serve::{serve, serve_now};
use crate::caller::Scope;
use crate::handler::items::{self as handler, Changes, Created, Edit, Found, Search, Trash, Update};
use crate::http::conditional;
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    post("/api/v1/items/search", "search_items", Right::Scope(Scope::Items, AuditAction::List), |x| {
        serve(x, handler::search)
    }),
    post("/api/v1/items", "create_item", Right::Scope(Scope::Items, AuditAction::Create), |x| {
        serve(x, handler::create)
    }),
    get("/api/v1/items/trash", "list_item_trash", Right::Scope(Scope::Items, AuditAction::List), |x| {
        serve(x, handler::trash)
    }),
    read("/api/v1/items/collection", "get_collection", Right::Scope(Scope::Items, AuditAction::List), |x| {
        serve_now(x, handler::collection)
    }),
    patch(
        "/api/v1/items/collection",
        "label_collection",
        Right::Scope(Scope::Items, AuditAction::Edit),
        |x| serve(x, handler::label_collection),
    ),
    get("/api/v1/items/changes", "watch_items", Right::Scope(Scope::Items, AuditAction::List), |x| {
        serve(x, handler::changes)
    })
    .waiting(),
    read("/api/v1/items/{id}", "get_item", Right::Scope(Scope::Items, AuditAction::List), |x| {
        serve_now(x, handler::get)
    }),
    patch("/api/v1/items/{id}", "edit_item", Right::Scope(Scope::Items, AuditAction::Edit), |x| {
        serve(x, handler::edit)
    }),
    delete("/api/v1/items/{id}", "delete_item", Right::Scope(Scope::Items, AuditAction::Delete), |x| {
        serve(x, handler::delete)
    }),
    put("/api/v1/items/{id}/value", "update_item", Right::Scope(Scope::Items, AuditAction::Update), |x| {
        serve(x, handler::update)
    }),
    post("/api/v1/items/{id}/reveal", "reveal_item", Right::Scope(Scope::Items, AuditAction::Reveal), |x| {
        serve(x, handler::reveal)
    }),
    post(
        "/api/v1/items/{id}/restore",
        "restore_item",
        Right::Scope(Scope::Items, AuditAction::Restore),
        |x| serve(x, handler::restore),
    ),
    get(
        "/api/v1/items/{id}/versions",
        "list_item_versions",
        Right::Scope(Scope::Items, AuditAction::List),
        |x| serve(x, handler::versions),
    ),
    put("/api/v1/items/{id}/guard", "set_item_guard", Right::Whole(AuditAction::Guard), |x| {
        serve(x, handler::set_guard)
    }),
];

impl FromRequest for Search {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let attributes = parts.required_map("attributes", Attributes::try_from);
        Some(Self { wanted: SearchItems { attributes: attributes? }, render })
    }
}

impl FromRequest for CreateItem {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let label = parts.required("label", ItemLabel::try_from);
        let attributes = parts.required_map("attributes", Attributes::try_from);
        let content_type = parts.optional("content_type", ContentType::try_from);
        let value = parts.required("value_base64", ItemValue::from_base64);
        let replace = parts.flag("replace");
        Some(Self {
            label: label?,
            attributes: attributes?,
            content_type: content_type?.unwrap_or_default(),
            value_base64: value?,
            replace: replace?,
        })
    }
}

impl FromRequest for Edit {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let label = parts.optional("label", ItemLabel::try_from);
        let attributes = parts.optional_map("attributes", Attributes::try_from);
        let patch = PatchItem { label: label?, attributes: attributes? };
        Some(Self { id: id?, patch, expected: expected? })
    }
}

impl FromRequest for Update {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let content_type = parts.optional("content_type", ContentType::try_from);
        let value = parts.required("value_base64", ItemValue::from_base64);
        let new = UpdateItemValue { content_type: content_type?.unwrap_or_default(), value_base64: value? };
        Some(Self { id: id?, new, expected: expected? })
    }
}

impl FromRequest for Trash {
    fn take(_input: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { render })
    }
}

impl FromRequest for PatchCollection {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        parts.required("label", ItemLabel::try_from).map(|label| Self { label })
    }
}

impl FromRequest for Changes {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (wait, after) = (wait(parts), after(parts));
        Some(Self { wait: wait?, after: after? })
    }
}

impl IntoResponse for Found {
    fn into_response(self, asked: &HeaderMap) -> Result<Response, Failure> {
        let Self(item) = self;
        // Whether it is locked for its caller changes without a new version.
        let tag = conditional::version_tag(item.version).filter(|_| !item.guarded);
        tagged(tag, asked, || Ok(Response::metadata(StatusCode::OK, &item)?))
    }
}

impl IntoResponse for Created {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        let Self { item, is_new } = self;
        let answer = |status, item: &Item| -> Result<Response, Failure> {
            let answer = Response::metadata(status, item)?;
            Ok(match conditional::version_tag(item.version) {
                Some(tag) => answer.tagged(tag),
                None => answer,
            })
        };
        if !is_new {
            return answer(StatusCode::OK, &item);
        }
        let location = HeaderValue::try_from(format!("{API_BASE}/items/{}", item.id));
        let answer = answer(StatusCode::CREATED, &item)?;
        Ok(match location {
            Ok(location) => answer.with(LOCATION, location),
            Err(_) => answer,
        })
    }
}

json! {
    RevealedItem => sensitive(OK),
    ItemVersionList => metadata(OK),
    Collection => metadata(OK),
    ItemChanges => metadata(OK),
}
